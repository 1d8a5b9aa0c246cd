//! Reading what the operator wrote: configuration, runbooks, servers. All problems at once, nothing put in force.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Retention};
use crate::gate::blackout::Blackout;
use crate::inventory::{self, Inventory, Server};
use crate::limits;
use crate::problem::{Problem, Severity};
use crate::runbook::model::Runbook;
use crate::runbook::parse;

/// Where the operator's files are: what a reload reads again.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// `--config.file`.
    pub config_file: PathBuf,
    /// The environment's and the command line's values, laid over the file (`DOUSE_STORAGE__URL` …).
    pub variables: Vec<(String, String)>,
    /// `--web.listen-address`: instead of the configuration's, unless empty.
    pub listen_addresses: Vec<String>,
}

/// A runbook and the file that it came from.
#[derive(Clone, Debug)]
pub struct RunbookFile {
    pub runbook: Arc<Runbook>,
    pub path: PathBuf,
}

/// What was read, free of errors, not yet in force.
#[derive(Clone, Debug)]
pub struct Draft {
    pub config: Arc<Config>,
    /// By name.
    pub runbooks: BTreeMap<String, RunbookFile>,
    /// What the files declare; the database may hold more.
    pub servers: Vec<Server>,
    pub blackouts: Vec<Blackout>,
    /// What works, but should be looked at.
    pub warnings: Vec<Problem>,
}

impl Draft {
    /// Reads everything that `source` names; every problem of every file if one is an error.
    pub fn read(source: &PolicySource) -> Result<Self, Vec<Problem>> {
        let config = Config::load(&source.config_file, &source.variables)?;
        Self::of(config, source)
    }

    /// As [`Draft::read`] on a machine that does not hold the engine's secrets.
    pub fn check(source: &PolicySource) -> Result<Self, Vec<Problem>> {
        let config = Config::check(&source.config_file, &source.variables)?;
        Self::of(config, source)
    }

    /// How long records are kept: as the configuration says, and executions as long as a gate looks back at least. A cooldown
    /// that is forgotten would run a runbook twice.
    pub fn kept_for(&self) -> Retention {
        let (kept, limits) = (self.config.storage.retention, &self.config.limits);
        let own = [
            limits.executions_per_hour.map(|_| Duration::from_secs(3_600)),
            limits.recently_remediated,
            limits.max_queue_age,
            limits.blast_radius.map(|bound| bound.window),
            limits.attempts.map(|bound| bound.window),
        ];
        let runbooks = self.runbooks.values().map(|file| file.runbook.looks_back());
        let looks_back = own.into_iter().flatten().chain(runbooks).max().unwrap_or_default();
        Retention { executions: kept.executions.map(|kept| kept.max(looks_back)), ..kept }
    }

    fn of(mut config: Config, source: &PolicySource) -> Result<Self, Vec<Problem>> {
        if !source.listen_addresses.is_empty() {
            config.web.listen_addresses.clone_from(&source.listen_addresses);
        }
        let mut problems = config.warnings.clone();
        let runbooks = read_runbooks(&config, &mut problems);
        let servers = read_servers(&config, &mut problems);
        let blackouts = read_blackouts(&config, &mut problems);
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(problems);
        }
        Ok(Self { config: Arc::new(config), runbooks, servers, blackouts, warnings: problems })
    }
}

fn read_runbooks(config: &Config, problems: &mut Vec<Problem>) -> BTreeMap<String, RunbookFile> {
    let mut found: BTreeMap<String, RunbookFile> = BTreeMap::new();
    for dir in &config.runbook_dirs {
        for path in runbook_paths(dir, problems) {
            let Some(text) = read_text(&path, limits::RUNBOOK_BYTES_MAX, problems) else { continue };
            let parsed = parse::parse(&path.display().to_string(), &text);
            problems.extend(parsed.problems);
            let Some(runbook) = parsed.runbook else { continue };
            if let Some(other) = found.get(&runbook.name) {
                let message = format!("runbook `{}` is defined in {}, too", runbook.name, other.path.display());
                problems.push(
                    Problem::error("E110", &path.display().to_string(), 0, 0, message)
                        .hint("a runbook's name is its identity: rename one of them, or remove it"),
                );
                continue;
            }
            found.insert(runbook.name.clone(), RunbookFile { runbook: Arc::new(runbook), path });
        }
    }
    found
}

/// The runbook files under `dir`, sorted. `*.test.yml`, `servers.yml` and `douse.yml` are known by name and left out,
/// hidden entries too; symbolic links are not followed, so that nothing outside of the folder is read.
pub fn runbook_paths(dir: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folders = vec![(dir.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("cannot read the runbook folder {}: {error}", folder.display());
                problems.push(Problem::error("E101", &folder.display().to_string(), 0, 0, message));
                continue;
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(kind) = entry.file_type() else { continue };
            if name.starts_with('.') {
                continue;
            }
            if kind.is_dir() && depth < limits::RUNBOOK_FOLDER_DEPTH_MAX {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file() && is_runbook_name(&name) {
                paths.push(entry.path());
            }
        }
    }
    paths.sort();
    paths
}

fn is_runbook_name(name: &str) -> bool {
    let Some((stem, "yml" | "yaml")) = name.rsplit_once('.') else { return false };
    !stem.ends_with(".test") && stem != "servers" && stem != "douse"
}

fn read_servers(config: &Config, problems: &mut Vec<Problem>) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for path in &config.server_files {
        let Some(text) = read_text(path, limits::SERVERS_BYTES_MAX, problems) else { continue };
        let base = path.parent().unwrap_or(Path::new(""));
        match inventory::file::parse(&path.display().to_string(), base, &text) {
            Ok(more) => servers.extend(more),
            Err(more) => problems.extend(more),
        }
    }
    if let Err(error) = Inventory::new(servers.iter().cloned()) {
        let file = config.server_files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        problems.push(Problem::error("E110", &file, 0, 0, error.to_string()));
    }
    servers
}

fn read_blackouts(config: &Config, problems: &mut Vec<Problem>) -> Vec<Blackout> {
    let mut blackouts = Vec::new();
    for declared in &config.blackouts {
        match declared.spec.parse(config.global.timezone) {
            Ok(blackout) => blackouts.push(blackout),
            Err(error) => problems.push(declared.place.problem("E103", error.to_string())),
        }
    }
    blackouts
}

fn read_text(path: &Path, bytes_max: usize, problems: &mut Vec<Problem>) -> Option<String> {
    let file = path.display().to_string();
    match fs::metadata(path) {
        Ok(metadata) if usize::try_from(metadata.len()).unwrap_or(usize::MAX) > bytes_max => {
            let message = format!("the file has {} bytes, at most {bytes_max} are read", metadata.len());
            problems.push(Problem::error("E101", &file, 0, 0, message));
            return None;
        }
        _ => {}
    }
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            problems.push(Problem::error("E101", &file, 0, 0, format!("cannot read {file}: {error}")));
            None
        }
    }
}
