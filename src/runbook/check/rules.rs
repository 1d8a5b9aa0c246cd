//! Warnings about one runbook's meaning.

use super::commands::{Command, commands};
use super::danger::{changes, destruction, is_silent_sudo};
use crate::alert::AlertStatus;
use crate::problem::Problem;
use crate::runbook::model::{Action, Mode, Risk, Runbook};
use crate::runbook::parse::yaml::{Node, Place};
use crate::runbook::parse::{Part, find, line_of_text};
use crate::runbook::sites::{SiteKind, sites, step_positions};
use crate::runbook::template::{Form, printed};
use crate::trigger::pattern::Pattern;

/// Alerts about Douse itself that a run can cause (`contrib/prometheus/douse.rules.yml`).
const OWN_ALERTS: [&str; 4] = ["DouseRunbookFails", "DouseBreakerOpen", "DouseRollbackStuck", "DouseSshFails"];

/// Adds what is found in `runbook`.
pub(super) fn check(file: &str, runbook: &Runbook, document: &Node, problems: &mut Vec<Problem>) {
    let mut rules = Rules { file, runbook, document, problems };
    rules.time();
    rules.safety();
    rules.triggers();
    rules.steps();
    rules.values();
}

struct Rules<'a> {
    file: &'a str,
    runbook: &'a Runbook,
    document: &'a Node,
    problems: &'a mut Vec<Problem>,
}

