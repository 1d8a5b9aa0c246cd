//! The file as the author writes it: one struct per map, each field with what the JSON Schema tells an editor.
//!
//! The schema made from these types is also what [`super::reader`] checks a file against, so that an editor and
//! `douse check` can never disagree. Keys of the language that this version cannot run are listed as
//! `x-douse-reserved`: they are refused by name, never ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::runbook::model::{Mode, OnInterrupted, OsType, ParameterKind, RateScope, Risk, RunbookStatus};

/// A remediation: what to run on which server for which alerts, and how to undo it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Douse runbook", extend("x-douse-reserved" = [
    "concurrency", "defaults", "secrets", "verify", "on_failure", "on_success", "finally", "notify", "schedule",
    "on_resolved",
]))]
pub(super) struct RawRunbook {
    /// `douse/v1`.
    #[serde(rename = "apiVersion")]
    #[schemars(extend("enum" = ["douse/v1"]))]
    #[expect(dead_code, reason = "checked by the schema; carries no meaning yet")]
    pub(super) api_version: Option<String>,
    /// `Runbook`.
    #[schemars(extend("enum" = ["Runbook"]))]
    #[expect(dead_code, reason = "checked by the schema; carries no meaning yet")]
    pub(super) kind: Option<String>,
    /// Identity; unique over all files.
    #[schemars(length(min = 1, max = 200))]
    pub(super) name: String,
    /// What it is for, for people who see it at night.
    pub(super) description: Option<String>,
    /// Any word; blackouts and lists can select by it.
    pub(super) category: Option<String>,
    /// `auto` runs by itself, `semi_auto` (default) asks, `manual` is only started by a person, `observe` decides and records, never runs.
    pub(super) mode: Option<Mode>,
    /// `active` (default), `disabled` or `draft`.
    pub(super) status: Option<RunbookStatus>,
    /// `linux` (default) or `windows`.
    pub(super) target_os: Option<OsType>,
    /// The author's own number; Douse counts contents itself.
    #[schemars(range(min = 0))]
    pub(super) version: Option<u32>,
    /// Who is to be asked about it.
    pub(super) owner: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    /// Pages about it.
    pub(super) links: Option<Vec<String>>,
    /// `low` (default), `medium`, `high`; `high` needs approval unless `requires_approval: false`.
    pub(super) risk: Option<Risk>,
    /// Longest time of a whole run, in seconds; default 300.
    #[schemars(range(min = 1, max = 604_800))]
    pub(super) timeout_seconds: Option<u64>,
    /// Further tries to reach the host before the first step; default 0.
    #[schemars(range(min = 0, max = 100))]
    pub(super) max_retries: Option<u32>,
    /// Time between those, in seconds; default 60.
    #[schemars(range(min = 0, max = 604_800))]
    pub(super) retry_delay_seconds: Option<u64>,
    /// Most executions in `rate_limit_window_seconds`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) rate_limit_count: Option<u32>,
    /// Default 3600.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(super) rate_limit_window_seconds: Option<u64>,
    /// A person must say yes to each run; default false, true for `risk: high`.
    pub(super) requires_approval: Option<bool>,
    /// Who may say yes; default `[admin, engineer]`.
    pub(super) approval_roles: Option<Vec<Role>>,
    pub(super) approval: Option<RawApproval>,
    /// Names of servers, or `{names, tags, groups}`; default any.
    pub(super) allowed_servers: Option<RawServers>,
    /// Name → template; exported to each command, and a name in templates.
    pub(super) environment_vars: Option<Texts>,
    /// Free; shown, not interpreted.
    pub(super) config: Option<Value>,
    pub(super) parameters: Option<Vec<RawParameter>>,
    pub(super) target: Option<RawTarget>,
    pub(super) guard: Option<RawGuard>,
    pub(super) rollback: Option<RawRollback>,
    /// When it is unknown what became of a step: `hold` (default) waits for a person, `rollback` undoes, `fail` ends.
    pub(super) on_interrupted: Option<OnInterrupted>,
    /// Name → template; the run's results.
    pub(super) outputs: Option<Texts>,
    /// Run in this order, or in that of `step_order`.
    #[schemars(length(min = 1, max = 200))]
    pub(super) steps: Vec<RawStep>,
    pub(super) triggers: Option<Vec<RawTrigger>>,
}

