//! `douse explain`: what would be done about an alert, and why not, with every gate's answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::client::ClientArgs;
use super::exit::{Exit, Failure};
use super::output::{OutputArgs, visible};
use super::time;
use crate::clock::Timestamp;
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
}

impl Explain {
    /// 0 when something would run or ask a person, 13 when nothing would.
    pub async fn run(self) -> Result<Exit, Failure> {
        let mut body = match (&self.file, self.alert.as_slice()) {
            (Some(path), _) => {
                let text = time::read_text(path)?;
                let value: Value = serde_json::from_str(&text)
                    .map_err(|error| Failure::error(format!("{}: not JSON: {error}", path.display())))?;
                json!({"alert": first_alert(value)})
            }
            (None, [id]) if !id.contains('=') => json!({"alert_id": id}),
            (None, pairs) => {
                let labels = pairs.iter().map(|pair| time::key_value(pair)).collect::<Result<BTreeMap<_, _>, _>>();
                json!({"alert": {"labels": labels.map_err(Failure::usage)?}})
            }
        };
        if let (Some(at), Some(map)) = (self.at, body.as_object_mut()) {
            map.insert("at".to_owned(), json!(at));
        }
        let client = self.client.client()?;
        let answer = client.post("decisions/explain", &body).await?;
        let explanation: Explanation = serde_json::from_value(answer.clone())
            .map_err(|error| Failure::error(format!("the engine's answer is not understood: {error}")))?;
        self.output.one(&answer, "alert", |_| visible(&render(&explanation)))?;
        Ok(if explanation.is_blocked() { Exit::Blocked } else { Exit::Ok })
    }
}

/// The first alert of a webhook's body, or the value itself.
fn first_alert(value: Value) -> Value {
    match value.get("alerts").and_then(Value::as_array).and_then(|alerts| alerts.first()) {
        Some(first) => first.clone(),
        None => value,
    }
}
