//! The steps of a file: one action each, ids for templates, undos.

use std::collections::BTreeMap;
use std::time::Duration;

use super::build::{last_line, variables};
use super::raw::{RawOutput, RawOutputKind, RawRetry, RawStep, RawUndo, Span};
use super::{Part, Places};
use crate::limits;
use crate::runbook::model::{Action, OutputSpec, Retry, Step, Undo};

/// Delay between tries when none is written.
const RETRY_DELAY: Duration = Duration::from_secs(10);
/// Longest delay when none is written.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// Steps in the order in which they run.
pub(super) fn steps(raw: Vec<RawStep>, places: &mut Places<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(raw.len());
    for (number, raw) in raw.into_iter().enumerate() {
        let step = step(raw, number, &steps, places);
        steps.push(step);
    }
    steps.sort_by_key(|step| step.order);
    steps
}

fn step(mut raw: RawStep, number: usize, before: &[Step], places: &mut Places<'_>) -> Step {
    let path = |key: &'static str| [Part::Key("steps"), Part::Item(number), Part::Key(key)];
    let position = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
    let name = raw.name.clone().or_else(|| raw.id.clone()).unwrap_or_else(|| format!("Step {position}"));
    let id = id_of(raw.id.take(), &name, number, before, places);
    let order = raw.step_order.unwrap_or(position);
    if let Some(other) = before.iter().find(|other| other.order == order) {
        let message = format!("steps `{}` and `{name}` have the same step_order {order}", other.name);
        places.error(
            "E110",
            &path("step_order"),
            message,
            "number them differently, or leave `step_order` out of all of them",
        );
    }
    conflict(raw.timeout.is_some() && raw.timeout_seconds.is_some(), &path("timeout"), "timeout_seconds", places);
    conflict(raw.when.is_some() && raw.condition.is_some(), &path("when"), "condition", places);
    conflict(raw.no_log.is_some() && raw.sensitive.is_some(), &path("no_log"), "sensitive", places);
    conflict(raw.rollback.is_some() && raw.rollback_command.is_some(), &path("rollback"), "rollback_command", places);
    let retried = raw.retry_count.is_some() || raw.retry_delay_seconds.is_some();
    conflict(raw.retry.is_some() && retried, &path("retry"), "retry_count", places);
    let timeout = span(raw.timeout).or(raw.timeout_seconds.map(Duration::from_secs)).unwrap_or(limits::STEP_TIMEOUT);
    let become_user = raw.become_user.map(|user| user.0).filter(|user| !user.is_empty());
    let here = [Part::Key("steps"), Part::Item(number)];
    let undo = raw.rollback.map(|undo| undo_of(undo, number, timeout, become_user.as_ref(), places)).or_else(|| {
        let command = raw.rollback_command?;
        Some(Undo { action: Action::Command(command), when: None, become_user: become_user.clone(), timeout })
    });
    Step {
        action: action(raw.command, raw.argv, raw.script, raw.interpreter, &here, places),
        description: raw.description.unwrap_or_default(),
        expected_exit_codes: match raw.expected_exit_codes {
            Some(codes) if !codes.is_empty() => codes.into_iter().map(|code| code.0).collect(),
            _ => vec![0],
        },
        timeout,
        continue_on_failure: raw.continue_on_failure.unwrap_or(false),
        when: raw.when.or(raw.condition),
        undo,
        retry: retry(raw.retry, raw.retry_count, raw.retry_delay_seconds),
        capture_output: raw.capture_output.unwrap_or(true),
        sensitive: raw.sensitive.or(raw.no_log).unwrap_or(false),
        idempotent: raw.idempotent.unwrap_or(false),
        expect_disconnect: raw.expect_disconnect.unwrap_or(false),
        become_user,
        env: variables(raw.env, &path("env"), places),
        workdir: raw.workdir,
        outputs: outputs(raw.outputs.unwrap_or_default(), number, places),
        output_bytes_max: raw.max_output_bytes.unwrap_or(limits::OUTPUT_BYTES_MAX),
        id,
        name,
        order,
    }
}

/// The author's id, or one made of the name; two steps of one name get different ids.
fn id_of(given: Option<String>, name: &str, number: usize, before: &[Step], places: &mut Places<'_>) -> String {
    let is_taken = |id: &str| before.iter().any(|step| step.id == id);
    if let Some(id) = given {
        if is_taken(&id) {
            let path = [Part::Key("steps"), Part::Item(number), Part::Key("id")];
            places.error("E110", &path, format!("there are two steps with the id `{id}`"), "rename one");
        }
        return id;
    }
    let mut id = String::new();
    for char in name.chars() {
        match char.is_ascii_alphanumeric() {
            true => id.push(char.to_ascii_lowercase()),
            false if id.ends_with('_') || id.is_empty() => {}
            false => id.push('_'),
        }
    }
    let mut id = id.trim_end_matches('_').to_owned();
    if id.is_empty() || id.starts_with(|first: char| first.is_ascii_digit()) {
        id = format!("step_{id}").trim_end_matches('_').to_owned();
    }
    let mut unique = id.clone();
    let mut count = 1;
    while is_taken(&unique) {
        count += 1;
        unique = format!("{id}_{count}");
    }
    unique
}

