//! `douse executions`: what ran, runs, or waits, and what a person may do about it.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, ClientArgs, segment};
use super::exit::{Exit, Failure};
use super::output::{self, Column, OutputArgs, column, milliseconds, text, wide};

/// Look at executions, and act on them
#[derive(Args, Debug)]
pub struct Executions {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List executions, newest first
    List {
        /// pending, approved, running, completed, failed, timeout, cancelled, rejected, expired or interrupted
        #[arg(long)]
        status: Option<String>,
        #[arg(long)]
        runbook: Option<String>,
        #[arg(long)]
        server: Option<String>,
        /// Id of an alert
        #[arg(long)]
        alert: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one execution with its steps
    Show { id: String },
    /// Print what its steps printed
    Logs {
        id: String,
        /// Wait for more until it ends
        #[arg(short, long)]
        follow: bool,
    },
    /// Stop it: at once if it waits, else with TERM to the running step
    Cancel {
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Run an ended one again, as a new execution
    Retry {
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Undo what an ended one did, as a new execution
    Rollback {
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Free the server that a stuck or interrupted one holds, after looking at it
    Release {
        id: String,
        /// What was found there; stands in the record
        #[arg(short = 'm', long = "reason", value_name = "TEXT", required = true)]
        reason: String,
    },
    /// Print the whole record as one JSON document
    Export { id: String },
}

/// Why a person does something; stands in the audit log.
#[derive(Args, Debug)]
pub(super) struct Reason {
    /// Why; stands in the audit log
    #[arg(short = 'm', long = "reason", value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

impl Reason {
    fn body(self) -> Value {
        self.reason.map_or_else(|| json!({}), |reason| json!({"reason": reason}))
    }
}

pub(super) const COLUMNS: &[Column] = &[
    column("id", |i| text(i, "id")),
    column("status", status),
    column("runbook", |i| text(i, "runbook")),
    column("server", |i| text(i, "server")),
    column("created", |i| super::time::short(&text(i, "created_at"))),
    column("took", |i| milliseconds(i, "duration_ms")),
    wide("origin", |i| text(i, "origin")),
    wide("trigger", |i| text(i, "trigger")),
    wide("verification", |i| text(i, "verification")),
    wide("by", |i| text(i, "created_by")),
    wide("error", |i| text(i, "error_message")),
];

/// The status with what must not be overlooked.
fn status(item: &Value) -> String {
    let status = text(item, "status");
    if text(item, "rollback") == "stuck" { format!("{status} (rollback stuck)") } else { status }
}

impl Executions {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        let output = &self.output;
        match self.command {
            Command::List { status, runbook, server, alert, limit } => {
                let filters = [("status", status), ("runbook", runbook), ("server", server), ("alert", alert)];
                let query: Vec<_> = filters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
                let items = client.list("executions", &query, limit).await?;
                output.list(&items, "id", COLUMNS)?;
            }
            Command::Show { id } => {
                let execution = client.get(&format!("executions/{}", segment(&id)), &[]).await?;
                output.one(&execution, "id", show)?;
            }
            Command::Logs { id, follow } => return super::follow::logs(&client, &id, follow).await,
            Command::Export { id } => {
                let document = client.get(&format!("executions/{}/export", segment(&id)), &[]).await?;
                let text =
                    serde_json::to_string_pretty(&document).map_err(|error| Failure::error(error.to_string()))?;
                output::line(&text)?;
            }
            Command::Cancel { id, reason } => act(&client, output, &id, "cancel", reason).await?,
            Command::Retry { id, reason } => retry(&client, output, &id, reason).await?,
            Command::Rollback { id, reason } => act(&client, output, &id, "rollback", reason).await?,
            Command::Release { id, reason } => {
                act(&client, output, &id, "release", Reason { reason: Some(reason) }).await?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// `POST executions/{id}/{what}`, and what it made of it.
async fn act(client: &Client, output: &OutputArgs, id: &str, what: &str, reason: Reason) -> Result<(), Failure> {
    let execution = client.post(&format!("executions/{}/{what}", segment(id)), &reason.body()).await?;
    output.one(&execution, "id", |execution| format!("{} {}\n", text(execution, "id"), status(execution)))
}

/// A new run of an ended one asks all gates again, as `douse run` does.
async fn retry(client: &Client, output: &OutputArgs, id: &str, reason: Reason) -> Result<(), Failure> {
    let path = format!("/api/v1/executions/{}/retry", segment(id));
    let answer = client.send(Method::POST, &path, &[], Some(&reason.body()), &[]).await?;
    super::run::tell_objections(&answer);
    let decision = client.accept(answer)?;
    output.one(&decision, "execution_id", |i| format!("{} {}\n", text(i, "execution_id"), text(i, "verdict")))
}

/// One execution for a person.
pub(super) fn show(execution: &Value) -> String {
    let mut lines = String::new();
    let rows = [
        ("id", "id"),
        ("runbook", "runbook"),
        ("version", "runbook_version"),
        ("server", "server"),
        ("status", "status"),
        ("phase", "phase"),
        ("rollback", "rollback"),
        ("verification", "verification"),
        ("origin", "origin"),
        ("trigger", "trigger"),
        ("alert", "alert_id"),
        ("parameters", "parameters"),
        ("created", "created_at"),
        ("created by", "created_by"),
        ("approved", "approved_at"),
        ("approved by", "approved_by"),
        ("rejected by", "rejected_by"),
        ("rejected for", "rejection_reason"),
        ("held until", "held_until"),
        ("started", "started_at"),
        ("completed", "completed_at"),
        ("skipped for", "skip_reason"),
        ("error", "error_message"),
        ("plan hash", "plan_hash"),
    ];
    for (name, key) in rows {
        let value = text(execution, key);
        let is_told = !value.is_empty() && value != "none" && value != "{}";
        if is_told {
            lines.push_str(&format!("{name:<13}{value}\n"));
        }
    }
    if let Some(steps) = execution.get("steps").and_then(Value::as_array).filter(|steps| !steps.is_empty()) {
        lines.push('\n');
        lines.push_str(&output::table(steps, STEPS, false));
    }
    lines
}

const STEPS: &[Column] = &[
    column("step", |i| text(i, "step_order")),
    column("phase", |i| text(i, "phase")),
    column("name", |i| text(i, "name")),
    column("status", |i| text(i, "status")),
    column("exit", |i| text(i, "exit_code")),
    column("took", |i| milliseconds(i, "duration_ms")),
    column("error", |i| text(i, "error_message")),
];
