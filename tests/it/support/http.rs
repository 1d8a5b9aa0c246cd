//! HTTP for tests that are not async.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text))
    }
}

/// `GET`; `None` when nobody answers.
pub fn get(url: &str, token: Option<&str>) -> Option<Answer> {
    send(reqwest::Method::GET, url, token, None)
}

/// `POST` of JSON (or of nothing); `None` when nobody answers.
pub fn post(url: &str, token: Option<&str>, body: Option<&Value>) -> Option<Answer> {
    send(reqwest::Method::POST, url, token, body.map(Value::to_string))
}

fn send(method: reqwest::Method, url: &str, token: Option<&str>, body: Option<String>) -> Option<Answer> {
    RUNTIME.block_on(async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let mut request = client.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.ok()?;
        Some(Answer { status: answer.status().as_u16(), text: answer.text().await.ok()? })
    })
}