fn action(
    command: Option<String>,
    argv: Option<Vec<String>>,
    script: Option<String>,
    interpreter: Option<String>,
    path: &[Part<'_>],
    places: &mut Places<'_>,
) -> Action {
    let kinds = [("command", command.is_some()), ("argv", argv.is_some()), ("script", script.is_some())];
    let present: Vec<&str> = kinds.iter().filter(|(_, is_present)| *is_present).map(|(name, _)| *name).collect();
    let at = |key: &'static str| path.iter().copied().chain([Part::Key(key)]).collect::<Vec<Part<'_>>>();
    if present.len() > 1 {
        let message = format!("a step does one thing, but here are {}", present.join(" and "));
        places.error("E106", path, message, "make it two steps");
    }
    if interpreter.is_some() && script.is_none() {
        places.error("E106", &at("interpreter"), "`interpreter` belongs to `script`", "write `script:`, or remove it");
    }
    if interpreter.as_deref().is_some_and(|interpreter| !is_program(interpreter)) {
        let message = "`interpreter` must be a program, with plain arguments at most";
        places.error("E103", &at("interpreter"), message, "write it like `/usr/bin/python3` or `bash -eu`");
    }
    let text = match (command, argv, script) {
        (Some(command), ..) => Action::Command(command),
        (None, Some(argv), _) => Action::Argv(argv),
        (None, None, Some(text)) => Action::Script { text, interpreter },
        (None, None, None) => {
            places.error("E105", path, "`command`, `argv` or `script` is missing", "say what is to be run");
            return Action::Command("true".to_owned());
        }
    };
    let is_empty = match &text {
        Action::Command(text) | Action::Script { text, .. } => text.trim().is_empty(),
        Action::Argv(words) => words.first().is_none_or(|program| program.trim().is_empty()),
    };
    if is_empty {
        places.error("E105", &at(<&'static str>::from(&text)), "there is nothing to run", "write a command");
    }
    text
}

/// A program's name with simple arguments: it is put into the remote script as it is.
fn is_program(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "._/+=- ".contains(char))
}

fn undo_of(raw: RawUndo, number: usize, timeout: Duration, user: Option<&String>, places: &mut Places<'_>) -> Undo {
    let path = [Part::Key("steps"), Part::Item(number), Part::Key("rollback")];
    Undo {
        action: action(raw.command, raw.argv, raw.script, raw.interpreter, &path, places),
        when: raw.when,
        become_user: match raw.become_user {
            Some(user) => Some(user.0).filter(|user| !user.is_empty()),
            None => user.cloned(),
        },
        timeout: span(raw.timeout).unwrap_or(timeout),
    }
}

fn retry(raw: Option<RawRetry>, count: Option<u32>, delay: Option<u64>) -> Retry {
    let Some(raw) = raw else {
        let delay = delay.map_or(RETRY_DELAY, Duration::from_secs);
        return Retry {
            attempts: count.unwrap_or(0).saturating_add(1),
            delay,
            backoff_milli: 1_000,
            max_delay: delay.max(RETRY_DELAY_MAX),
            on_exit_codes: Vec::new(),
        };
    };
    let delay = span(raw.delay).unwrap_or(RETRY_DELAY);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it to 1 … 100")]
    let backoff_milli = (raw.backoff.unwrap_or(1.0) * 1_000.0).round() as u32;
    Retry {
        attempts: raw.attempts,
        delay,
        backoff_milli,
        max_delay: span(raw.max_delay).unwrap_or(RETRY_DELAY_MAX).max(delay),
        on_exit_codes: raw.on_exit_codes.unwrap_or_default().into_iter().map(|code| code.0).collect(),
    }
}

fn outputs(raw: BTreeMap<String, RawOutput>, number: usize, places: &mut Places<'_>) -> BTreeMap<String, OutputSpec> {
    let mut outputs = BTreeMap::new();
    for (name, raw) in raw {
        let path = [Part::Key("steps"), Part::Item(number), Part::Key("outputs"), Part::Key(&name)];
        let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
        if !is_name {
            places.error("E103", &path, format!("`{name}` is not a name"), "use letters, digits and `_`");
        }
        let kind = raw.parse.unwrap_or(RawOutputKind::Text);
        if raw.pattern.is_some() && kind != RawOutputKind::Regex {
            places.error("E106", &path, "`pattern` belongs to `parse: regex`", "write `parse: regex`");
        }
        if raw.path.is_some() && !matches!(kind, RawOutputKind::Json | RawOutputKind::Kv) {
            places.error(
                "E106",
                &path,
                "`path` belongs to `parse: json` and `parse: kv`",
                "say how the output is read",
            );
        }
        let spec = match kind {
            RawOutputKind::Text => OutputSpec::Text,
            RawOutputKind::Json => OutputSpec::Json { path: raw.path },
            RawOutputKind::Kv => OutputSpec::KeyValue { key: raw.path.unwrap_or_else(|| name.clone()) },
            RawOutputKind::Regex => {
                let Some(pattern) = raw.pattern else {
                    places.error("E105", &path, format!("`pattern` is missing in output `{name}`"), "add it");
                    continue;
                };
                if let Err(error) = limits::regex(&pattern).build() {
                    let message = format!("`{pattern}` is no regular expression: {}", last_line(&error));
                    places.error("E111", &path, message, "");
                }
                OutputSpec::Regex { pattern }
            }
        };
        outputs.insert(name, spec);
    }
    outputs
}

fn conflict(is_conflict: bool, path: &[Part<'_>], other: &str, places: &mut Places<'_>) {
    if is_conflict {
        let key = match path.last() {
            Some(Part::Key(key)) => *key,
            Some(Part::Item(_)) | None => "",
        };
        places.error("E106", path, format!("`{key}` and `{other}` say the same thing"), "remove one of them");
    }
}

fn span(span: Option<Span>) -> Option<Duration> {
    span.map(|span| span.duration())
}
