//! `douse runbooks`: what is in force, its history, and an operator's override.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{ClientArgs, segment};
use super::executions::Reason;
use super::exit::{Exit, Failure};
use super::output::{self, Column, OutputArgs, column, text, wide};

/// Look at runbooks, switch one off or on
#[derive(Args, Debug)]
pub struct Runbooks {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List runbooks by name
    List {
        /// At most this many
        #[arg(long, default_value_t = 200)]
        limit: usize,
    },
    /// Show one runbook
    Show { name: String },
    /// Print the file of a runbook, as it is in force
    Export { name: String },
    /// List the versions of a runbook, newest first
    History { name: String },
    /// Compare a version with the one before it
    Diff {
        name: String,
        /// Number of the version; the newest if not given
        version: Option<u32>,
    },
    /// Take an operator's `disable` back
    Enable {
        name: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Keep a runbook from running, whatever its file says
    Disable {
        name: String,
        #[command(flatten)]
        reason: Reason,
    },
}

const COLUMNS: &[Column] = &[
    column("name", |i| text(i, "name")),
    column("status", |i| text(i, "status")),
    column("mode", |i| text(i, "mode")),
    column("version", |i| text(i, "version")),
    column("category", |i| text(i, "category")),
    column("triggers", |i| i.get("triggers").and_then(Value::as_array).map_or(0, Vec::len).to_string()),
    wide("risk", |i| text(i, "risk")),
    wide("owner", |i| text(i, "owner")),
    wide("tags", |i| text(i, "tags")),
    wide("description", |i| text(i, "description")),
];

const HISTORY: &[Column] = &[
    column("version", |i| text(i, "version")),
    column("created", |i| super::time::short(&text(i, "created_at"))),
    column("by", |i| text(i, "created_by")),
    column("change", |i| text(i, "change_summary")),
    wide("path", |i| text(i, "path")),
    wide("hash", |i| text(i, "content_hash")),
];

impl Runbooks {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        let at = |name: &str, rest: &str| format!("runbooks/{}{rest}", segment(name));
        match self.command {
            Command::List { limit } => {
                let items = client.list("runbooks", &[], limit).await?;
                self.output.list(&items, "name", COLUMNS)?;
            }
            Command::Show { name } => {
                let runbook = client.get(&at(&name, ""), &[]).await?;
                self.output.one(&runbook, "name", show)?;
            }
            Command::Export { name } => {
                let file = client.get(&at(&name, "/export"), &[]).await?;
                output::write(&output::plain(&file))?;
            }
            Command::History { name } => {
                let items = client.list(&at(&name, "/versions"), &[], 200).await?;
                self.output.list(&items, "version", HISTORY)?;
            }
            Command::Diff { name, version } => {
                let version = match version {
                    Some(version) => version.to_string(),
                    None => text(&client.get(&at(&name, ""), &[]).await?, "version"),
                };
                let diff = client.get(&at(&name, &format!("/versions/{version}/diff")), &[]).await?;
                self.output.one(&diff, "version", |diff| text(diff, "diff"))?;
            }
            Command::Enable { name, reason } => {
                let answer = client.post(&at(&name, "/enable"), &json!({"reason": reason.reason})).await?;
                self.output.one(&answer, "name", |i| format!("{} {}\n", text(i, "name"), text(i, "status")))?;
            }
            Command::Disable { name, reason } => {
                let answer = client.post(&at(&name, "/disable"), &json!({"reason": reason.reason})).await?;
                self.output.one(&answer, "name", |i| format!("{} {}\n", text(i, "name"), text(i, "status")))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn show(runbook: &Value) -> String {
    let mut lines = String::new();
    for (name, key) in [
        ("name", "name"),
        ("description", "description"),
        ("status", "status"),
        ("override", "override"),
        ("mode", "mode"),
        ("version", "version"),
        ("category", "category"),
        ("risk", "risk"),
        ("owner", "owner"),
        ("tags", "tags"),
        ("path", "path"),
        ("approval", "requires_approval"),
        ("approvers", "approval_roles"),
    ] {
        let value = text(runbook, key);
        if !value.is_empty() {
            lines.push_str(&format!("{name:<13}{value}\n"));
        }
    }
    let part = |name: &str| runbook.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for (title, items, columns) in [
        ("parameters", part("parameters"), PARAMETERS),
        ("steps", part("steps"), STEPS),
        ("triggers", part("triggers"), TRIGGERS),
    ] {
        if !items.is_empty() {
            lines.push_str(&format!("\n{title}\n{}", output::table(&items, columns, false)));
        }
    }
    lines
}

const PARAMETERS: &[Column] = &[
    column("name", |i| text(i, "name")),
    column("type", |i| text(i, "type")),
    column("default", |i| text(i, "default")),
    column("required", |i| text(i, "required")),
    column("description", |i| text(i, "description")),
];
const STEPS: &[Column] = &[
    column("step", |i| text(i, "step_order")),
    column("name", |i| text(i, "name")),
    column("action", |i| text(i, "action")),
    column("undo", |i| text(i, "undo")),
];
const TRIGGERS: &[Column] = &[
    column("name", |i| text(i, "name")),
    column("priority", |i| text(i, "priority")),
    column("enabled", |i| text(i, "enabled")),
    column("last triggered", |i| super::time::short(&text(i, "last_triggered_at"))),
];
