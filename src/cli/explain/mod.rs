//! `douse explain`: what would be done about an alert, and why not, with every gate's answer.

mod offline;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::client::ClientArgs;
use super::exit::{Exit, Failure};
use super::output::{OutputArgs, visible};
use super::time;
use crate::alert::Labels;
use crate::clock::{Clock, Timestamp};
use crate::gate::explain::{Explanation, render};

/// Say what would be done about an alert, with every gate's answer
#[derive(Args, Debug)]
pub struct Explain {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// Id of a stored alert, or labels of an imagined one
    #[arg(value_name = "ALERT-ID | NAME=VALUE", required_unless_present = "file")]
    alert: Vec<String>,
    /// File with an alert: labels and annotations, or a webhook's body
    #[arg(short, long, conflicts_with = "alert")]
    file: Option<PathBuf>,
    /// Ask as if it were this moment
    #[arg(long, value_name = "TIME", value_parser = time::moment)]
    at: Option<Timestamp>,
    /// Ask the files of this folder (its douse.yml, and what that names) instead of a running engine
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
}

impl Explain {
    /// 0 when something would run or ask a person, 13 when nothing would.
    pub async fn run(self) -> Result<Exit, Failure> {
        let question = self.question()?;
        let (explanation, answer) = match &self.config_dir {
            Some(dir) => {
                let explanation = self.offline(dir, &question).await?;
                let answer = serde_json::to_value(&explanation).map_err(|error| Failure::error(error.to_string()))?;
                (explanation, answer)
            }
            None => {
                let answer = self.client.client()?.post("decisions/explain", &question).await?;
                let explanation: Explanation = serde_json::from_value(answer.clone())
                    .map_err(|error| Failure::error(format!("the engine's answer is not understood: {error}")))?;
                (explanation, answer)
            }
        };
        self.output.one(&answer, "alert", |_| visible(&render(&explanation)))?;
        Ok(if explanation.is_blocked() { Exit::Blocked } else { Exit::Ok })
    }

    /// What the engine is asked.
    fn question(&self) -> Result<Value, Failure> {
        let mut body = match (&self.file, self.alert.as_slice()) {
            (Some(path), _) => {
                let text = time::read_text(path)?;
                let value: Value = serde_json::from_str(&text)
                    .map_err(|error| Failure::error(format!("{}: not JSON: {error}", path.display())))?;
                json!({"alert": first_alert(value)})
            }
            (None, [id]) if !id.contains('=') => json!({"alert_id": id}),
            (None, pairs) => {
                let labels = pairs.iter().map(|pair| time::key_value(pair)).collect::<Result<Labels, _>>();
                json!({"alert": {"labels": labels.map_err(Failure::usage)?}})
            }
        };
        if let (Some(at), Some(map)) = (self.at, body.as_object_mut()) {
            map.insert("at".to_owned(), json!(at));
        }
        Ok(body)
    }

    async fn offline(&self, dir: &std::path::Path, question: &Value) -> Result<Explanation, Failure> {
        let Some(alert) = question.get("alert") else {
            return Err(Failure::usage("a stored alert is known to an engine only")
                .hint("with --config-dir, give labels as NAME=VALUE, or a file with -f"));
        };
        let labels = |key: &str| -> Result<Labels, Failure> {
            let given = alert.get(key).cloned().unwrap_or_else(|| json!({}));
            serde_json::from_value(given).map_err(|error| Failure::error(format!("`{key}` of the alert: {error}")))
        };
        let source = alert.get("source").and_then(Value::as_str).map(str::to_owned);
        let now = self.at.unwrap_or_else(|| Clock::System.now());
        offline::explain(dir, labels("labels")?, labels("annotations")?, source, now).await
    }
}

/// The first alert of a webhook's body, or the value itself.
fn first_alert(value: Value) -> Value {
    match value.get("alerts").and_then(Value::as_array).and_then(|alerts| alerts.first()) {
        Some(first) => first.clone(),
        None => value,
    }
}