/// Who may approve, and for how long a request stands.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-douse-reserved" = ["users", "on_expire", "notify"]))]
pub(super) struct RawApproval {
    /// Default `[admin, engineer]`.
    pub(super) roles: Option<Vec<Role>>,
    /// Whoever asked for a run may also approve it; default false.
    pub(super) allow_self: Option<bool>,
    /// So many different people have to say yes; default 1.
    #[schemars(range(min = 1, max = 10))]
    pub(super) min_approvals: Option<u32>,
    /// Default 30m.
    pub(super) expires_after: Option<Span>,
    /// Shown to whoever is asked.
    pub(super) message: Option<String>,
}

/// Servers by name, tag or group; one hit is enough.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawServers {
    Names(Vec<String>),
    Selected(RawServerSelection),
}

/// Servers by name, tag or group; one hit is enough.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServerSelection {
    pub(super) names: Option<Vec<String>>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) groups: Option<Vec<String>>,
}

/// A value that a run takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawParameter {
    /// `params.<name>` in templates.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub(super) name: String,
    /// Default `string`.
    #[serde(rename = "type")]
    pub(super) kind: Option<ParameterKind>,
    pub(super) default: Option<Value>,
    pub(super) required: Option<bool>,
    /// Anchored regular expression.
    pub(super) pattern: Option<String>,
    /// Smallest number, duration in seconds, or length.
    pub(super) min: Option<f64>,
    /// Largest number, duration in seconds, or length.
    pub(super) max: Option<f64>,
    /// The values of `type: enum`.
    pub(super) options: Option<Vec<String>>,
    /// Taken from this label of the alert when nobody gave a value.
    pub(super) from_label: Option<String>,
    /// Taken from this annotation of the alert when nobody gave a value.
    pub(super) from_annotation: Option<String>,
    pub(super) description: Option<String>,
}

/// Which server a run acts on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-douse-reserved" = ["on_missing", "run_on", "fan_out"]))]
pub(super) struct RawTarget {
    /// Template that names the server; default: the host part of label `instance`.
    pub(super) from: Option<String>,
    #[serde(rename = "where")]
    pub(super) only: Option<RawTargetWhere>,
}

/// What the server must be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTargetWhere {
    /// It has all of these.
    pub(super) tags: Option<Vec<String>>,
    pub(super) os_type: Option<OsType>,
    pub(super) environment: Option<String>,
    pub(super) group: Option<String>,
}

/// The runbook's own bounds; what is missing comes from the configuration.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuard {
    /// Default true.
    pub(super) require_still_firing: Option<bool>,
    pub(super) min_firing_for: Option<Span>,
    pub(super) max_alert_age: Option<Span>,
    /// For triggers that name none of their own.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub(super) cooldown_seconds: Option<u64>,
    pub(super) rate_limit: Option<RawRateLimit>,
    pub(super) circuit_breaker: Option<RawBreaker>,
    /// Ineffective or failed runs before a person is asked; `count: 0` switches it off.
    pub(super) attempts: Option<RawCountWindow>,
    /// `0s` switches it off.
    pub(super) recently_remediated: Option<Span>,
    pub(super) blast_radius: Option<RawBlastRadius>,
    pub(super) max_queue_age: Option<Span>,
    /// `respect` (default) or `ignore`.
    pub(super) blackout: Option<RawBlackout>,
}

/// At most `count` executions in `window`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRateLimit {
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) count: u32,
    pub(super) window: Span,
    /// Counted over all servers (`runbook`, default) or each (`server`).
    pub(super) scope: Option<RateScope>,
}

/// When too many failures in a row stop a runbook.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBreaker {
    #[schemars(range(min = 1, max = 1_000))]
    pub(super) failure_threshold: Option<u32>,
    #[schemars(range(min = 1, max = 1_000))]
    pub(super) success_threshold: Option<u32>,
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(super) reset_timeout_seconds: Option<u64>,
}

/// `count` in `window`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCountWindow {
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) count: u32,
    pub(super) window: Span,
}

/// More than max(`min`, `percent` %) targets of a group in `window` need a yes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBlastRadius {
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) min: Option<u32>,
    #[schemars(range(min = 0, max = 100))]
    pub(super) percent: Option<u32>,
    pub(super) window: Option<Span>,
}

/// Whether blackouts hold the runbook.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawBlackout {
    Respect,
    Ignore,
}

