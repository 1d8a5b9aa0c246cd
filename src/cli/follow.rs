//! Following an execution: its steps as they come, and the exit code of its end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::output::{self, milliseconds, text, visible};

/// Between two looks at a running execution.
const LOOK_AGAIN: Duration = Duration::from_millis(400);

/// How a script learns what became of an execution.
pub(super) fn exit_of(execution: &Value) -> Exit {
    let is_stuck = text(execution, "rollback") == "stuck";
    match text(execution, "status").as_str() {
        "completed" => match text(execution, "verification").as_str() {
            "ineffective" | "inconclusive" => Exit::NotVerified,
            _ => Exit::Ok,
        },
        _ if is_stuck => Exit::RollbackStuck,
        "failed" | "interrupted" => Exit::ExecutionFailed,
        "timeout" => Exit::TimedOut,
        "rejected" | "expired" => Exit::Rejected,
        "cancelled" if !text(execution, "skip_reason").is_empty() => Exit::Blocked,
        "cancelled" => Exit::Cancelled,
        _ => Exit::Error,
    }
}

/// Nothing more will happen by itself.
fn is_over(execution: &Value) -> bool {
    let status = text(execution, "status");
    !matches!(status.as_str(), "pending" | "approved" | "running")
}

/// Waits for the end; with `tells`, every change on standard error.
pub(super) async fn wait(client: &Client, id: &str, tells: bool) -> Result<Value, Failure> {
    let path = format!("executions/{}", segment(id));
    let mut told = Told::default();
    loop {
        let execution = client.get(&path, &[]).await?;
        if tells {
            told.tell(&execution);
        }
        if is_over(&execution) {
            return Ok(execution);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What was told already.
#[derive(Default)]
struct Told {
    status: String,
    steps: BTreeMap<(String, String), String>,
}

impl Told {
    fn tell(&mut self, execution: &Value) {
        for step in steps(execution) {
            let key = (text(step, "phase"), text(step, "step_order"));
            let status = text(step, "status");
            if status == "pending" || self.steps.get(&key) == Some(&status) {
                continue;
            }
            let took = milliseconds(step, "duration_ms");
            let took = if took.is_empty() { took } else { format!(" ({took})") };
            let undo = if key.0 == "rollback" { "undo " } else { "" };
            output::note(&visible(&format!("  {status:<10} {undo}{}{took}", text(step, "name"))));
            if matches!(status.as_str(), "failed" | "timeout") {
                for line in text(step, "stderr").lines() {
                    output::note(&visible(&format!("             {line}")));
                }
            }
            self.steps.insert(key, status);
        }
        let status = text(execution, "status");
        if status != self.status {
            let why = match status.as_str() {
                "pending" => " (waits for a person: `douse approvals list`)",
                "approved" => " (waits for its turn)",
                _ => "",
            };
            output::note(&visible(&format!(
                "{} on {}: {status}{why}",
                text(execution, "runbook"),
                text(execution, "server")
            )));
            self.status = status;
        }
    }
}

fn steps(execution: &Value) -> &[Value] {
    execution.get("steps").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Prints what the steps printed: their standard output on ours, all else on standard error.
pub(super) async fn logs(client: &Client, id: &str, follow: bool) -> Result<Exit, Failure> {
    let path = format!("executions/{}", segment(id));
    let mut printed: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    loop {
        let execution = client.get(&path, &[]).await?;
        for step in steps(&execution) {
            let key = (text(step, "phase"), text(step, "step_order"));
            let status = text(step, "status");
            if matches!(status.as_str(), "pending" | "skipped") {
                continue;
            }
            let is_new = !printed.contains_key(&key);
            if is_new {
                output::note(&visible(&format!("== {} {}: {}", key.0, key.1, text(step, "name"))));
            }
            let (stdout, stderr) = (text(step, "stdout"), text(step, "stderr"));
            let before = printed.entry(key).or_default();
            output::write(&visible(news(&before.0, &stdout)))?;
            for line in news(&before.1, &stderr).lines() {
                output::note(&visible(line));
            }
            *before = (stdout, stderr);
        }
        if !follow || is_over(&execution) {
            return Ok(Exit::Ok);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What `now` has more than `before`; all of it when it is another text (a new attempt).
fn news<'t>(before: &str, now: &'t str) -> &'t str {
    now.strip_prefix(before).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_end_has_its_exit_code() {
        for (execution, exit) in [
            (json!({"status": "completed", "verification": "none"}), Exit::Ok),
            (json!({"status": "completed", "verification": "effective"}), Exit::Ok),
            (json!({"status": "completed", "verification": "inconclusive"}), Exit::NotVerified),
            (json!({"status": "failed", "rollback": "done"}), Exit::ExecutionFailed),
            (json!({"status": "failed", "rollback": "stuck"}), Exit::RollbackStuck),
            (json!({"status": "rejected"}), Exit::Rejected),
            (json!({"status": "expired"}), Exit::Rejected),
            (json!({"status": "timeout", "rollback": "none"}), Exit::TimedOut),
            (json!({"status": "cancelled", "skip_reason": null}), Exit::Cancelled),
            (json!({"status": "cancelled", "skip_reason": "blackout"}), Exit::Blocked),
            (json!({"status": "interrupted"}), Exit::ExecutionFailed),
        ] {
            assert_eq!(exit_of(&execution), exit, "{execution}");
        }
    }

    #[test]
    fn only_what_is_new_is_printed() {
        assert_eq!(news("one\n", "one\ntwo\n"), "two\n");
        assert_eq!(news("one\n", "other\n"), "other\n");
    }
}
