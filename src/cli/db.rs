//! `douse db`: the database itself, without an engine.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output::{self, Column, OutputArgs, column, text};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::ledger::seal;
use crate::engine::policy::{Draft, PolicySource};
use crate::engine::retention;
use crate::store::{Backup, Store, StoreError};

/// Look after the database
#[derive(Args, Debug)]
pub struct Database {
    /// Configuration, which names the database
    #[arg(
        long = "config.file",
        env = "DOUSE_CONFIG_FILE",
        default_value = "douse.yml",
        value_name = "FILE",
        global = true
    )]
    config_file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Bring the tables up to date, as a start of the engine does
    Migrate,
    /// Write a copy that is whole, also while an engine works on it
    Backup {
        /// Where to; must not be there yet
        file: PathBuf,
    },
    /// Take away now what the retention does not keep
    Prune,
    /// Count the rows of each table
    Stats,
}

const COLUMNS: &[Column] = &[column("table", |i| text(i, "table")), column("rows", |i| text(i, "rows"))];

fn failed(error: StoreError) -> Failure {
    Failure::error(error.to_string())
}

impl Database {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        let config = Config::load(&self.config_file, &Config::environment())?;
        let url = config.storage.url.expose();
        match self.command {
            Command::Migrate => {
                Store::open(url).await.map_err(failed)?;
                output::note("the tables are up to date");
            }
            Command::Backup { file } => {
                back_up(url, &file).await?;
                output::note(&format!("written to {}", file.display()));
            }
            Command::Prune => {
                let source = PolicySource {
                    config_file: self.config_file.clone(),
                    variables: Config::environment(),
                    listen_addresses: Vec::new(),
                };
                // What the gates look at is not taken away, so the runbooks have to be read.
                let draft = Draft::read(&source)?;
                let store = Store::open(url).await.map_err(failed)?;
                let now = Clock::System.now();
                seal::begin(&store, config.audit.keys.clone(), now)
                    .await
                    .map_err(|error| Failure::error(error.to_string()))?;
                let pruned = retention::prune(&store, draft.kept_for(), "", now).await.map_err(failed)?;
                self.output.one(&json!(pruned), "executions", |pruned: &Value| {
                    let count = |key: &str| text(pruned, key);
                    format!(
                        "taken away: {} executions, {} outputs, {} episodes, {} deliveries, {} audit events\n",
                        count("executions"),
                        count("outputs"),
                        count("episodes"),
                        count("deliveries"),
                        count("audit")
                    )
                })?;
            }
            Command::Stats => {
                let store = Store::inspect(url).await.map_err(failed)?;
                let rows: Vec<Value> = store
                    .count_rows()
                    .await
                    .map_err(failed)?
                    .into_iter()
                    .map(|(table, rows)| json!({ "table": table, "rows": rows }))
                    .collect();
                self.output.list(&rows, "table", COLUMNS)?;
            }
        }
        Ok(Exit::Ok)
    }
}

async fn back_up(url: &str, file: &Path) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::error(format!("{} is there already", file.display())));
    }
    // It holds all that the database holds: for its owner only, from its first byte on.
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map_err(|error| Failure::error(format!("{}: {error}", file.display())))?;
    let copied = copy(url, file).await;
    if copied.is_err()
        && let Err(error) = std::fs::remove_file(file)
    {
        output::note(&format!("{} is no whole copy and cannot be removed: {error}", file.display()));
    }
    copied
}

async fn copy(url: &str, file: &Path) -> Result<(), Failure> {
    match Store::back_up(url, file).await.map_err(failed)? {
        Backup::Written => Ok(()),
        Backup::ByPgDump(environment) => {
            let file = file.to_owned();
            let dumped = tokio::task::spawn_blocking(move || {
                // The password goes by the environment: everybody on the machine may read a command line.
                Process::new("pg_dump")
                    .args(["--format=custom", "--file"])
                    .arg(&file)
                    .envs(environment)
                    .stdin(Stdio::null())
                    .status()
            });
            match dumped.await {
                Ok(Ok(status)) if status.success() => Ok(()),
                Ok(Ok(status)) => Err(Failure::error(format!("pg_dump ended with {status}"))),
                Ok(Err(error)) => Err(Failure::error(format!("pg_dump cannot be run: {error}"))
                    .hint("install PostgreSQL's client programs of the server's version or newer")),
                Err(error) => Err(Failure::error(error.to_string())),
            }
        }
    }
}
