//! `douse run`: starts a runbook by hand.

use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Answer, ClientArgs, segment};
use super::exit::{Exit, Failure};
use super::output::{OutputArgs, note, text, visible};
use super::{executions, follow, time};
use crate::gate::explain::render_gates;
use crate::id::DecisionId;

/// Run a runbook by hand
#[derive(Args, Debug)]
pub struct Run {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    runbook: String,
    /// The server to run it on
    #[arg(long)]
    server: Option<String>,
    /// A value of a parameter; may be given several times
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = time::key_value)]
    parameters: Vec<(String, String)>,
    /// Id of an alert whose labels the runbook uses
    #[arg(long)]
    alert: Option<String>,
    /// Why; stands in the record
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
    /// Wait for the end, and tell every step
    #[arg(long, conflicts_with = "wait")]
    follow: bool,
    /// Wait for the end
    #[arg(long)]
    wait: bool,
    /// Ask every gate and render the plan, but start nothing
    #[arg(long, conflicts_with_all = ["follow", "wait"])]
    dry_run: bool,
    /// The same key starts at most one run, however often this is repeated
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Run {
    /// Starts it, and waits if asked to.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        let parameters: serde_json::Map<String, Value> =
            self.parameters.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let mut body = json!({"parameters": parameters, "dry_run": self.dry_run});
        if let Some(map) = body.as_object_mut() {
            let named = [("server", self.server), ("alert", self.alert), ("reason", self.reason)];
            map.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))));
        }
        // Makes a repeated request harmless, also when an answer is lost on the way.
        let key = self.idempotency_key.unwrap_or_else(|| DecisionId::new().to_string());
        let path = format!("/api/v1/runbooks/{}/execute", segment(&self.runbook));
        let headers = [("Idempotency-Key", key)];
        let answer = client.send(Method::POST, &path, &[], Some(&body), &headers).await?;
        tell_objections(&answer);
        let decision = client.accept(answer)?;
        if self.dry_run {
            self.output
                .one(&decision, "verdict", |decision| format!("{}\n{}", text(decision, "verdict"), gates(decision)))?;
            let is_going_ahead = matches!(text(&decision, "verdict").as_str(), "allowed" | "approval");
            return Ok(if is_going_ahead { Exit::Ok } else { Exit::Blocked });
        }
        let id = text(&decision, "execution_id");
        if !self.follow && !self.wait {
            self.output.one(&decision, "execution_id", |_| format!("{id}\n"))?;
            return Ok(Exit::Ok);
        }
        if self.follow {
            note(&format!("execution {id}"));
        }
        let execution = follow::wait(&client, &id, self.follow).await?;
        self.output.one(&execution, "id", executions::show)?;
        Ok(follow::exit_of(&execution))
    }
}

/// Tells every gate's answer when one of them stands in the way.
pub(super) fn tell_objections(answer: &Answer) {
    if answer.status == StatusCode::CONFLICT && answer.body.get("gates").is_some() {
        note(&visible(gates(&answer.body).trim_end()));
    }
}

/// Every gate's answer as lines.
fn gates(decision: &Value) -> String {
    let gates = decision.get("gates").cloned().unwrap_or_default();
    serde_json::from_value(gates).map(|gates: Vec<_>| render_gates(&gates)).unwrap_or_default()
}
