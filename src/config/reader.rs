//! Walks a [`Node`] tree: takes keys out of maps with their types, and collects every problem on the way.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::outbound::Url;
use crate::problem::Problem;

use super::Secret;
use super::tree::{Node, Place, ScalarKind, Value};

/// What all readers of one load share.
pub(super) struct Reading<'r> {
    /// Folder of the file: what relative paths in it are relative to.
    pub(super) base: &'r Path,
    /// Secrets are read from their files; `check` on another machine than the engine's leaves them.
    pub(super) reads_secrets: bool,
    /// Where systemd puts what `LoadCredential=` names.
    pub(super) credentials_directory: Option<PathBuf>,
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) warnings: RefCell<Vec<Problem>>,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl Reading<'_> {
    /// Notes a problem.
    pub(super) fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes something that works but should be looked at.
    pub(super) fn warning(&self, place: &Place, code: &'static str, message: impl Into<String>) {
        let Place { file, line, column } = place;
        self.warnings.borrow_mut().push(Problem::warning(code, file, *line, *column, message));
    }

    /// A path as the file means it; one from the environment is relative to the working directory.
    pub(super) fn path(&self, text: &At<String>) -> PathBuf {
        if text.place.is_variable() { PathBuf::from(&text.value) } else { self.base.join(&text.value) }
    }
}

/// One map being read. Keys that nobody asked for are unknown: [`MapReader::finish`] reports them.
pub(super) struct MapReader<'r, 'n> {
    reading: &'r Reading<'r>,
    /// `storage.retention`, empty at the top.
    name: String,
    pub(super) place: Place,
    entries: &'n [(super::tree::Key, Node)],
    known: Vec<&'static str>,
}

