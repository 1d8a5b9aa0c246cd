//! The HTTP client of the commands that talk to a running engine.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Method, StatusCode};
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output;
use super::saved;

/// An answer takes at most this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection stands after this, or the engine is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the engine is, and who asks.
#[derive(Args, Clone, Debug)]
pub struct ClientArgs {
    /// Address of the engine
    #[arg(long, env = "DOUSE_URL", default_value = "http://127.0.0.1:9494", global = true)]
    pub url: String,
    /// File with the API token; `DOUSE_TOKEN` holds the token itself
    #[arg(long, env = "DOUSE_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// File with certificates in PEM that vouch for the engine's, beside those that this machine trusts
    #[arg(long, env = "DOUSE_CA_FILE", global = true)]
    pub ca_file: Option<PathBuf>,
}

/// Talks to one engine.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// What an engine answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// JSON, or the text as a string.
    pub body: Value,
}

impl ClientArgs {
    /// A client with the token of the file, of `DOUSE_TOKEN`, or of `douse login`.
    pub fn client(&self) -> Result<Client, Failure> {
        let token = match &self.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Failure::error(format!("--token-file: {} cannot be read: {error}", path.display()))
                })?;
                Some(text.trim().to_owned())
            }
            None => std::env::var("DOUSE_TOKEN").ok().map(|token| token.trim().to_owned()),
        };
        self.with(token.filter(|token| !token.is_empty()).or_else(|| saved::read(self.base())))
    }

    /// A client that shows nothing.
    pub(super) fn anonymous(&self) -> Result<Client, Failure> {
        self.with(None)
    }

    /// A client with the session of `douse login` alone.
    pub(super) fn logged_in(&self) -> Result<Client, Failure> {
        let token = saved::read(self.base()).ok_or_else(|| {
            Failure::new(Exit::NotAuthorised, format!("nobody is logged in at {}", self.base()))
                .hint("`douse login NAME`")
        })?;
        self.with(Some(token))
    }

    fn base(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    fn with(&self, token: Option<String>) -> Result<Client, Failure> {
        let http = reqwest::Client::builder()
            .tls_certs_merge(self.authorities()?)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("douse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::error(format!("the HTTP client cannot be made: {error}")))?;
        Ok(Client { base: self.base().to_owned(), token, http })
    }
}

impl ClientArgs {
    fn authorities(&self) -> Result<Vec<Certificate>, Failure> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let failed = |what: String| Failure::error(format!("--ca-file: {} cannot be used: {what}", path.display()));
        let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let found = Certificate::from_pem_bundle(&text).map_err(|error| failed(error.to_string()))?;
        if found.is_empty() {
            return Err(failed("it holds no certificate in PEM".to_owned()));
        }
        Ok(found)
    }
}

impl Client {
    /// Address of the engine, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// `GET /api/v1/{path}`.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        let answer = self.send(Method::GET, &format!("/api/v1/{path}"), query, None, &[]).await?;
        self.accept(answer)
    }

    /// `POST /api/v1/{path}` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let answer = self.send(Method::POST, &format!("/api/v1/{path}"), &[], Some(body), &[]).await?;
        self.accept(answer)
    }

    /// `DELETE /api/v1/{path}`.
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.send(Method::DELETE, &format!("/api/v1/{path}"), &[], None, &[]).await?;
        self.accept(answer)
    }

    /// `GET /api/v1/{path}`, written to standard output as it comes, however long that takes.
    pub async fn copy(&self, path: &str, query: &[(&str, String)]) -> Result<(), Failure> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("douse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::error(format!("the HTTP client cannot be made: {error}")))?;
        let mut request = http.get(format!("{}/api/v1/{path}", self.base)).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if !status.is_success() {
            let text = response.text().await.map_err(|error| self.unreachable(&error))?;
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            return self.accept(Answer { status, body }).map(drop);
        }
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            output::write_bytes(&part)?;
        }
        Ok(())
    }

    /// The items of a list, newest first, over as many pages as `limit` needs.
    pub async fn list(&self, path: &str, query: &[(&str, String)], limit: usize) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < limit {
            let page = (limit - items.len()).min(crate::limits::PAGE_MAX as usize);
            let mut query = query.to_vec();
            query.push(("limit", page.to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut answer = self.get(path, &query).await?;
            if let Some(Value::Array(found)) = answer.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            cursor = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(items)
    }

    /// Sends a request to `path` from the root and takes any answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
        headers: &[(&str, String)],
    ) -> Result<Answer, Failure> {
        let url = reqwest::Url::parse(&format!("{}{path}", self.base)).map_err(|error| {
            Failure::usage(format!("--url: `{}` is not an address: {error}", self.base))
                .hint("write it as in http://127.0.0.1:9494")
        })?;
        let mut request = self.http.request(method, url).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    /// The body of a good answer, or the failure that a bad one means.
    pub fn accept(&self, answer: Answer) -> Result<Value, Failure> {
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        let told = answer.body.pointer("/error/message").and_then(Value::as_str);
        let message = match told {
            Some(message) => message.to_owned(),
            None => format!("{} answered {}", self.base, answer.status),
        };
        Err(match answer.status {
            StatusCode::UNAUTHORIZED => Failure::new(Exit::NotAuthorised, message)
                .hint("log in with `douse login`, or name a file with a token: --token-file FILE, or set DOUSE_TOKEN"),
            StatusCode::FORBIDDEN => Failure::new(Exit::NotAuthorised, message),
            StatusCode::NOT_FOUND => Failure::new(Exit::NotFound, message),
            StatusCode::CONFLICT if answer.body.get("gates").is_some() => Failure::new(Exit::Blocked, message),
            _ => Failure::new(Exit::Error, message),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let reason = {
            let mut deepest: &dyn std::error::Error = error;
            while let Some(source) = deepest.source() {
                deepest = source;
            }
            deepest.to_string()
        };
        let what = if error.is_timeout() { "no answer in time".to_owned() } else { reason };
        Failure::new(Exit::Unreachable, format!("cannot reach Douse at {}: {what}", self.base))
            .hint("is `douse serve` running there? Name another address with --url or DOUSE_URL")
    }
}

/// Makes `text` safe as one segment of a path: a runbook may be called `a/b`.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
