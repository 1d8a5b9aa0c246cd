//! HTTP for tests that are not async.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());
/// Keeps no connection: engines come and go. Whom a client trusts is what the tests of TLS ask about, with clients of their own.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0);
    client.tls_danger_accept_invalid_certs(true).build().unwrap()
});
/// How long an engine may take to answer, unless a caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    headers: reqwest::header::HeaderMap,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text))
    }
}

impl Answer {
    /// A header's value; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// `error.code` of a refusal.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Any request; fails when nobody answers.
pub fn ask(method: &str, url: &str, token: Option<&str>, body: Option<&str>, headers: &[(&str, &str)]) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    send(method, url, token, body.map(str::to_owned), headers, PATIENCE)
        .unwrap_or_else(|| panic!("{url}: nobody answers"))
}

/// `GET`; `None` when nobody answers.
pub fn get(url: &str, token: Option<&str>) -> Option<Answer> {
    send(reqwest::Method::GET, url, token, None, &[], PATIENCE)
}

/// `POST` of JSON (or of nothing); `None` when nobody answers.
pub fn post(url: &str, token: Option<&str>, body: Option<&Value>) -> Option<Answer> {
    send(reqwest::Method::POST, url, token, body.map(Value::to_string), &[], PATIENCE)
}

/// Any request; `None` when nobody answers within `patience`.
pub fn send(
    method: reqwest::Method,
    url: &str,
    token: Option<&str>,
    body: Option<String>,
    headers: &[(&str, &str)],
    patience: Duration,
) -> Option<Answer> {
    RUNTIME.block_on(async {
        let mut request = CLIENT.request(method, url).timeout(patience);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Some(Answer { status, headers, text: answer.text().await.ok()? })
    })
}