/// What is undone, and when.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRollback {
    /// `reverse` (default): last first; `none`: nothing.
    pub(super) strategy: Option<RawStrategy>,
    /// Default all: `failure`, `timeout`, `cancel`.
    pub(super) after: Option<Vec<RawAfter>>,
    /// The undo of the step that failed is run, too; default true.
    pub(super) include_failed: Option<bool>,
    /// Go on with the next undo when one fails; default false.
    pub(super) continue_on_error: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawStrategy {
    Reverse,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawAfter {
    Failure,
    Timeout,
    Cancel,
    /// Accepted; nothing is verified yet.
    VerifyFailure,
}

/// One thing to run on the server: exactly one of `command`, `argv`, `script`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-douse-reserved" = [
    "http", "wait", "approve", "assert", "verify", "runbook", "notify", "set", "parallel", "max_parallel", "block", "rescue",
    "always", "run_on", "stdin", "until", "failed_when", "finish_when", "finish_message", "for_each", "check_command",
    "dry_run_command",
]))]
pub(super) struct RawStep {
    /// `steps.<id>` in templates; default: made from the name.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub(super) id: Option<String>,
    /// What people call it; default: the id.
    #[schemars(length(min = 1, max = 200))]
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    /// Default: the position in the list, from 1.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) step_order: Option<u32>,
    /// Shell text, a template.
    pub(super) command: Option<String>,
    /// Program and arguments, each a template; no shell reads them.
    #[schemars(length(min = 1))]
    pub(super) argv: Option<Vec<String>>,
    /// Several lines for `interpreter`, a template.
    pub(super) script: Option<String>,
    /// Program that reads the script; default `/bin/sh`.
    pub(super) interpreter: Option<String>,
    /// Default `[0]`.
    pub(super) expected_exit_codes: Option<Vec<ExitCode>>,
    /// Longest time of one try, in seconds; default 60.
    #[schemars(range(min = 1, max = 604_800))]
    pub(super) timeout_seconds: Option<u64>,
    /// The same as text: `90s`, `5m`.
    pub(super) timeout: Option<Span>,
    /// A failure does not end the run; default false.
    pub(super) continue_on_failure: Option<bool>,
    /// Template expression; the step is skipped unless it holds.
    pub(super) condition: Option<String>,
    /// The same as `condition`.
    pub(super) when: Option<String>,
    /// Shell text that undoes the step.
    pub(super) rollback_command: Option<String>,
    pub(super) rollback: Option<RawUndo>,
    /// Further tries after a failure; default 0.
    #[schemars(range(min = 0, max = 100))]
    pub(super) retry_count: Option<u32>,
    /// Time between tries, in seconds; default 10.
    #[schemars(range(min = 0, max = 604_800))]
    pub(super) retry_delay_seconds: Option<u64>,
    pub(super) retry: Option<RawRetry>,
    /// Output is kept for later steps; default true.
    pub(super) capture_output: Option<bool>,
    /// Output is stored only as a hash; default false.
    pub(super) sensitive: Option<bool>,
    /// The same as `sensitive`.
    pub(super) no_log: Option<bool>,
    /// Running it twice does no harm; default false.
    pub(super) idempotent: Option<bool>,
    /// It starts its host anew, and ends well on a new boot within its time; default false.
    pub(super) expect_disconnect: Option<bool>,
    /// Run as this user by sudo; `true` is root.
    #[serde(rename = "become")]
    pub(super) become_user: Option<User>,
    /// Name → template; exported to this step only.
    pub(super) env: Option<Texts>,
    /// Template.
    pub(super) workdir: Option<String>,
    /// Name → how it is read from standard output.
    pub(super) outputs: Option<BTreeMap<String, RawOutput>>,
    /// Bytes kept of each stream; default 1 MiB.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub(super) max_output_bytes: Option<usize>,
}

/// The reverse action of a step: exactly one of `command`, `argv`, `script`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-douse-reserved" = ["http", "run_on"]))]
pub(super) struct RawUndo {
    pub(super) command: Option<String>,
    #[schemars(length(min = 1))]
    pub(super) argv: Option<Vec<String>>,
    pub(super) script: Option<String>,
    pub(super) interpreter: Option<String>,
    /// Template expression; the undo is left out unless it holds.
    pub(super) when: Option<String>,
    /// Default: the step's.
    #[serde(rename = "become")]
    pub(super) become_user: Option<User>,
    /// Default: the step's.
    pub(super) timeout: Option<Span>,
}

/// Tries of a step.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetry {
    /// Tries in all, the first included.
    #[schemars(range(min = 1, max = 101))]
    pub(super) attempts: u32,
    /// Default 10s.
    pub(super) delay: Option<Span>,
    /// Each delay is the one before times this; default 1.
    #[schemars(range(min = 1, max = 100))]
    pub(super) backoff: Option<f64>,
    /// Default 5m.
    pub(super) max_delay: Option<Span>,
    /// Default: any unexpected exit code.
    pub(super) on_exit_codes: Option<Vec<ExitCode>>,
}

