//! `douse login` and `douse logout`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, ClientArgs};
use super::exit::{Exit, Failure};
use super::output::{OutputArgs, note, text};
use super::password::PasswordArgs;
use super::{saved, time};

/// Log in, so that further commands need no token: for half an hour after the last one, at most 12 hours
#[derive(Args, Debug)]
pub struct Login {
    /// Your name
    #[arg(env = "USER")]
    name: String,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Log out: the session ends here and at the engine
#[derive(Args, Debug)]
pub struct Logout {
    #[command(flatten)]
    client: ClientArgs,
}

impl Login {
    /// Logs in and keeps the session.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.anonymous()?;
        let password = self.password.read(&format!("Password of {}: ", self.name))?;
        let body = json!({"name": self.name, "password": password.expose(), "kind": "command_line"});
        let answer = client.send(Method::POST, "/api/v1/login", &[], Some(&body), &[]).await?;
        let answer = client.accept(answer).map_err(|failure| Failure { hint: None, ..failure })?;
        keep(&client, &answer)?;
        let mut shown = answer;
        // It is in the file, and has no business in a log of a terminal.
        shown.as_object_mut().map(|shown| shown.remove("token"));
        self.output.one(&shown, "name", |i| {
            let until = i.pointer("/session/ends_at").and_then(Value::as_str).map(time::short).unwrap_or_default();
            format!("{} is logged in as {} until {until}\n", text(i, "name"), text(i, "role"))
        })?;
        Ok(Exit::Ok)
    }
}

impl Logout {
    /// Ends the session that is kept.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.logged_in()?;
        let answer = client.send(Method::POST, "/api/v1/logout", &[], None, &[]).await?;
        // One that is over already is as good.
        let is_over = answer.status == reqwest::StatusCode::UNAUTHORIZED;
        if !is_over {
            client.accept(answer)?;
        }
        saved::forget(client.base());
        Ok(Exit::Ok)
    }
}

/// Keeps the session of an answer that opened one.
pub(super) fn keep(client: &Client, answer: &Value) -> Result<(), Failure> {
    let token = answer.get("token").and_then(Value::as_str);
    let token =
        token.ok_or_else(|| Failure::error("the engine answered no session; is it older than this program?"))?;
    let path = saved::write(client.base(), token)?;
    if std::env::var_os("DOUSE_TOKEN").is_some() || std::env::var_os("DOUSE_TOKEN_FILE").is_some() {
        note("warning: DOUSE_TOKEN or DOUSE_TOKEN_FILE is set, and goes before this log-in");
    }
    tracing::debug!(path = %path.display(), "kept");
    Ok(())
}
