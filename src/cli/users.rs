//! `douse users`: who may log in.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, ClientArgs, segment};
use super::exit::{Exit, Failure};
use super::login::keep;
use super::output::{Column, OutputArgs, column, note, text, wide};
use super::password::{PasswordArgs, of_file};
use super::time;

/// See and change who may log in
#[derive(Args, Debug)]
pub struct Users {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List users
    List,
    /// Show one user
    Show { name: String },
    /// Add a user; prints the set-up token by which that user chooses a password
    Add {
        name: String,
        /// viewer, auditor, operator, engineer or admin
        #[arg(long)]
        role: String,
        #[command(flatten)]
        scopes: Scopes,
    },
    /// Change a user's role or scopes
    Set {
        name: String,
        /// viewer, auditor, operator, engineer or admin
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        scopes: Scopes,
        /// Take the narrowing away: everything that the role may
        #[arg(long, conflicts_with = "scope")]
        no_scopes: bool,
    },
    /// Keep a user out: all sessions end, tokens are not taken any more
    Disable { name: String },
    /// Let a disabled user in again
    Enable { name: String },
    /// Take a user's password away; prints the set-up token for a new one
    Reset { name: String },
    /// Take a user away for good; the name stays taken
    Rm { name: String },
    /// Redeem a set-up token: become the first admin, or choose your password
    Setup {
        /// The first admin's name; who was added has one
        name: Option<String>,
        /// The file with the set-up token (`-`: standard input)
        #[arg(long, value_name = "FILE")]
        setup_token_file: PathBuf,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Change your own password
    Password {
        /// Read the present password from this file instead of asking for it
        #[arg(long, value_name = "FILE", requires = "password_file")]
        current_password_file: Option<PathBuf>,
        #[command(flatten)]
        password: PasswordArgs,
    },
}

/// What somebody is narrowed to.
#[derive(Args, Debug, Default)]
pub(super) struct Scopes {
    /// Narrow to this: `execute`, `view,execute:restart-*`, `approve:*:web,db` (acts, runbooks, groups of servers); may be
    /// given several times
    #[arg(long, value_name = "ACTS[:RUNBOOKS[:GROUPS]]", value_parser = scope)]
    scope: Vec<Value>,
}

impl Scopes {
    /// As the API takes them; `None` when none is given.
    pub(super) fn body(&self) -> Option<Value> {
        (!self.scope.is_empty()).then(|| json!(self.scope))
    }
}

fn scope(written: &str) -> Result<Value, String> {
    let mut parts = written.splitn(3, ':').map(|part| part.split(',').map(str::trim).collect::<Vec<_>>());
    let may = parts.next().unwrap_or_default();
    if let Some(wrong) = may.iter().find(|act| act.parse::<crate::rights::Act>().is_err()) {
        return Err(format!("`{wrong}` is none of view, execute, approve"));
    }
    let every = || vec!["*"];
    let runbooks = parts.next().unwrap_or_else(every);
    Ok(json!({"may": may, "runbooks": runbooks, "groups": parts.next().unwrap_or_else(every)}))
}

/// Scopes as a cell: as they are written with `--scope`.
pub(super) fn scopes_cell(item: &Value) -> String {
    let scopes = item.get("scopes").and_then(Value::as_array).cloned().unwrap_or_default();
    let cell = |scope: &Value| ["may", "runbooks", "groups"].map(|key| text(scope, key)).join(":");
    scopes.iter().map(cell).collect::<Vec<_>>().join(" ")
}

const COLUMNS: &[Column] = &[
    column("name", |i| text(i, "name")),
    column("role", |i| text(i, "role")),
    column("state", |i| text(i, "state")),
    column("scopes", scopes_cell),
    column("last login", |i| time::short(&text(i, "last_login_at"))),
    wide("created", |i| time::short(&text(i, "created_at"))),
    wide("by", |i| text(i, "created_by")),
    wide("id", |i| text(i, "id")),
];

impl Users {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        if let Command::Setup { name, setup_token_file, password } = &self.command {
            return self.redeem(name.as_deref(), setup_token_file, password).await;
        }
        let client = self.client.client()?;
        match &self.command {
            Command::List => {
                let items = client.list("users", &[], usize::MAX).await?;
                self.output.list(&items, "name", COLUMNS)?;
            }
            Command::Show { name } => {
                let user = client.get(&format!("users/{}", segment(name)), &[]).await?;
                self.tell(&user)?;
            }
            Command::Add { name, role, scopes } => {
                let body = json!({"name": name, "role": role, "scopes": scopes.body()});
                self.invited(&client.post("users", &body).await?)?;
            }
            Command::Set { name, role, scopes, no_scopes } => {
                let mut body = Map::new();
                body.extend(role.as_ref().map(|role| ("role".to_owned(), json!(role))));
                body.extend(scopes.body().map(|scopes| ("scopes".to_owned(), scopes)));
                if *no_scopes {
                    body.insert("scopes".to_owned(), Value::Null);
                }
                if body.is_empty() {
                    return Err(Failure::usage("nothing is changed: give --role, --scope or --no-scopes"));
                }
                self.change(&client, name, &Value::Object(body)).await?;
            }
            Command::Disable { name } => self.change(&client, name, &json!({"disabled": true})).await?,
            Command::Enable { name } => self.change(&client, name, &json!({"disabled": false})).await?,
            Command::Reset { name } => {
                self.invited(&client.post(&format!("users/{}/reset", segment(name)), &json!({})).await?)?;
            }
            Command::Rm { name } => {
                client.delete(&format!("users/{}", segment(name))).await?;
            }
            Command::Password { current_password_file, password } => {
                let current = match current_password_file {
                    Some(file) => of_file(file)?,
                    None => password.read("Present password: ")?,
                };
                let new = password.choose()?;
                let body = json!({"current": current.expose(), "new": new.expose()});
                let client = self.client.logged_in()?;
                let answer = client.post("me/password", &body).await?;
                keep(&client, &answer)?;
                note("the password is changed; all other sessions are over");
            }
            Command::Setup { .. } => {}
        }
        Ok(Exit::Ok)
    }

