//! `douse check`: every problem of runbooks, servers and configurations, without an engine.
//!
//! Reads files; what is wrong with them is said by [`crate::runbook::check`], [`crate::inventory::file`] and
//! [`crate::config`]. A folder with a `douse.yml` is what that file names, one without is a folder of runbooks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure};
use super::output::{self, visible};
use crate::config::Config;
use crate::engine::policy::read::runbook_paths;
use crate::inventory;
use crate::problem::{Problem, Severity};
use crate::runbook::check::{self, Checked, render};

/// Find what is wrong with runbooks, servers and configurations
#[derive(Args, Debug)]
pub struct Check {
    /// Files and folders; `douse.yml` and `servers.yml` are known by their names
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// The configuration whose servers runbooks may name; default: a douse.yml in or beside the folder
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// End with 3 when there are warnings
    #[arg(long)]
    lint_fatal: bool,
    /// How problems are written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// `path:line:column: error[E104]: …`
    Human,
    Json,
    /// Annotations of GitHub's workflows
    Github,
    Sarif,
}

impl Check {
    /// 0 when there is no error, 1 when there is one, 3 for warnings with `--lint-fatal`.
    pub fn run(self) -> Result<Exit, Failure> {
        let mut found = Found::default();
        if let Some(config) = &self.config_file {
            found.config(config);
        }
        for path in &self.paths {
            found.path(path)?;
        }
        let files = found.seen.len();
        let problems = found.problems();
        let format = match self.format {
            Format::Human => render::Format::Human,
            Format::Json => render::Format::Json,
            Format::Github => render::Format::Github,
            Format::Sarif => render::Format::Sarif,
        };
        let texts: BTreeMap<String, String> = problems
            .iter()
            .filter_map(|problem| Some((problem.file.clone(), std::fs::read_to_string(&problem.file).ok()?)))
            .collect();
        let line_of = |file: &str, line: usize| {
            texts.get(file).and_then(|text| text.lines().nth(line.checked_sub(1)?)).map(str::to_owned)
        };
        output::write(&visible(&render::render(format, &problems, &line_of)))?;
        let (errors, warnings) = render::count(&problems);
        let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        output::note(&format!(
            "{}: {}, {}",
            plural(files, "file"),
            plural(errors, "error"),
            plural(warnings, "warning")
        ));
        Ok(match (errors, warnings, self.lint_fatal) {
            (0, 0, _) | (0, _, false) => Exit::Ok,
            (0, _, true) => Exit::LintWarnings,
            _ => Exit::Error,
        })
    }
}

/// What was read so far.
#[derive(Default)]
struct Found {
    /// Each file once, however often it is named.
    seen: BTreeSet<PathBuf>,
    runbooks: Vec<Checked>,
    others: Vec<Problem>,
    /// Names of servers, when a configuration says which there are.
    servers: Option<BTreeSet<String>>,
}

impl Found {
    fn path(&mut self, path: &Path) -> Result<(), Failure> {
        if path.is_dir() {
            return self.folder(path);
        }
        if !path.exists() {
            return Err(Failure::new(Exit::NotFound, format!("{}: there is no such file", path.display())));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match name.as_str() {
            "douse.yml" | "douse.yaml" => self.config(path),
            "servers.yml" | "servers.yaml" => self.servers(path),
            _ => self.runbook(path),
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Path) -> Result<(), Failure> {
        let config = folder.join("douse.yml");
        if config.is_file() {
            self.config(&config);
            return Ok(());
        }
        let beside = std::fs::canonicalize(folder)?.parent().map(|parent| parent.join("douse.yml"));
        if let Some(beside) = beside.filter(|beside| beside.is_file() && self.servers.is_none())
            && let Ok(config) = Config::check(&beside, &[])
        {
            self.known_servers(&config);
        }
        let before = self.seen.len();
        let mut problems = Vec::new();
        for path in runbook_paths(folder, &mut problems) {
            self.runbook(&path);
        }
        self.others.extend(problems);
        let servers = folder.join("servers.yml");
        if servers.is_file() {
            self.servers(&servers);
        }
        if self.seen.len() == before {
            let message = format!("{}: there is no runbook and no douse.yml here", folder.display());
            return Err(
                Failure::new(Exit::NotFound, message).hint("name a file or another folder, or begin with `douse init`")
            );
        }
        Ok(())
    }

    /// A configuration and everything that it names. The machine need not hold its secrets.
    fn config(&mut self, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let config = match Config::check(path, &[]) {
            Ok(config) => config,
            Err(problems) => {
                self.others.extend(problems);
                return;
            }
        };
        self.others.extend(config.warnings.iter().cloned());
        self.known_servers(&config);
        for file in &config.server_files {
            self.servers(file);
        }
        for folder in &config.runbook_dirs {
            let mut problems = Vec::new();
            for path in runbook_paths(folder, &mut problems) {
                self.runbook(&path);
            }
            self.others.extend(problems);
        }
    }

    fn known_servers(&mut self, config: &Config) {
        for file in &config.server_files {
            let Ok(text) = std::fs::read_to_string(file) else { continue };
            let base = file.parent().unwrap_or(Path::new(""));
            if let Ok(servers) = inventory::file::parse(&file.display().to_string(), base, &text) {
                self.servers.get_or_insert_default().extend(servers.into_iter().map(|server| server.name));
            }
        }
    }

    fn servers(&mut self, path: &Path) {
        if let Some(text) = self.text(path)
            && let Err(problems) = inventory::file::parse(&shown(path), path.parent().unwrap_or(Path::new("")), &text)
        {
            self.others.extend(problems);
        }
    }

    fn runbook(&mut self, path: &Path) {
        if let Some(text) = self.text(path) {
            self.runbooks.push(check::read(&shown(path), &text));
        }
    }

    /// The text of a file that was not read before.
    fn text(&mut self, path: &Path) -> Option<String> {
        if !self.is_new(path) {
            return None;
        }
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.others.push(Problem::error("E101", &shown(path), 0, 0, format!("cannot be read: {error}")));
                None
            }
        }
    }

    fn is_new(&mut self, path: &Path) -> bool {
        self.seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// Everything, in the order of the files; the worst first where a line has several.
    fn problems(self) -> Vec<Problem> {
        let mut problems = self.others;
        problems.extend(check::across(&self.runbooks));
        if let Some(servers) = &self.servers {
            problems.extend(check::unknown_servers(&self.runbooks, servers));
        }
        problems.extend(self.runbooks.into_iter().flat_map(|checked| checked.problems));
        let rank = |problem: &Problem| problem.severity == Severity::Warning;
        problems.sort_by(|left, right| {
            (&left.file, left.line, left.column, rank(left)).cmp(&(&right.file, right.line, right.column, rank(right)))
        });
        problems
    }
}

/// A path as the person would name it.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    text.strip_prefix("./").map(str::to_owned).unwrap_or(text)
}
