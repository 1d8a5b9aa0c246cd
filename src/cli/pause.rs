//! `douse pause` and `douse resume`: the kill switch.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::ClientArgs;
use super::exit::{Exit, Failure};
use super::output::{Column, OutputArgs, column, text};
use super::time;

/// What is paused or resumed: everything, or one of these.
#[derive(Args, Debug)]
#[group(multiple = false)]
struct Scope {
    /// Only this runbook
    #[arg(long)]
    runbook: Option<String>,
    /// Only the servers of this group
    #[arg(long)]
    group: Option<String>,
    /// Only this server
    #[arg(long)]
    server: Option<String>,
}

impl Scope {
    fn body(self) -> Map<String, Value> {
        let named = [("runbook", self.runbook), ("group", self.group), ("server", self.server)];
        named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect()
    }
}

/// The kill switch: no further step starts until `douse resume`
#[derive(Args, Debug)]
pub struct Pause {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    scope: Scope,
    /// Resume by itself after this long
    #[arg(long = "for", value_name = "DURATION", value_parser = time::duration)]
    pause_for: Option<Duration>,
    /// Why; shown to everybody
    #[arg(short = 'm', long = "reason", value_name = "TEXT", required_unless_present = "list")]
    reason: Option<String>,
    /// List the pauses that are on
    #[arg(long, conflicts_with_all = ["pause_for", "reason", "runbook", "group", "server"])]
    list: bool,
}

/// Let work go on that a pause holds back
#[derive(Args, Debug)]
pub struct Resume {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    scope: Scope,
}

const COLUMNS: &[Column] = &[
    column("id", |i| text(i, "id")),
    column("scope", |i| text(i, "scope")),
    column("name", |i| text(i, "name")),
    column("until", |i| time::short(&text(i, "until"))),
    column("by", |i| text(i, "created_by")),
    column("reason", |i| text(i, "reason")),
];

impl Pause {
    /// Pauses, or lists.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        if self.list {
            let items = client.list("pauses", &[], usize::MAX).await?;
            self.output.list(&items, "id", COLUMNS)?;
            return Ok(Exit::Ok);
        }
        let mut body = self.scope.body();
        body.insert("reason".to_owned(), self.reason.into());
        if let Some(duration) = self.pause_for {
            body.insert("until".to_owned(), json!(time::from_now(duration)));
        }
        let pause = client.post("pause", &Value::Object(body)).await?;
        self.output.one(&pause, "id", |i| {
            let what = [text(i, "scope"), text(i, "name")].join(" ");
            let until = time::short(&text(i, "until"));
            let until = if until.is_empty() { "`douse resume`".to_owned() } else { until };
            format!("paused: {} until {until}\n", what.trim())
        })?;
        Ok(Exit::Ok)
    }
}

impl Resume {
    /// Ends the pauses of a scope.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        let answer = client.post("resume", &Value::Object(self.scope.body())).await?;
        let items = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        self.output.list(&items, "id", COLUMNS)?;
        Ok(Exit::Ok)
    }
}