    async fn redeem(
        &self,
        name: Option<&str>,
        token_file: &std::path::Path,
        password: &PasswordArgs,
    ) -> Result<Exit, Failure> {
        let client = self.client.anonymous()?;
        let token = of_file(token_file)?;
        let password = password.choose()?;
        let mut body = json!({"token": token.expose().trim(), "password": password.expose()});
        if let Some(name) = name {
            body["name"] = json!(name);
        }
        let answer = client.send(Method::POST, "/api/v1/setup", &[], Some(&body), &[]).await?;
        let user = client.accept(answer).map_err(|failure| Failure { hint: None, ..failure })?;
        self.tell(&user)?;
        note(&format!("log in with `douse login {}`", text(&user, "name")));
        Ok(Exit::Ok)
    }

    async fn change(&self, client: &Client, name: &str, body: &Value) -> Result<(), Failure> {
        let path = format!("/api/v1/users/{}", segment(name));
        let answer = client.send(Method::PATCH, &path, &[], Some(body), &[]).await?;
        self.tell(&client.accept(answer)?)
    }

    fn tell(&self, user: &Value) -> Result<(), Failure> {
        self.output.one(user, "name", |i| {
            let scopes = scopes_cell(i);
            let narrowed = if scopes.is_empty() { String::new() } else { format!(", narrowed to {scopes}") };
            format!("{}: {}, {}{narrowed}\n", text(i, "name"), text(i, "role"), text(i, "state"))
        })
    }

    /// Shows a set-up token: the only data, so that it can be piped.
    fn invited(&self, answer: &Value) -> Result<(), Failure> {
        if self.output.is_for_people() {
            let name = answer.pointer("/user/name").and_then(Value::as_str).unwrap_or_default();
            note(&format!(
                "{name} chooses a password with this set-up token, within a day: `douse users setup --setup-token-file FILE`"
            ));
        }
        self.output.one(answer, "setup_token", |i| text(i, "setup_token") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_and_shown_the_same_way() {
        for (written, may, runbooks, groups) in [
            ("execute", json!(["execute"]), json!(["*"]), json!(["*"])),
            ("view,execute:restart-*", json!(["view", "execute"]), json!(["restart-*"]), json!(["*"])),
            ("approve:*:web,db", json!(["approve"]), json!(["*"]), json!(["web", "db"])),
        ] {
            let read = scope(written).unwrap();
            assert_eq!((&read["may"], &read["runbooks"], &read["groups"]), (&may, &runbooks, &groups), "{written}");
        }
        assert!(scope("run").unwrap_err().contains("`run` is none of"));
        let item = json!({"scopes": [{"may": ["view", "execute"], "runbooks": ["a"], "groups": ["*"]}]});
        assert_eq!(scopes_cell(&item), "view,execute:a:*");
        assert_eq!(scopes_cell(&json!({"scopes": null})), "");
    }
}
