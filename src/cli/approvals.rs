//! `douse approvals`: what waits for a person's yes.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{ClientArgs, segment};
use super::executions::Reason;
use super::exit::{Exit, Failure};
use super::output::{Column, OutputArgs, column, plain, text, wide};

/// See what waits for approval, and decide
#[derive(Args, Debug)]
pub struct Approvals {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List what waits, newest first
    List {
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one request with its plan: what would run, and how it would be undone
    Show { id: String },
    /// Say yes: to one execution, or to all members of a batch
    Approve {
        id: String,
        /// Only if the plan is still the one that `show` showed; a batch needs it
        #[arg(long, value_name = "HASH")]
        plan_hash: Option<String>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Say no
    Reject {
        id: String,
        /// Why; stands in the record
        #[arg(short = 'm', long = "reason", value_name = "TEXT", required = true)]
        reason: String,
    },
}

const COLUMNS: &[Column] = &[
    column("id", |i| text(i, "id")),
    column("kind", |i| text(i, "kind")),
    column("runbook", |i| text(i, "runbook")),
    column("on", |i| text(i, "servers")),
    column("since", |i| super::time::short(&text(i, "created_at"))),
    column("expires", |i| super::time::short(&text(i, "expires_at"))),
    wide("by", |i| text(i, "created_by")),
    wide("why", |i| text(i, "reasons")),
];

impl Approvals {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        match self.command {
            Command::List { limit } => {
                let items = client.list("approvals", &[], limit).await?;
                self.output.list(&items, "id", COLUMNS)?;
            }
            Command::Show { id } => {
                let approval = client.get(&format!("approvals/{}", segment(&id)), &[]).await?;
                self.output.one(&approval, "id", show)?;
            }
            Command::Approve { id, plan_hash, reason } => {
                let body = json!({"reason": reason.reason, "plan_hash": plan_hash});
                let answer = client.post(&format!("approvals/{}/approve", segment(&id)), &body).await?;
                self.output.one(&answer, "id", decided)?;
            }
            Command::Reject { id, reason } => {
                let path = format!("approvals/{}/reject", segment(&id));
                let answer = client.post(&path, &json!({"reason": reason})).await?;
                self.output.one(&answer, "id", decided)?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn decided(approval: &Value) -> String {
    format!("{} {}\n", text(approval, "id"), text(approval, "state"))
}

fn show(approval: &Value) -> String {
    let mut lines = String::new();
    let rows = [
        ("id", "id"),
        ("kind", "kind"),
        ("state", "state"),
        ("runbook", "runbook"),
        ("on", "servers"),
        ("asked by", "created_by"),
        ("asked at", "created_at"),
        ("expires", "expires_at"),
        ("because of", "reasons"),
        ("risk", "risk"),
        ("says", "message"),
        ("roles", "roles"),
        ("agreed", "agreed_by"),
    ];
    for (name, key) in rows {
        let value = text(approval, key);
        if !value.is_empty() {
            lines.push_str(&format!("{name:<12}{value}\n"));
        }
    }
    let needed = approval.get("min_approvals").and_then(Value::as_u64).unwrap_or(1);
    if needed > 1 {
        lines.push_str(&format!("{:<12}{needed} different people\n", "needs"));
    }
    for member in approval.get("members").and_then(Value::as_array).into_iter().flatten() {
        lines.push_str(&format!("\n{} on {}\n", text(member, "execution_id"), text(member, "server")));
        for step in member.get("steps").and_then(Value::as_array).into_iter().flatten() {
            lines.push_str(&format!("  {} {}\n", text(step, "step_order"), text(step, "name")));
            lines.push_str(&indented("      $ ", &text(step, "action")));
            if step.get("undo").is_some_and(|undo| !undo.is_null()) {
                lines.push_str(&indented("   undo $ ", &step.get("undo").map(plain).unwrap_or_default()));
            }
        }
    }
    if text(approval, "state") == "pending" {
        let (id, hash) = (text(approval, "id"), text(approval, "plan_hash"));
        lines.push_str(&format!("\ndouse approvals approve {id} --plan-hash {hash}\n"));
    }
    lines
}

fn indented(first: &str, text: &str) -> String {
    let rest = " ".repeat(first.len());
    text.lines().enumerate().map(|(n, line)| format!("{}{line}\n", if n == 0 { first } else { &rest })).collect()
}
