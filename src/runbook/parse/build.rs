//! The raw file to the model: defaults, conflicts between keys, and what a schema cannot say.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::raw::{
    RawAfter, RawApproval, RawBlackout, RawGuard, RawParameter, RawRollback, RawRunbook, RawServers, RawStrategy,
    RawTarget, Span, Texts,
};
use super::{Part, Places, steps, triggers};
use crate::audit::canonical::sha256_hex;
use crate::limits;
use crate::runbook::context::{PREFIX, RESERVED};
use crate::runbook::model::{
    AllowedServers, Approval, BlastRadiusSpec, CircuitBreakerSpec, CountWindow, Guard, Mode, OnInterrupted, OsType,
    Parameter, ParameterKind, RateLimit, RateScope, Risk, RollbackPolicy, Runbook, RunbookStatus, TargetSpec,
};
use crate::runbook::parameters;

/// Delay between tries to reach a host when `max_retries` is set without one (the seed's default).
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// Window of `rate_limit_count` when none is written.
const RATE_WINDOW: Duration = Duration::from_secs(3_600);
/// Roles that may approve unless the file says otherwise (the seed's default).
const APPROVAL_ROLES: [&str; 2] = ["admin", "engineer"];

/// Makes the model. Problems are said; a value with a problem gets its default, so that the rest can be checked, too.
pub(super) fn runbook(raw: RawRunbook, source: &str, places: &mut Places<'_>) -> Runbook {
    let risk = raw.risk.unwrap_or(Risk::Low);
    let names = |list: Option<Vec<String>>| list.unwrap_or_default();
    let guard = guard(raw.guard, raw.rate_limit_count, raw.rate_limit_window_seconds, places);
    let roles = raw.approval_roles.map(|roles| roles.into_iter().map(|role| role.0).collect());
    let parameters = parameters_of(raw.parameters.unwrap_or_default(), places);
    Runbook {
        description: raw.description.unwrap_or_default(),
        category: raw.category.unwrap_or_default(),
        mode: raw.mode.unwrap_or(Mode::SemiAuto),
        status: raw.status.unwrap_or(RunbookStatus::Active),
        target_os: raw.target_os.unwrap_or(OsType::Linux),
        version: raw.version,
        owner: raw.owner,
        tags: names(raw.tags),
        links: names(raw.links),
        risk,
        timeout: raw.timeout_seconds.map_or(limits::RUNBOOK_TIMEOUT, Duration::from_secs),
        max_retries: raw.max_retries.unwrap_or(0),
        retry_delay: match (raw.retry_delay_seconds, raw.max_retries) {
            (Some(seconds), _) => Some(Duration::from_secs(seconds)),
            (None, Some(_)) => Some(RETRY_DELAY),
            (None, None) => None,
        },
        requires_approval: raw.requires_approval.unwrap_or(risk == Risk::High),
        approval: approval(raw.approval, roles, places),
        allowed_servers: match raw.allowed_servers {
            None => AllowedServers::default(),
            Some(RawServers::Names(names)) => AllowedServers { names, ..AllowedServers::default() },
            Some(RawServers::Selected(only)) => {
                AllowedServers { names: names(only.names), tags: names(only.tags), groups: names(only.groups) }
            }
        },
        environment_vars: variables(raw.environment_vars, &["environment_vars".into()], places),
        config: raw.config.unwrap_or(Value::Null),
        parameters,
        target: target(raw.target),
        guard,
        rollback: rollback(raw.rollback),
        on_interrupted: raw.on_interrupted.unwrap_or(OnInterrupted::careful()),
        outputs: raw.outputs.map(Texts::pairs).unwrap_or_default(),
        steps: steps::steps(raw.steps, places),
        triggers: triggers::triggers(raw.triggers.unwrap_or_default(), places),
        source: source.to_owned(),
        content_hash: sha256_hex(source.as_bytes()),
        name: raw.name,
    }
}