impl Rules<'_> {
    /// W201: the steps may take longer than the runbook.
    fn time(&mut self) {
        let times = self.runbook.steps.iter().map(|step| {
            let tries = step.retry.attempts;
            step.timeout.saturating_mul(tries) + step.retry.delay.saturating_mul(tries.saturating_sub(1))
        });
        let total: std::time::Duration = times.sum();
        if total > self.runbook.timeout {
            let message = format!(
                "the steps may take {} s, but the runbook's time is over after {} s",
                total.as_secs(),
                self.runbook.timeout.as_secs()
            );
            let at = find(self.document, &["timeout_seconds".into()]).place;
            self.warn("W201", at, message, "raise `timeout_seconds`, or lower the steps' time-outs and tries");
        }
    }

    /// W204: dangerous and unasked.
    fn safety(&mut self) {
        if self.runbook.mode == Mode::Auto && self.runbook.risk == Risk::High && !self.runbook.requires_approval {
            let at = find(self.document, &["requires_approval".into()]).place;
            let message = "a runbook of high risk runs without anybody being asked";
            self.warn("W204", at, message, "remove `requires_approval: false`, or lower `risk`");
        }
    }

    /// W207, W208, W214, W215.
    fn triggers(&mut self) {
        for (number, trigger) in self.runbook.triggers.iter().enumerate().filter(|(_, trigger)| trigger.spec.enabled) {
            let at = find(self.document, &["triggers".into(), number.into()]).place;
            let name = trigger.name();
            if trigger.matches_every_alert() {
                let message = format!("trigger `{name}` matches every alert");
                self.warn("W207", at, message, "name the alerts with `alert_name_pattern` or `labels_match`");
            }
            let guard = &self.runbook.guard;
            let has_cooldown = trigger.spec.cooldown.or(guard.cooldown).is_some_and(|cooldown| !cooldown.is_zero());
            if self.runbook.mode == Mode::Auto && !has_cooldown && guard.rate_limit.is_none() {
                let message = format!("trigger `{name}` starts runs by itself, without a cooldown or a rate limit");
                self.warn("W208", at, message, "add `cooldown_seconds` to the trigger");
            }
            let pattern = trigger.spec.alert_name_pattern.as_deref().and_then(|text| Pattern::parse(text).ok());
            let is_own = pattern.is_some_and(|pattern| OWN_ALERTS.iter().any(|own| pattern.matches(own)));
            if is_own && !trigger.matches_every_alert() {
                let message = format!(
                    "trigger `{name}` matches alerts about Douse's own runs: a failing run starts the next one"
                );
                self.warn("W214", at, message, "narrow `alert_name_pattern`");
            }
            if trigger.spec.status == AlertStatus::Resolved {
                let message = format!("trigger `{name}` never starts a run: the end of an alert is not acted on yet");
                self.warn(
                    "W215",
                    at,
                    message,
                    "leave `status` out to act while the alert fires, or remove the trigger",
                );
            }
        }
    }

    /// W202, W209, W210, W213.
    fn steps(&mut self) {
        let runbook = self.runbook;
        let positions = step_positions(self.document);
        for (number, step) in runbook.steps.iter().enumerate() {
            let position = positions.get(number).copied().unwrap_or(number);
            let here = [Part::Key("steps"), Part::Item(position)];
            // Nothing takes a reboot back.
            let may_stay = step.idempotent || step.expect_disconnect;
            if step.undo.is_none() && !may_stay && runbook.rollback.enabled && changes(step) {
                let at = find(self.document, &here).place;
                let message = format!("step `{}` changes something, has no undo and is not `idempotent`", step.name);
                let hint = "add `rollback_command`, or `idempotent: true` if running it twice does no harm";
                self.warn("W202", at, message, hint);
            }
            let key = <&'static str>::from(&step.action);
            self.action(&step.action, &[here[0], here[1], Part::Key(key)]);
            if let Some(undo) = &step.undo {
                let item = find(self.document, &here);
                let path = match item.get("rollback_command").is_some() {
                    true => vec![here[0], here[1], Part::Key("rollback_command")],
                    false => {
                        vec![here[0], here[1], Part::Key("rollback"), Part::Key(<&'static str>::from(&undo.action))]
                    }
                };
                self.action(&undo.action, &path);
            }
        }
    }

    fn action(&mut self, action: &Action, path: &[Part<'_>]) {
        let (text, is_shell) = match action {
            Action::Command(text) => (text.clone(), true),
            Action::Script { text, interpreter } => {
                (text.clone(), Form::of_interpreter(interpreter.as_deref()) == Form::Shell)
            }
            Action::Argv(words) => {
                let command = Command { words: words.clone(), line: 1, is_piped: false };
                let at = find(self.document, path).place;
                self.command(&command, at);
                return;
            }
        };
        if !is_shell {
            return;
        }
        let found = commands(&text);
        let node = find(self.document, path);
        for command in &found {
            self.command(command, line_of_text(node, command.line));
        }
        let has_pipefail = found.iter().any(|command| {
            command.program() == "set" && command.arguments().iter().any(|argument| argument == "pipefail")
        });
        if let Some(piped) = found.iter().find(|command| command.is_piped).filter(|_| !has_pipefail) {
            let at = line_of_text(node, piped.line);
            let message =
                format!("a failure of `{}` is not noticed: only the end of the pipeline counts", piped.program());
            let hint = "use `script:` with `interpreter: bash` and `set -o pipefail`, or avoid the pipe";
            self.warn("W210", at, message, hint);
        }
    }

    fn command(&mut self, command: &Command, at: Place) {
        if command.program() == "sudo" && !is_silent_sudo(command) {
            let message = "`sudo` without `-n` waits for a password that nobody can type";
            self.warn("W209", at, message, "write `sudo -n`, or `become: true` instead of `sudo`");
        }
        if let Some(why) = destruction(command) {
            self.warn(
                "W213",
                at,
                format!("this can destroy more than it should: {why}"),
                "look twice; then silence this line",
            );
        }
    }

    /// W203: a value of the alert goes into a command as it is.
    fn values(&mut self) {
        for site in sites(self.runbook, self.document) {
            let SiteKind::Text(Form::Shell | Form::PowerShell | Form::OtherScript) = site.kind else { continue };
            for (expression, line) in printed(site.text) {
                let is_outside =
                    ["alert.", "alert[", "group.", "group["].iter().any(|root| expression.starts_with(root));
                let last = expression.rsplit('|').next().unwrap_or_default().trim();
                if is_outside && !["shq", "psq", "int", "seconds"].contains(&last) {
                    let node = find(self.document, &site.path);
                    let key = match site.path.get(2) {
                        Some(Part::Key("rollback")) => {
                            find(self.document, site.path.get(..2).unwrap_or_default()).get("rollback_command")
                        }
                        _ => None,
                    };
                    let at = line_of_text(key.unwrap_or(node), line);
                    let message = format!(
                        "`{expression}` goes into a command as it is; a value with a space or a quote refuses the run"
                    );
                    let hint = "add `| shq`, or name it in `environment_vars` or `parameters`";
                    self.warn("W203", at, message, hint);
                }
            }
        }
    }

    fn warn(&mut self, code: &'static str, at: Place, message: impl Into<String>, hint: &str) {
        self.problems.push(Problem::warning(code, self.file, at.line, at.column, message).hint(hint));
    }
}
