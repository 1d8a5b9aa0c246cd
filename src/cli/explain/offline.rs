//! Explaining from files alone: the same triggers and gates over an empty history, for who has no engine at hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::alert::Labels;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::note;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::engine::gating::{self, Incident};
use crate::engine::policy::{Draft, Policy, PolicySource};
use crate::gate::explain::Explanation;
use crate::runbook::check::render;
use crate::store::Store;

/// What the configuration in `dir` would do about an alert.
pub(super) async fn explain(
    dir: &Path,
    labels: Labels,
    annotations: Labels,
    source: Option<String>,
    now: Timestamp,
) -> Result<Explanation, Failure> {
    let config_file = if dir.is_dir() { dir.join("douse.yml") } else { dir.to_owned() };
    if !config_file.is_file() {
        let message = format!("{}: there is no such file", config_file.display());
        return Err(Failure::new(Exit::NotFound, message).hint("--config-dir names a folder with a douse.yml"));
    }
    let source_files = PolicySource { config_file, variables: Config::environment(), listen_addresses: Vec::new() };
    let draft = Draft::check(&source_files).map_err(|problems| {
        note(render::render(render::Format::Human, &problems, &|_, _| None).trim_end());
        Failure::error("the files have errors").hint("`douse check` tells them with their lines")
    })?;
    let scratch = Scratch::new()?;
    let failed = |error: &dyn std::fmt::Display| Failure::error(format!("the gates cannot be asked: {error}"));
    let url = format!("sqlite://{}/explain.db", scratch.0.display());
    let store = Store::open(&url).await.map_err(|error| failed(&error))?;
    let policy =
        Policy::enforce(&store, Arc::new(draft), "explain", None, now).await.map_err(|error| failed(&error))?;
    let incident = Incident::imagined(labels, annotations, source, &policy, now);
    let explained = store.read(move |db| gating::explain(db, &policy, &incident, now)).await;
    note("asked of the files alone: no engine's history, pauses or overrides are known here");
    explained.map_err(|error| failed(&error))
}

/// A folder for an empty database, that goes when its owner does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("douse-explain-{}", crate::id::ExecutionId::new()));
        std::fs::create_dir(&path).map_err(|error| Failure::error(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: a leftover in the temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