impl<'r, 'n> MapReader<'r, 'n> {
    /// Reads `node` as a map called `name` in messages.
    pub(super) fn new(reading: &'r Reading<'r>, name: impl Into<String>, node: &'n Node) -> Option<Self> {
        let name = name.into();
        let entries: &[_] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::List(_) | Value::Scalar(_) => {
                let what = if name.is_empty() { "the file" } else { &name };
                let message = format!("`{what}` must be a map (`key: value`), not {}", node.kind());
                reading.problem(node.place.problem("E103", message));
                return None;
            }
        };
        Some(Self { reading, name, place: node.place.clone(), entries, known: Vec::new() })
    }

    /// A section that is not there: every key of it takes its default.
    pub(super) fn empty(reading: &'r Reading<'r>, name: &str) -> Self {
        let place = Place { file: String::new(), line: 0, column: 0 };
        Self { reading, name: name.to_owned(), place, entries: &[], known: Vec::new() }
    }

    /// Something is written under `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(found, _)| found.name == key)
    }

    /// A single value that satisfies `test` stands under `key`.
    pub(super) fn is_scalar(&mut self, key: &'static str, test: impl Fn(&str) -> bool) -> bool {
        self.known.push(key);
        let node = self.entries.iter().find(|(found, _)| found.name == key);
        matches!(node, Some((_, Node { value: Value::Scalar(scalar), .. })) if test(&scalar.text))
    }

    /// The node under `key`, or each entry of the list there.
    pub(super) fn node_or_list(&mut self, key: &'static str) -> Vec<&'n Node> {
        match self.node(key) {
            None => Vec::new(),
            Some(Node { value: Value::List(items), .. }) => items.iter().collect(),
            Some(node) => vec![node],
        }
    }

    /// The full name of `key`.
    pub(super) fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// The node under `key`, if something is written there.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|(found, _)| found.name == key).map(|(_, node)| node)
    }

    /// The map under `key`; a missing one reads as empty.
    pub(super) fn map<T>(&mut self, key: &'static str, read: impl FnOnce(&mut MapReader<'r, 'n>) -> T) -> Option<T> {
        let node = self.node(key)?;
        let mut reader = MapReader::new(self.reading, self.full(key), node)?;
        let value = read(&mut reader);
        reader.finish();
        Some(value)
    }

    /// The entries of the list under `key`.
    pub(super) fn list(&mut self, key: &'static str) -> &'n [Node] {
        let Some(node) = self.node(key) else { return &[] };
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            Value::Map(_) | Value::Scalar(_) => {
                self.wrong(node, key, "a list");
                &[]
            }
        }
    }

    /// One text or a list of them.
    pub(super) fn text_or_list(&mut self, key: &'static str) -> Vec<At<String>> {
        match self.node(key) {
            None => Vec::new(),
            Some(Node { value: Value::List(items), .. }) => {
                items.iter().filter_map(|item| self.text_of(item, key)).collect()
            }
            Some(node) => self.text_of(node, key).into_iter().collect(),
        }
    }

    /// The text under `key`.
    pub(super) fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let node = self.node(key)?;
        self.text_of(node, key)
    }

    /// The text under `key`, which must be there.
    pub(super) fn required(&mut self, key: &'static str) -> Option<At<String>> {
        if self.node(key).is_none() {
            self.missing(key);
        }
        self.text(key)
    }

    /// The boolean under `key`.
    pub(super) fn bool(&mut self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        match &node.value {
            Value::Scalar(scalar) if scalar.kind == ScalarKind::Bool => Some(scalar.text == "true"),
            _ => {
                self.wrong(node, key, "true or false");
                None
            }
        }
    }

    /// The scalar under `key` as a `T`; `wanted` says in words what it must be.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &'static str, wanted: &str) -> Option<At<T>> {
        self.parsed_by(key, wanted, |text| text.parse().ok())
    }

    /// The duration under `key`, as `90s`, `1h30m`, `30d`; a bare `0` is zero.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let wanted = "a duration with its unit, as in 90s, 5m, 1h30m or 30d";
        let read = |text: &str| if text == "0" { Some(Duration::ZERO) } else { humantime::parse_duration(text).ok() };
        self.parsed_by(key, wanted, read).map(|at| at.value)
    }

    /// The `http` or `https` address under `key`, without a slash at its end.
    pub(super) fn url(&mut self, key: &'static str) -> Option<String> {
        let read = |text: &str| {
            let url = Url::parse(text).ok()?;
            // Addresses are shown to everybody who may read: no credential may stand in them.
            let is_bare = url.username().is_empty() && url.password().is_none();
            let is_web = matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare;
            is_web.then(|| text.trim_end_matches('/').to_owned())
        };
        self.parsed_by(key, "an address as in http://localhost:9090, without a user and password", read)
            .map(|at| at.value)
    }

    /// The secrets under `key` or in the files under `file_key`: a single one or a list. Never an empty one.
    pub(super) fn secrets(&mut self, key: &'static str, file_key: &'static str) -> Vec<At<Secret>> {
        let written = self.text_or_list(key);
        let files = self.text_or_list(file_key);
        if let (Some(_), Some(file)) = (written.first(), files.first()) {
            let message = format!("`{}` and `{}` exclude each other", self.full(key), self.full(file_key));
            self.reading.problem(file.place.problem("E103", message).hint("keep the file"));
        }
        let read = files.iter().filter_map(|file| self.secret_file(file_key, file));
        let secrets: Vec<_> = written.into_iter().chain(read).collect();
        let (empty, secrets): (Vec<_>, Vec<_>) = secrets.into_iter().partition(|text| text.value.is_empty());
        for text in empty {
            let message = format!("`{}` is empty; an empty secret would match nothing", self.full(key));
            self.reading.problem(text.place.problem("E103", message));
        }
        secrets.into_iter().map(|At { value, place }| At { value: Secret::new(value), place }).collect()
    }

    fn secret_file(&self, key: &str, file: &At<String>) -> Option<At<String>> {
        let path = self.reading.path(file);
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(At { value: text.trim_end_matches(['\r', '\n']).to_owned(), place: file.place.clone() }),
            Err(_) if !self.reading.reads_secrets => None,
            Err(error) => {
                let message = format!("`{}`: {} cannot be read: {error}", self.full(key), path.display());
                self.reading.problem(file.place.problem("E130", message));
                None
            }
        }
    }

    fn parsed_by<T>(&mut self, key: &'static str, wanted: &str, read: impl Fn(&str) -> Option<T>) -> Option<At<T>> {
        let node = self.node(key)?;
        if let Value::Scalar(scalar) = &node.value
            && let Some(value) = read(&scalar.text)
        {
            return Some(At { value, place: node.place.clone() });
        }
        self.wrong(node, key, wanted);
        None
    }

    fn text_of(&self, node: &Node, key: &str) -> Option<At<String>> {
        match &node.value {
            Value::Scalar(scalar) => Some(At { value: scalar.text.clone(), place: node.place.clone() }),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.wrong(node, key, "a text");
                None
            }
        }
    }

    /// Notes that `key` is not what it must be. The value itself is told only where it cannot be a secret.
    fn wrong(&self, node: &Node, key: &str, wanted: &str) {
        let found = match &node.value {
            Value::Scalar(scalar) if !is_secret(key) => format!("`{}`", scalar.text),
            _ => node.kind().to_owned(),
        };
        let message = format!("`{}` must be {wanted}, not {found}", self.full(key));
        self.reading.problem(node.place.problem("E103", message));
    }

    /// Notes that `key` is missing.
    pub(super) fn missing(&self, key: &str) {
        self.reading.problem(self.place.problem("E105", format!("`{}` is missing", self.full(key))));
    }

    /// Reports every key that nobody asked for. Keys that begin with `x-` are the author's own.
    pub(super) fn finish(self) {
        for (key, _) in self.entries {
            if self.known.contains(&key.name.as_str()) || key.name.starts_with("x-") {
                continue;
            }
            let problem = key.place.problem("E104", format!("unknown key `{}`", self.full(&key.name)));
            self.reading.problem(match did_you_mean(&key.name, &self.known) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("known here: {}", self.known.join(", "))),
            });
        }
    }
}

/// Keys whose value is never shown, not even when it is wrong.
fn is_secret(key: &str) -> bool {
    ["token", "password", "secret", "url", "master_key"].iter().any(|word| key.contains(word))
        && !key.ends_with("_file")
        && !key.ends_with("_credential")
}

fn did_you_mean<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(word, name), *name));
    near.filter(|(distance, name)| *distance <= 1 + name.len() / 3).min().map(|(_, name)| name)
}
