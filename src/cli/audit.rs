//! `douse audit`: search the audit log, take a copy of it, and verify its chain, also without a running engine.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::ClientArgs;
use super::exit::{Exit, Failure};
use super::output::{self, Column, OutputArgs, column, text, wide};
use super::time;
use crate::audit::key::Keyring;
use crate::config::Config;
use crate::engine::ledger::{self, anchor};
use crate::store::Store;

/// Search, copy and verify the audit log
#[derive(Args, Debug)]
pub struct Audit {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List events, newest first
    Search(Search),
    /// Walk the chain and name the first event that is not as it was; exit 1 if there is one
    Verify(Verify),
    /// Write all events to standard output, the oldest first
    Export(Export),
}

#[derive(Args, Debug)]
struct Search {
    /// As in STEP_STARTED
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Who did it
    #[arg(long)]
    actor: Option<String>,
    /// execution, server, blackout, …
    #[arg(long)]
    resource_type: Option<String>,
    /// An id or a name
    #[arg(long)]
    resource_id: Option<String>,
    /// Of this execution
    #[arg(long)]
    execution: Option<String>,
    /// Not before this moment
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Args, Debug)]
struct Verify {
    /// Verify the database that this configuration names, without an engine
    #[arg(long = "config.file", value_name = "FILE", conflicts_with_all = ["database", "key_file"])]
    config_file: Option<PathBuf>,
    /// Verify this database (sqlite://… or postgres://…), without an engine
    #[arg(long, value_name = "URL", requires = "key_file")]
    database: Option<String>,
    /// The chain's key
    #[arg(long, value_name = "FILE", requires = "database")]
    key_file: Option<PathBuf>,
    /// Anchors to compare with, one a line; may be given several times
    #[arg(long, value_name = "FILE")]
    anchors: Vec<PathBuf>,
}

#[derive(Args, Debug)]
struct Export {
    /// jsonl or csv
    #[arg(long, default_value = "jsonl", value_parser = ["jsonl", "csv"])]
    format: String,
    /// Not before this moment
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

const COLUMNS: &[Column] = &[
    column("seq", |i| text(i, "seq")),
    column("at", |i| time::short(&text(i, "created_at"))),
    column("event", |i| text(i, "event_type")),
    column("actor", |i| text(i, "actor")),
    column("resource", |i| format!("{} {}", text(i, "resource_type"), text(i, "resource_id"))),
    wide("from", |i| text(i, "ip_address")),
    wide("payload", |i| text(i, "payload")),
    wide("payload hash", |i| text(i, "payload_hash")),
];

impl Audit {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Search(search) => {
                let items = self.client.client()?.list("audit", &search.query(), search.limit).await?;
                self.output.list(&items, "id", COLUMNS)?;
                Ok(Exit::Ok)
            }
            Command::Export(export) => {
                let mut query = vec![("format", export.format)];
                query.extend(export.since.map(|since| ("since", since)));
                query.extend(export.until.map(|until| ("until", until)));
                self.client.client()?.copy("audit/export", &query).await?;
                Ok(Exit::Ok)
            }
            Command::Verify(verify) => {
                let report = match verify.offline()? {
                    Some(offline) => offline.verify().await?,
                    None if verify.anchors.is_empty() => {
                        self.client.client()?.post("audit/verify", &Value::Object(serde_json::Map::new())).await?
                    }
                    None => {
                        return Err(Failure::usage("--anchors are compared here: name the database, too")
                            .hint("douse audit verify --config.file=douse.yml --anchors FILE"));
                    }
                };
                self.output.one(&report, "is_valid", said)?;
                let is_valid = report.get("is_valid").and_then(Value::as_bool) == Some(true);
                Ok(if is_valid { Exit::Ok } else { Exit::Error })
            }
        }
    }
}

fn said(report: &Value) -> String {
    let events = text(report, "events");
    match report.pointer("/fault/message").and_then(Value::as_str) {
        Some(message) => format!("The audit log is NOT as it was written.\n{message}\n"),
        None => {
            let mut said = format!("The audit log is as it was written: {events} events");
            for (key, what) in [("waiting", "not yet in the chain"), ("pruned", "taken away by retention before")] {
                let count = text(report, key);
                if count != "0" {
                    said.push_str(&format!(", {count} {what}"));
                }
            }
            match text(report, "anchors").as_str() {
                "0" => said + ".\nNo anchors were compared: nobody can tell whether the end was cut.\n",
                count => said + &format!("; {count} anchors compared.\n"),
            }
        }
    }
}

impl Search {
    fn query(&self) -> Vec<(&'static str, String)> {
        let pairs = [
            ("event_type", &self.event_type),
            ("actor", &self.actor),
            ("resource_type", &self.resource_type),
            ("resource_id", &self.resource_id),
            ("execution", &self.execution),
            ("since", &self.since),
            ("until", &self.until),
        ];
        pairs.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }
}

/// What a verification without an engine needs.
struct Offline {
    database: String,
    keys: Keyring,
    anchors: Vec<PathBuf>,
}

impl Verify {
    fn offline(&self) -> Result<Option<Offline>, Failure> {
        let mut anchors = self.anchors.clone();
        if let (Some(database), Some(key_file)) = (&self.database, &self.key_file) {
            let failed = |problem: String| Failure::error(format!("{}: {problem}", key_file.display()));
            let text = std::fs::read_to_string(key_file).map_err(|error| failed(error.to_string()))?;
            let keys = Keyring::parse(&zeroize::Zeroizing::new(text)).map_err(failed)?;
            return Ok(Some(Offline { database: database.clone(), keys, anchors }));
        }
        let Some(file) = &self.config_file else { return Ok(None) };
        let config = Config::load(file, &Config::environment())?;
        let keys = config.audit.keys.ok_or_else(|| {
            Failure::error(format!("{}: `audit.key_file` is not set, so the log is not chained", file.display()))
        })?;
        anchors.extend(config.audit.anchors.file.filter(|file| file.exists()));
        Ok(Some(Offline { database: config.storage.url.expose().to_owned(), keys: (*keys).clone(), anchors }))
    }
}

impl Offline {
    async fn verify(self) -> Result<Value, Failure> {
        let mut anchors = Vec::new();
        for file in &self.anchors {
            anchors.extend(anchor::read(file).map_err(|error| Failure::error(error.to_string()))?);
        }
        let failed = |error: crate::store::StoreError| Failure::error(error.to_string());
        let store = Store::inspect(&self.database).await.map_err(failed)?;
        output::note("looking at the database itself; a running engine is not disturbed");
        let report = ledger::verify(&store, &self.keys, anchors).await.map_err(failed)?;
        serde_json::to_value(report).map_err(|error| Failure::error(error.to_string()))
    }
}
