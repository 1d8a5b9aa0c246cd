//! `douse holds`: what is kept, whatever the retention says.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{ClientArgs, segment};
use super::exit::{Exit, Failure};
use super::output::{Column, OutputArgs, column, text, wide};
use super::time;

/// See and set legal holds: records that the retention does not take away
#[derive(Args, Debug)]
pub struct Holds {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List the holds that are on
    List {
        /// Those that were released, too
        #[arg(long)]
        all: bool,
    },
    /// Keep records from now on
    Set(Set),
    /// Let the retention take away again what this one kept
    Release {
        /// As `list` shows it
        id: String,
    },
}

/// What to keep: exactly one of these.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Scope {
    /// Everything
    #[arg(long)]
    all: bool,
    /// This execution
    #[arg(long, value_name = "ID")]
    execution: Option<String>,
    /// What was decided for this runbook, and its executions
    #[arg(long, value_name = "NAME")]
    runbook: Option<String>,
    /// What was decided for this server, and the executions on it
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
}

#[derive(Args, Debug)]
struct Set {
    #[command(flatten)]
    scope: Scope,
    /// Why; stands in the audit log
    #[arg(short = 'm', long, value_name = "TEXT", required = true)]
    reason: String,
}

const COLUMNS: &[Column] = &[
    column("id", |i| text(i, "id")),
    column("scope", |i| text(i, "scope")),
    column("name", |i| text(i, "name")),
    column("since", |i| time::short(&text(i, "created_at"))),
    column("by", |i| text(i, "created_by")),
    column("released", |i| time::short(&text(i, "released_at"))),
    column("reason", |i| text(i, "reason")),
    wide("released by", |i| text(i, "released_by")),
];

impl Holds {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        let (hold, done) = match self.command {
            Command::List { all } => {
                let mut items = client.list("legal-holds", &[], usize::MAX).await?;
                items.retain(|item| all || item.get("released_at").is_none_or(Value::is_null));
                self.output.list(&items, "id", COLUMNS)?;
                return Ok(Exit::Ok);
            }
            Command::Set(set) => (client.post("legal-holds", &set.body()).await?, "kept"),
            Command::Release { id } => {
                (client.delete(&format!("legal-holds/{}", segment(&id))).await?, "no longer kept")
            }
        };
        self.output.one(&hold, "id", |i| {
            let what = [text(i, "scope"), text(i, "name")].join(" ");
            format!("{done}: {} ({})\n", what.trim(), text(i, "id"))
        })?;
        Ok(Exit::Ok)
    }
}

impl Set {
    fn body(self) -> Value {
        let Scope { all: _, execution, runbook, server } = self.scope;
        let named = [("execution", execution), ("runbook", runbook), ("server", server)];
        let named = named.into_iter().find_map(|(scope, name)| Some((scope, name?)));
        let (scope, name) = named.unwrap_or(("all", String::new()));
        json!({ "scope": scope, "name": name, "reason": self.reason })
    }
}
