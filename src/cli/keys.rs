//! `douse keys`: making master keys, seeing which are in use, wrapping secrets anew.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::client::ClientArgs;
use super::exit::{Exit, Failure};
use super::output::{Column, OutputArgs, column, note, text};
use crate::clock::Clock;
use crate::secrets::keyring::{self, Keyring};

/// Make master keys, see which are in use, rotate them
#[derive(Args, Debug)]
pub struct Keys {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Write a new random master key to a file that only its owner can read
    Generate {
        file: PathBuf,
        /// The key's id; today's date if not given
        #[arg(long)]
        name: Option<String>,
        /// Add it to the keys that the file holds: after a reload it seals what is new
        #[arg(long)]
        append: bool,
    },
    /// The master keys that the database knows, and how many servers' secrets each seals
    List,
    /// Wrap everything by the current master key, batch by batch; may be interrupted and started again
    Rotate {
        /// Servers in one transaction
        #[arg(long, default_value_t = 500)]
        batch: usize,
    },
}

const COLUMNS: &[Column] = &[
    column("key", |i| text(i, "key_id")),
    column("current", |i| if text(i, "is_current") == "true" { "yes".to_owned() } else { String::new() }),
    column("held", |i| if text(i, "is_held") == "true" { "yes".to_owned() } else { "no".to_owned() }),
    column("servers", |i| text(i, "servers")),
    column("since", |i| super::time::short(&text(i, "created_at"))),
    column("retired", |i| super::time::short(&text(i, "retired_at"))),
];

impl Keys {
    /// Runs the subcommand.
    pub async fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Generate { file, name, append } => {
                let name = name.unwrap_or_else(|| Clock::System.now().utc().format("%Y-%m-%d").to_string());
                let id = generate(&file, &name, append).map_err(Failure::error)?;
                note(&format!(
                    "{}: master key `{id}`; keep a copy where the database's backups are not",
                    file.display()
                ));
            }
            Command::List => {
                let items = self.client.client()?.list("keys", &[], usize::MAX).await?;
                self.output.list(&items, "key_id", COLUMNS)?;
            }
            Command::Rotate { batch } => {
                let client = self.client.client()?;
                let mut rotated = 0;
                loop {
                    let answer = client.post("keys/rotate", &json!({ "limit": batch })).await?;
                    let done = answer["rotated"].as_u64().unwrap_or(0);
                    let remaining = answer["remaining"].as_u64().unwrap_or(0);
                    rotated += done;
                    for broken in answer["broken"].as_array().into_iter().flatten() {
                        note(&format!("does not open: {}", broken.as_str().unwrap_or_default()));
                    }
                    for key in answer["retired"].as_array().into_iter().flatten() {
                        note(&format!(
                            "key `{}` seals nothing any more: its line may go",
                            key.as_str().unwrap_or_default()
                        ));
                    }
                    if remaining == 0 {
                        self.output.one(&answer, "key_id", |answer| {
                            format!("{rotated} servers rotated; everything is under `{}`\n", text(answer, "key_id"))
                        })?;
                        break;
                    }
                    if done == 0 {
                        return Err(Failure::error(format!(
                            "the secrets of {remaining} servers stay under another key"
                        ))
                        .hint("give them again (`douse servers credentials`), then rotate once more"));
                    }
                    note(&format!("{rotated} servers rotated, {remaining} to go"));
                }
            }
        }
        Ok(Exit::Ok)
    }
}

/// Writes the key; answers with its id as the database will know it.
fn generate(file: &Path, name: &str, append: bool) -> Result<String, String> {
    let line = keyring::generate(name)?;
    let failed = |what: &str, error: std::io::Error| format!("{} cannot be {what}: {error}", file.display());
    let before = if append {
        Zeroizing::new(fs::read_to_string(file).map_err(|error| failed("read", error))?)
    } else {
        Zeroizing::new(String::new())
    };
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let whole = Zeroizing::new([before.as_str(), gap, line.as_str()].concat());
    let keys = Keyring::parse(&whole).map_err(|problem| format!("{}: {problem}", file.display()))?;
    if !append {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                format!("{} exists already; --append adds a key to it", file.display())
            } else {
                failed("made", error)
            }
        })?;
        new.write_all(whole.as_bytes()).and_then(|()| new.sync_all()).map_err(|error| failed("written", error))?;
        return Ok(keys.current().id.clone());
    }
    // Whole or not at all: the engine may read it at any moment.
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let _left_behind = fs::remove_file(&beside);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut new| {
        new.write_all(whole.as_bytes())?;
        new.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, file)).map_err(|error| failed("written", error))?;
    Ok(keys.current().id.clone())
}
