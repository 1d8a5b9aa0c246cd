//! `douse alerts`: what came in, and what was decided about it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ClientArgs, segment};
use super::exit::{Exit, Failure};
use super::output::{self, Column, OutputArgs, column, text, wide};

/// Look at alerts, send one, decide one again
#[derive(Args, Debug)]
pub struct Alerts {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List alerts, newest first
    List {
        /// firing or resolved
        #[arg(long)]
        status: Option<String>,
        /// The label `alertname`
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        severity: Option<String>,
        #[arg(long)]
        instance: Option<String>,
        #[arg(long)]
        source: Option<String>,
        #[arg(long)]
        fingerprint: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one alert with the decisions about it
    Show { id: String },
    /// List what came and could not be understood, newest first
    Quarantined {
        #[arg(long)]
        source: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Send a webhook body, as Alertmanager would
    Send {
        /// File with the body; `-` reads standard input
        #[arg(short, long)]
        file: PathBuf,
        /// The source to send as
        #[arg(long, default_value = "main")]
        source: String,
        /// File with the source's bearer token (not the API's)
        #[arg(long, value_name = "FILE")]
        source_token_file: Option<PathBuf>,
    },
    /// Ask for a decision again, when it has no execution yet
    Replay { id: String },
}

const COLUMNS: &[Column] = &[
    column("id", |i| text(i, "id")),
    column("status", |i| text(i, "status")),
    column("alert", |i| text(i, "alert_name")),
    column("severity", |i| text(i, "severity")),
    column("instance", |i| text(i, "instance")),
    column("received", |i| super::time::short(&text(i, "received_at"))),
    wide("source", |i| text(i, "source")),
    wide("fingerprint", |i| text(i, "fingerprint")),
    wide("episode id", |i| text(i, "episode_id")),
    wide("action", |i| text(i, "action_taken")),
];

const QUARANTINED: &[Column] = &[
    column("id", |i| text(i, "id")),
    column("source", |i| text(i, "source")),
    column("received", |i| super::time::short(&text(i, "received_at"))),
    column("reason", |i| text(i, "reason")),
    wide("delivery id", |i| text(i, "delivery_id")),
    wide("alert", |i| text(i, "raw")),
];

pub(super) const DECISIONS: &[Column] = &[
    column("verdict", |i| text(i, "verdict")),
    column("runbook", |i| text(i, "runbook")),
    column("trigger", |i| text(i, "trigger")),
    column("server", |i| text(i, "server")),
    column("held until", |i| super::time::short(&text(i, "held_until"))),
    column("execution id", |i| text(i, "execution_id")),
    wide("id", |i| text(i, "id")),
    wide("reason", |i| text(i, "skip_reason")),
];

impl Alerts {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        match self.command {
            Command::List { status, name, severity, instance, source, fingerprint, limit } => {
                let filters = [
                    ("status", status),
                    ("name", name),
                    ("severity", severity),
                    ("instance", instance),
                    ("source", source),
                    ("fingerprint", fingerprint),
                ];
                let query: Vec<_> = filters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
                let items = client.list("alerts", &query, limit).await?;
                self.output.list(&items, "id", COLUMNS)?;
            }
            Command::Show { id } => {
                let mut alert = client.get(&format!("alerts/{}", segment(&id)), &[]).await?;
                let decisions = client.get(&format!("alerts/{}/decisions", segment(&id)), &[]).await?;
                if let Some(map) = alert.as_object_mut() {
                    map.insert("decisions".to_owned(), decisions.get("items").cloned().unwrap_or_default());
                }
                self.output.one(&alert, "id", show)?;
            }
            Command::Quarantined { source, limit } => {
                let query: Vec<_> = source.map(|source| ("source", source)).into_iter().collect();
                let items = client.list("alerts/quarantined", &query, limit).await?;
                self.output.list(&items, "id", QUARANTINED)?;
            }
            Command::Send { file, source, source_token_file } => {
                let body: Value = serde_json::from_str(&super::time::read_text(&file)?)
                    .map_err(|error| Failure::error(format!("{}: not JSON: {error}", file.display())))?;
                let args =
                    ClientArgs { token_file: source_token_file.or(self.client.token_file.clone()), ..self.client };
                let client = args.client()?;
                let path = format!("/api/v1/webhooks/{}", segment(&source));
                let answer = client.send(Method::POST, &path, &[], Some(&body), &[]).await?;
                let answer = client.accept(answer).map_err(|failure| match failure.exit {
                    Exit::NotAuthorised => failure.hint("name the source's own token with --source-token-file"),
                    _ => failure,
                })?;
                self.output.one(&answer, "delivery_id", sent)?;
            }
            Command::Replay { id } => {
                let answer = client.post(&format!("alerts/{}/replay", segment(&id)), &json!({})).await?;
                let items = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
                self.output.list(&items, "id", DECISIONS)?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn show(alert: &Value) -> String {
    let mut lines = String::new();
    for (name, key) in [
        ("id", "id"),
        ("alert", "alert_name"),
        ("status", "status"),
        ("severity", "severity"),
        ("instance", "instance"),
        ("source", "source"),
        ("fingerprint", "fingerprint"),
        ("episode", "episode_id"),
        ("starts", "starts_at"),
        ("ends", "ends_at"),
        ("received", "received_at"),
    ] {
        let value = text(alert, key);
        if !value.is_empty() {
            lines.push_str(&format!("{name:<13}{value}\n"));
        }
    }
    for kind in ["labels", "annotations"] {
        for (name, value) in alert.get(kind).and_then(Value::as_object).into_iter().flatten() {
            lines.push_str(&format!("{:<13}{name}={}\n", kind.trim_end_matches('s'), output::plain(value)));
        }
    }
    match alert.get("decisions").and_then(Value::as_array).filter(|decisions| !decisions.is_empty()) {
        Some(decisions) => {
            lines.push('\n');
            lines.push_str(&output::table(decisions, DECISIONS, false));
            lines.push_str(&format!("\nEvery gate's answer: douse explain {}\n", text(alert, "id")));
        }
        None => lines.push_str("\nNothing was decided yet.\n"),
    }
    lines
}

fn sent(answer: &Value) -> String {
    let alerts = answer.get("alerts").and_then(Value::as_array).cloned().unwrap_or_default();
    let columns = [
        column("result", |i: &Value| text(i, "result")),
        column("alert id", |i: &Value| text(i, "alert_id")),
        column("fingerprint", |i: &Value| text(i, "fingerprint")),
        column("reason", |i: &Value| text(i, "reason")),
    ];
    output::table(&alerts, &columns, false)
}
