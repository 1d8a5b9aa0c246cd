//! `douse tokens`: API tokens for programs.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{ClientArgs, segment};
use super::exit::{Exit, Failure};
use super::output::{Column, OutputArgs, column, note, text, wide};
use super::time;
use super::users::{Scopes, scopes_cell};

/// Make and revoke API tokens for your programs
#[derive(Args, Debug)]
pub struct Tokens {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List your tokens
    List {
        /// Another user's, or `*` for all; for auditors and admins
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
    },
    /// Make a token and print it, once; you have to be logged in
    Create {
        /// What it is for
        name: String,
        /// At most your own role, which is the default
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        scopes: Scopes,
        /// It ends after this; 90 days unless you say otherwise, at most a year
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
    },
    /// Revoke a token, at once
    Revoke { id: String },
}

const COLUMNS: &[Column] = &[
    column("id", |i| text(i, "id")),
    column("name", |i| text(i, "name")),
    column("owner", |i| text(i, "owner")),
    column("begins", |i| text(i, "prefix")),
    column("role", |i| text(i, "role")),
    column("state", |i| text(i, "state")),
    column("expires", |i| time::short(&text(i, "expires_at"))),
    column("last used", |i| time::short(&text(i, "last_used_at"))),
    wide("from", |i| text(i, "last_used_from")),
    wide("scopes", scopes_cell),
    wide("created", |i| time::short(&text(i, "created_at"))),
];

impl Tokens {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let client = self.client.client()?;
        match self.command {
            Command::List { owner } => {
                let query: Vec<_> = owner.map(|owner| ("owner", owner)).into_iter().collect();
                let items = client.list("tokens", &query, usize::MAX).await?;
                self.output.list(&items, "id", COLUMNS)?;
            }
            Command::Create { name, role, scopes, expires_in } => {
                let mut body = json!({"name": name, "scopes": scopes.body()});
                if let Some(role) = role {
                    body["role"] = json!(role);
                }
                if let Some(expires_in) = expires_in {
                    body["expires_in"] = json!(expires_in);
                }
                let token = client.post("tokens", &body).await?;
                if self.output.is_for_people() {
                    let until = time::short(&text(&token, "expires_at"));
                    note(&format!("{} for {}, until {until}; it is not shown again", name, text(&token, "role")));
                }
                self.output.one(&token, "token", |i| text(i, "token") + "\n")?;
            }
            Command::Revoke { id } => {
                client.delete(&format!("tokens/{}", segment(&id))).await?;
            }
        }
        Ok(Exit::Ok)
    }
}