/// How a value is read from a step's standard output.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-douse-reserved" = ["type"]))]
pub(super) struct RawOutput {
    /// Default `text`: all of it, trimmed.
    pub(super) parse: Option<RawOutputKind>,
    /// For `regex`: the first group, or the whole match.
    pub(super) pattern: Option<String>,
    /// For `json`: `a.b.0`; for `kv`: the key.
    pub(super) path: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawOutputKind {
    Text,
    Json,
    Regex,
    Kv,
}

/// Which alerts start the runbook: all that is named must match.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-douse-reserved" = ["debounce", "group", "mode", "with"]))]
pub(super) struct RawTrigger {
    #[schemars(length(min = 1, max = 200))]
    pub(super) name: Option<String>,
    /// Lower is asked first; default 100.
    pub(super) priority: Option<i32>,
    /// Glob, or `/regex/`.
    pub(super) alert_name_pattern: Option<String>,
    pub(super) severity_pattern: Option<String>,
    pub(super) instance_pattern: Option<String>,
    pub(super) job_pattern: Option<String>,
    /// Name of the source that delivered the alert.
    pub(super) source_pattern: Option<String>,
    /// Label → value or pattern.
    pub(super) labels_match: Option<BTreeMap<String, String>>,
    /// Annotation → value or pattern.
    pub(super) annotations_match: Option<BTreeMap<String, String>>,
    /// In Alertmanager's syntax: `team="web"`, `env!~"dev|test"`.
    pub(super) matchers: Option<Vec<String>>,
    /// `firing` (default) or `resolved`.
    pub(super) status: Option<RawAlertStatus>,
    /// `HH:MM`, included.
    pub(super) time_window_start: Option<TimeOfDay>,
    /// `HH:MM`, excluded.
    pub(super) time_window_end: Option<TimeOfDay>,
    /// `monday`, `mon-fri` …; default every day.
    pub(super) time_window_days: Option<Vec<String>>,
    /// IANA name; default: the configuration's.
    pub(super) timezone: Option<String>,
    /// Default true.
    pub(super) enabled: Option<bool>,
    /// Least time between starts for one target; default: the guard's.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub(super) cooldown_seconds: Option<u64>,
    pub(super) min_firing_for: Option<Span>,
    pub(super) min_occurrences: Option<RawOccurrences>,
    /// Lower triggers may match the alert, too; default false.
    #[serde(rename = "continue")]
    pub(super) continues: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawAlertStatus {
    Firing,
    Resolved,
}

/// At least `count` episodes within `within`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOccurrences {
    #[schemars(range(min = 1, max = 1_000))]
    pub(super) count: u32,
    pub(super) within: Span,
}

/// A text with a format of its own, checked by [`super::reader`].
macro_rules! formatted {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = $schema:tt;)+) => { $(
        $(#[$doc])*
        #[derive(Clone, Deserialize)]
        #[serde(transparent)]
        pub(super) struct $name(pub(super) $inner);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+ };
}

formatted! {
    /// A duration as people write it.
    Span(String) = { "type": "string", "format": "duration-text" };
    /// A user of the server.
    User(String) = { "type": ["string", "boolean"], "format": "user" };
    /// `HH:MM`, or minutes since midnight as YAML 1.1 tools write them.
    TimeOfDay(String) = { "type": ["string", "integer"], "format": "time-of-day" };
    /// What people may do; see the configuration's `auth`.
    Role(String) = { "type": "string", "format": "role", "examples": ["admin", "engineer", "operator", "viewer"] };
    /// Names and texts, in the file's order.
    Texts(Map<String, Value>) = { "type": "object", "additionalProperties": { "type": "string" } };
    /// What a command may end with.
    ExitCode(i32) = { "type": "integer", "minimum": 0, "maximum": 255 };
}

impl Span {
    /// The duration; the reader has refused what cannot be read.
    pub(super) fn duration(&self) -> Duration {
        humantime::parse_duration(&self.0).unwrap_or_default()
    }
}

impl Texts {
    /// The pairs, in the file's order.
    pub(super) fn pairs(self) -> Vec<(String, String)> {
        let text = |value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        self.0.into_iter().map(|(name, value)| (name, text(value))).collect()
    }
}

/// Words of the model, as the schema lists them.
macro_rules! word_schemas {
    ($($name:ident),+) => { $(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let words: Vec<&str> = Self::ALL.iter().map(|word| word.as_str()).collect();
                json_schema!({ "type": "string", "enum": words })
            }
        }
    )+ };
}

word_schemas!(Mode, OnInterrupted, RunbookStatus, OsType, Risk, RateScope, ParameterKind);
