//! `douse serve`: the engine, until it is told to stop.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Exit, Failure};
use super::output::note;
use crate::app::{self, Options};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::PolicySource;
use crate::failpoint;
use crate::telemetry::{self, LogFormat};

/// Run the engine
#[derive(Args, Debug)]
pub struct Serve {
    /// Configuration
    #[arg(long = "config.file", env = "DOUSE_CONFIG_FILE", default_value = "douse.yml", value_name = "FILE")]
    config_file: PathBuf,
    /// Listen here instead of where the configuration says; may be given several times
    #[arg(long = "web.listen-address", value_name = "HOST:PORT")]
    listen_addresses: Vec<String>,
    /// Keep the SQLite database in this folder instead of where the configuration says
    #[arg(long = "storage.path", value_name = "DIR", conflicts_with = "storage_url")]
    storage_path: Option<PathBuf>,
    /// Use this database instead of the configured one
    #[arg(long = "storage.url", value_name = "URL")]
    storage_url: Option<String>,
    /// error, warn, info, debug, trace, or a filter such as `douse=debug,russh=warn`
    #[arg(long = "log.level", default_value = "info", value_name = "LEVEL")]
    log_level: String,
    /// text or json
    #[arg(long = "log.format", default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

impl Serve {
    /// Starts, reloads on SIGHUP, stops on SIGTERM and SIGINT.
    pub async fn run(self) -> Result<Exit, Failure> {
        telemetry::start_log(&self.log_level, self.log_format).map_err(Failure::error)?;
        close_memory();
        let failed = |error: std::io::Error| Failure::error(format!("signals cannot be waited for: {error}"));
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        failpoint::arm().map_err(Failure::error)?;
        let source = PolicySource {
            variables: self.variables(),
            config_file: self.config_file,
            listen_addresses: self.listen_addresses,
        };
        let options = Options { source, clock: Clock::System, transport: None };
        let mut running = app::start(options).await.map_err(|error| Failure::error(error.to_string()))?;
        if let Some(token) = running.take_setup_token() {
            // Not a line of the log, which may be sent anywhere.
            note(&format!(
                "\nThere is no user yet. Whoever has this set-up token becomes the first admin, once, within a day:\n\n    {}\n\n\
                 `douse users setup NAME --setup-token-file FILE` redeems it.\n",
                token.expose()
            ));
        }
        loop {
            tokio::select! {
                _ = hangup.recv() => running.reload().await,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        tracing::info!("stopping");
        running.stop().await.map_err(|error| Failure::error(error.to_string()))?;
        Ok(Exit::Ok)
    }

    /// The environment's values, the flags' over them.
    fn variables(&self) -> Vec<(String, String)> {
        let mut variables = Config::environment();
        let mut set = |name: &str, value: String| {
            variables.retain(|(other, _)| other != name);
            variables.push((name.to_owned(), value));
        };
        if let Some(path) = &self.storage_path {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            set("DOUSE_STORAGE__URL", format!("sqlite://{}", path.join("douse.db").display()));
        }
        if let Some(url) = &self.storage_url {
            set("DOUSE_STORAGE__URL", url.clone());
        }
        variables
    }
}

/// Keeps what this process has in memory to itself: no core dump, and no other process of the same user may read it.
fn close_memory() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "PR_SET_DUMPABLE was refused: other processes of this user can read the memory");
        }
    }
}
