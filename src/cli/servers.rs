//! `douse servers`: the inventory, as the engine knows it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{ClientArgs, segment};
use super::executions::Reason;
use super::exit::{Exit, Failure};
use super::import::Import;
use super::output::{Column, OutputArgs, column, text, wide};
use super::scan_keys::ScanKeys;
use super::secret_args::SecretArgs;

/// Look at servers, test them, put them under maintenance
#[derive(Args, Debug)]
pub struct Servers {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List servers by name
    List {
        /// At most this many
        #[arg(long, default_value_t = 200)]
        limit: usize,
    },
    /// Show one server
    Show {
        name: String,
    },
    /// Add a server; one that a file declares stays as it is
    Add(Box<Add>),
    /// Log in and run `true`, also as root: says which part fails
    Test {
        name: String,
    },
    ScanKeys(ScanKeys),
    Import(Import),
    /// Change what a server is logged in to with; what is not named stays
    Credentials(Box<Credentials>),
    /// While a server is under maintenance, runs on it need a person's yes
    Maintenance {
        state: Switch,
        name: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Remove a server that was added here
    Rm {
        name: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Args, Debug)]
struct Credentials {
    name: String,
    #[command(flatten)]
    secrets: SecretArgs,
    /// Take one away: private_key, passphrase, certificate, password, become_password; may be given several times
    #[arg(long, value_name = "SECRET")]
    remove: Vec<String>,
}

#[derive(Args, Debug)]
struct Add {
    name: String,
    /// Address or DNS name; the name if not given
    #[arg(long)]
    hostname: Option<String>,
    /// 22 if not given, 5986 for winrm
    #[arg(long)]
    port: Option<u16>,
    #[arg(long)]
    username: String,
    /// linux if not given, windows for winrm
    #[arg(long)]
    os_type: Option<String>,
    /// Private key: the name of a file in the folder `credentials` beside the engine's configuration
    #[arg(long, group = "login")]
    key_file: Option<PathBuf>,
    /// File with the key's passphrase, in the same folder
    #[arg(long, requires = "key_file")]
    passphrase_file: Option<PathBuf>,
    /// File with the password, in the same folder
    #[arg(long, group = "login")]
    password_file: Option<PathBuf>,
    /// File with the key's OpenSSH certificate, in the same folder
    #[arg(long, requires = "key_file")]
    certificate_file: Option<PathBuf>,
    /// File with sudo's password, in the same folder
    #[arg(long)]
    become_password_file: Option<PathBuf>,
    #[command(flatten)]
    secrets: SecretArgs,
    /// Name of the server through which this one is reached
    #[arg(long)]
    bastion: Option<String>,
    /// ssh, or winrm (kept for a release to come: nothing can be run over it yet)
    #[arg(long, default_value = "ssh")]
    protocol: String,
    /// Of the Active Directory, for winrm
    #[arg(long)]
    domain: Option<String>,
    /// The host's key, as `douse servers scan-keys` prints it; may be given several times
    #[arg(long = "host-key", value_name = "KEY")]
    host_keys: Vec<String>,
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[arg(long)]
    group: Option<String>,
    #[arg(long)]
    environment: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("name", |i| text(i, "name")),
    column("address", |i| format!("{}@{}:{}", text(i, "username"), text(i, "hostname"), text(i, "port"))),
    column("group", |i| text(i, "group")),
    column("tags", |i| text(i, "tags")),
    column("maintenance", |i| if text(i, "is_paused") == "true" { "on".to_owned() } else { String::new() }),
    column("last test", |i| text(i, "last_connection_status")),
    column("from", |i| text(i, "declared_in")),
    wide("environment", |i| text(i, "environment")),
    wide("os", |i| text(i, "os_type")),
    wide("login", |i| text(i, "auth_type")),
    wide("bastion", |i| text(i, "bastion")),
    wide("tested", |i| super::time::short(&text(i, "last_connection_test"))),
    wide("id", |i| text(i, "id")),
];

impl Servers {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        if let Command::ScanKeys(scan) = self.command {
            return scan.run(&self.output).await;
        }
        let client = self.client.client()?;
        let at = |name: &str, rest: &str| format!("servers/{}{rest}", segment(name));
        match self.command {
            Command::ScanKeys(_) => {}
            Command::List { limit } => {
                let items = client.list("servers", &[], limit).await?;
                self.output.list(&items, "name", COLUMNS)?;
            }
            Command::Show { name } => {
                let server = client.get(&at(&name, ""), &[]).await?;
                self.output.one(&server, "name", show)?;
            }
            Command::Add(add) => {
                let server = client.post("servers", &add.body()?).await?;
                self.output.one(&server, "name", show)?;
            }
            Command::Import(import) => return import.run(&client, &self.output).await,
            Command::Credentials(change) => {
                let mut body = Map::new();
                change.secrets.put(&mut body)?;
                body.extend(change.remove.iter().map(|name| (name.clone(), Value::Null)));
                let path = format!("/api/v1/{}", at(&change.name, "/credentials"));
                let answer = client.send(Method::PUT, &path, &[], Some(&Value::Object(body)), &[]).await?;
                self.output.one(&client.accept(answer)?, "name", show)?;
            }
            Command::Test { name } => {
                let answer = client.post(&at(&name, "/test"), &json!({})).await?;
                self.output.one(&answer, "status", tested)?;
                if text(&answer, "status") != "success" {
                    return Ok(Exit::Error);
                }
            }
            Command::Maintenance { state, name, reason } => {
                let body = json!({"is_paused": state == Switch::On, "reason": reason.reason});
                let server = client.post(&at(&name, "/maintenance"), &body).await?;
                self.output.one(&server, "name", show)?;
            }
            Command::Rm { name } => {
                client.delete(&at(&name, "")).await?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Add {
    fn body(self) -> Result<Value, Failure> {
        let has_key = self.key_file.is_some() || self.secrets.private_key.is_some();
        let has_password = self.password_file.is_some() || self.secrets.password_from.is_some();
        let auth_type = match (has_key, has_password) {
            (true, _) => "key",
            (false, true) => "password",
            (false, false) => "agent",
        };
        let mut body = Map::new();
        self.secrets.put(&mut body)?;
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        put("hostname", self.hostname.unwrap_or_else(|| self.name.clone()).into());
        put("name", self.name.into());
        put("username", self.username.into());
        put("protocol", self.protocol.into());
        put("auth_type", auth_type.into());
        put("host_keys", self.host_keys.into());
        put("tags", self.tags.into());
        if let Some(port) = self.port {
            put("port", port.into());
        }
        for (key, value) in [
            ("os_type", self.os_type),
            ("group", self.group),
            ("environment", self.environment),
            ("bastion", self.bastion),
            ("domain", self.domain),
        ] {
            if let Some(value) = value {
                put(key, value.into());
            }
        }
        for (key, value) in [
            ("key_file", self.key_file),
            ("passphrase_file", self.passphrase_file),
            ("certificate_file", self.certificate_file),
            ("password_file", self.password_file),
            ("become_password_file", self.become_password_file),
        ] {
            if let Some(value) = value {
                put(key, value.display().to_string().into());
            }
        }
        Ok(Value::Object(body))
    }
}

fn tested(answer: &Value) -> String {
    let mut lines = format!("{} {}: {}\n", text(answer, "name"), text(answer, "status"), text(answer, "message"));
    for check in answer["checks"].as_array().into_iter().flatten() {
        lines.push_str(&format!("  {:<15}{}\n", text(check, "part"), text(check, "state")));
    }
    lines
}

fn show(server: &Value) -> String {
    let mut lines = String::new();
    for (name, key) in [
        ("name", "name"),
        ("id", "id"),
        ("from", "declared_in"),
        ("hostname", "hostname"),
        ("port", "port"),
        ("username", "username"),
        ("os", "os_type"),
        ("login", "auth_type"),
        ("stored", "stored_secrets"),
        ("bastion", "bastion"),
        ("host keys", "host_keys"),
        ("group", "group"),
        ("environment", "environment"),
        ("tags", "tags"),
        ("maintenance", "is_paused"),
        ("last test", "last_connection_status"),
        ("tested", "last_connection_test"),
        ("message", "last_connection_message"),
    ] {
        let value = text(server, key);
        if !value.is_empty() {
            lines.push_str(&format!("{name:<13}{value}\n"));
        }
    }
    lines
}
