//! `douse breakers`: circuit breakers, and a person's word on them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{ClientArgs, segment};
use super::exit::{Exit, Failure};
use super::output::{Column, OutputArgs, column, text, wide};
use super::time;

/// See and switch the circuit breakers of runbooks
#[derive(Args, Debug)]
pub struct Breakers {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List breakers by runbook
    List,
    /// Refuse this runbook
    Open(Act),
    /// Let this runbook run again
    Close(Act),
    /// Forget its failures
    Reset(Act),
}

#[derive(Args, Debug)]
struct Act {
    runbook: String,
    /// Why; stands in the audit log
    #[arg(short = 'm', long, value_name = "TEXT", required = true)]
    reason: String,
}

const COLUMNS: &[Column] = &[
    column("runbook", |i| text(i, "runbook")),
    column("state", |i| text(i, "state")),
    column("failures", |i| text(i, "failure_count")),
    column("successes", |i| text(i, "success_count")),
    column("opened", |i| time::short(&text(i, "opened_at"))),
    column("half-open from", |i| time::short(&text(i, "half_open_at"))),
    wide("last failure", |i| time::short(&text(i, "last_failure_at"))),
    wide("changed by", |i| text(i, "changed_by")),
    wide("reason", |i| text(i, "reason")),
];

impl Breakers {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        let (what, act) = match self.command {
            Command::List => {
                let items = client.list("breakers", &[], usize::MAX).await?;
                self.output.list(&items, "runbook", COLUMNS)?;
                return Ok(Exit::Ok);
            }
            Command::Open(act) => ("open", act),
            Command::Close(act) => ("close", act),
            Command::Reset(act) => ("reset", act),
        };
        let path = format!("breakers/{}/{what}", segment(&act.runbook));
        let breaker = client.post(&path, &json!({"reason": act.reason})).await?;
        self.output.one(&breaker, "runbook", |i: &Value| format!("{} {}\n", text(i, "runbook"), text(i, "state")))?;
        Ok(Exit::Ok)
    }
}