/// Variables by name, each a name that a shell takes and templates do not have yet.
pub(super) fn variables(raw: Option<Texts>, path: &[Part<'_>], places: &mut Places<'_>) -> Vec<(String, String)> {
    let pairs = raw.map(Texts::pairs).unwrap_or_default();
    for (name, _) in &pairs {
        let path: Vec<Part<'_>> = path.iter().copied().chain([Part::Key(name)]).collect();
        if !is_variable(name) {
            places.error("E103", &path, format!("`{name}` is no name of a variable"), "use letters, digits and `_`");
        } else if RESERVED.contains(&name.as_str()) {
            places.error("E110", &path, format!("`{name}` is a name of templates already"), "choose another name");
        } else if name.starts_with(PREFIX) {
            places.error(
                "E110",
                &path,
                format!("names that begin with {PREFIX} are Douse's own"),
                "choose another name",
            );
        }
    }
    pairs
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

fn approval(raw: Option<RawApproval>, roles: Option<Vec<String>>, places: &mut Places<'_>) -> Approval {
    let default = || APPROVAL_ROLES.map(str::to_owned).to_vec();
    let Some(raw) = raw else {
        return Approval {
            roles: roles.unwrap_or_else(default),
            allow_self: false,
            min_approvals: 1,
            expires_after: limits::APPROVAL_EXPIRES_AFTER,
            message: None,
        };
    };
    let inner = raw.roles.map(|roles| roles.into_iter().map(|role| role.0).collect::<Vec<_>>());
    if roles.is_some() && inner.is_some() {
        places.error(
            "E106",
            &["approval".into(), "roles".into()],
            "the roles are written twice, here and in `approval_roles`",
            "remove one",
        );
    }
    Approval {
        roles: inner.or(roles).unwrap_or_else(default),
        allow_self: raw.allow_self.unwrap_or(false),
        min_approvals: raw.min_approvals.unwrap_or(1),
        expires_after: raw.expires_after.map_or(limits::APPROVAL_EXPIRES_AFTER, |span| span.duration()),
        message: raw.message,
    }
}

fn guard(raw: Option<RawGuard>, count: Option<u32>, window: Option<u64>, places: &mut Places<'_>) -> Guard {
    let window = window.map(Duration::from_secs);
    let seed_limit =
        count.map(|count| RateLimit { count, window: window.unwrap_or(RATE_WINDOW), scope: RateScope::Runbook });
    if window.is_some() && count.is_none() {
        places.error("E105", &["rate_limit_window_seconds".into()], "`rate_limit_count` is missing", "add it");
    }
    let Some(raw) = raw else { return Guard { rate_limit: seed_limit, ..Guard::default() } };
    let rate_limit = raw.rate_limit.map(|limit| RateLimit {
        count: limit.count,
        window: limit.window.duration(),
        scope: limit.scope.unwrap_or(RateScope::Runbook),
    });
    if rate_limit.is_some() && seed_limit.is_some() {
        places.error(
            "E106",
            &["guard".into(), "rate_limit".into()],
            "the rate limit is written twice, here and in `rate_limit_count`",
            "remove one",
        );
    }
    let span = |span: Option<Span>| span.map(|span| span.duration());
    Guard {
        require_still_firing: raw.require_still_firing,
        min_firing_for: span(raw.min_firing_for),
        max_alert_age: span(raw.max_alert_age),
        cooldown: raw.cooldown_seconds.map(Duration::from_secs),
        rate_limit: rate_limit.or(seed_limit),
        circuit_breaker: raw.circuit_breaker.map(|breaker| CircuitBreakerSpec {
            failure_threshold: breaker.failure_threshold.unwrap_or(limits::BREAKER_FAILURE_THRESHOLD),
            success_threshold: breaker.success_threshold.unwrap_or(limits::BREAKER_SUCCESS_THRESHOLD),
            reset_timeout: breaker.reset_timeout_seconds.map_or(limits::BREAKER_RESET_TIMEOUT, Duration::from_secs),
        }),
        attempts: raw
            .attempts
            .map(|attempts| CountWindow { count: attempts.count, window: attempts.window.duration() }),
        recently_remediated: span(raw.recently_remediated),
        blast_radius: raw.blast_radius.map(|radius| BlastRadiusSpec {
            min: radius.min.unwrap_or(limits::BLAST_RADIUS_MIN),
            percent: radius.percent.unwrap_or(limits::BLAST_RADIUS_PERCENT),
            window: span(radius.window).unwrap_or(limits::BLAST_RADIUS_WINDOW),
        }),
        max_queue_age: span(raw.max_queue_age),
        ignores_blackouts: raw.blackout == Some(RawBlackout::Ignore),
    }
}

fn rollback(raw: Option<RawRollback>) -> RollbackPolicy {
    let after = raw.as_ref().and_then(|raw| raw.after.as_deref());
    let is_after = |wanted: RawAfter| after.is_none_or(|after| after.contains(&wanted));
    RollbackPolicy {
        enabled: raw.as_ref().and_then(|raw| raw.strategy) != Some(RawStrategy::None),
        after_failure: is_after(RawAfter::Failure),
        after_timeout: is_after(RawAfter::Timeout),
        after_cancel: is_after(RawAfter::Cancel),
        include_failed: raw.as_ref().and_then(|raw| raw.include_failed).unwrap_or(true),
        continue_on_error: raw.and_then(|raw| raw.continue_on_error).unwrap_or(false),
    }
}

fn target(raw: Option<RawTarget>) -> TargetSpec {
    let Some(raw) = raw else { return TargetSpec::default() };
    let from = raw.from;
    match raw.only {
        None => TargetSpec { from, ..TargetSpec::default() },
        Some(only) => TargetSpec {
            from,
            tags: only.tags.unwrap_or_default(),
            os_type: only.os_type,
            environment: only.environment,
            group: only.group,
        },
    }
}

fn parameters_of(raw: Vec<RawParameter>, places: &mut Places<'_>) -> Vec<Parameter> {
    let mut seen = BTreeSet::new();
    let mut parameters = Vec::with_capacity(raw.len());
    for (number, raw) in raw.into_iter().enumerate() {
        let path = |key: &'static str| [Part::Key("parameters"), Part::Item(number), Part::Key(key)];
        if !seen.insert(raw.name.clone()) {
            places.error(
                "E110",
                &path("name"),
                format!("there are two parameters called `{}`", raw.name),
                "rename one",
            );
        }
        let kind = raw.kind.unwrap_or(ParameterKind::String);
        let options = raw.options.unwrap_or_default();
        if kind == ParameterKind::Enum && options.is_empty() {
            places.error(
                "E105",
                &path("type"),
                format!("`options` is missing in parameter `{}`", raw.name),
                "list the values that it may have",
            );
        }
        if kind != ParameterKind::Enum && !options.is_empty() {
            places.error(
                "E106",
                &path("options"),
                format!("`options` need `type: enum`, but parameter `{}` is a {kind}", raw.name),
                "write `type: enum`",
            );
        }
        let pattern = raw.pattern.and_then(|pattern| anchored(&pattern, &path("pattern"), places));
        let mut parameter = Parameter {
            name: raw.name,
            kind,
            default: None,
            required: raw.required.unwrap_or(false),
            pattern,
            min: raw.min,
            max: raw.max,
            options,
            from_label: raw.from_label,
            from_annotation: raw.from_annotation,
            description: raw.description.unwrap_or_default(),
        };
        parameter.default = raw.default.and_then(|default| match parameters::accept(&parameter, &default) {
            Ok(value) => Some(value),
            Err(wrong) => {
                places.error(
                    "E103",
                    &path("default"),
                    format!("the default of parameter `{}` {wrong}", parameter.name),
                    "",
                );
                None
            }
        });
        parameters.push(parameter);
    }
    parameters
}

fn anchored(pattern: &str, path: &[Part<'_>], places: &mut Places<'_>) -> Option<regex::Regex> {
    if pattern.chars().count() > limits::PATTERN_CHARS_MAX {
        places.error("E111", path, format!("the pattern is longer than {} characters", limits::PATTERN_CHARS_MAX), "");
        return None;
    }
    match limits::regex(&format!("^(?:{pattern})$")).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            places.error("E111", path, format!("`{pattern}` is no regular expression: {}", last_line(&error)), "");
            None
        }
    }
}

/// The part of a regex error that says what is wrong.
pub(super) fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
