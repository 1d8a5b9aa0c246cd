//! YAML to a runbook, with every problem at once.
//!
//! [`yaml`] reads the text into a tree with places, [`reader`] holds the tree against the schema of [`raw`], [`build`]
//! makes the model and checks what a schema cannot say, [`names`] checks every template. Called by the reload,
//! `douse check` and whatever else reads a runbook file. Warnings that need no fix are [`super::check`]'s.

mod build;
mod names;
mod raw;
mod reader;
mod steps;
mod triggers;
pub(crate) mod yaml;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use serde_json::Value;

use super::model::Runbook;
use crate::problem::{Problem, Severity};
pub(crate) use reader::nearest;
use yaml::{Node, Place};

/// What reading a file gave.
#[derive(Debug)]
pub struct Parsed {
    /// Present when no problem is an error.
    pub runbook: Option<Runbook>,
    /// Errors and warnings, in the file's order.
    pub problems: Vec<Problem>,
    /// Where everything stands; `None` when the text is no YAML.
    pub(crate) document: Option<Node>,
}

/// Reads the runbook `text`; `file` is how the person named it.
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut problems = Vec::new();
    let document = yaml::read(file, text, &mut problems);
    let runbook = document.as_ref().and_then(|document| {
        let value = reader::read(file, schema_value(), document, &mut problems)?;
        let raw = match serde_json::from_value(value) {
            Ok(raw) => raw,
            Err(error) => {
                // The schema has let something through that the types do not take.
                problems.push(Problem::error("E103", file, 1, 1, error.to_string()));
                return None;
            }
        };
        let runbook = build::runbook(raw, text, &mut Places { file, document, problems: &mut problems });
        names::check(&runbook, &mut Places { file, document, problems: &mut problems });
        Some(runbook)
    });
    problems.sort_by_key(|problem| (problem.line, problem.column));
    let is_good = !problems.iter().any(|problem| problem.severity == Severity::Error);
    Parsed { runbook: runbook.filter(|_| is_good), problems, document }
}

/// The JSON Schema of a runbook file, for editors.
pub fn schema() -> Value {
    schema_value().clone()
}

fn schema_value() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = Value::from(schemars::schema_for!(raw::RawRunbook));
        reader::allow_own_keys(&mut schema);
        schema
    })
}

/// A part of a path into a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Key(&'a str),
    Item(usize),
}

impl<'a> From<&'a str> for Part<'a> {
    fn from(key: &'a str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Part<'_> {
    fn from(number: usize) -> Self {
        Self::Item(number)
    }
}

/// The node at `path`, or the last one on the way to it that there is.
pub(crate) fn find<'n>(document: &'n Node, path: &[Part<'_>]) -> &'n Node {
    path.iter().fold(document, |node, part| {
        let next = match part {
            Part::Key(key) => node.get(key),
            Part::Item(number) => node.items().get(*number),
        };
        next.unwrap_or(node)
    })
}

/// Says problems at their places.
pub(crate) struct Places<'a> {
    pub(crate) file: &'a str,
    pub(crate) document: &'a Node,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Places<'_> {
    pub(crate) fn at(&self, path: &[Part<'_>]) -> Place {
        find(self.document, path).place
    }

    pub(crate) fn error(&mut self, code: &'static str, path: &[Part<'_>], message: impl Into<String>, hint: &str) {
        let at = self.at(path);
        let problem = Problem::error(code, self.file, at.line, at.column, message);
        self.problems.push(if hint.is_empty() { problem } else { problem.hint(hint) });
    }

    /// An error in line `line` (from 1) of the text at `path`.
    pub(crate) fn error_in_text(
        &mut self,
        code: &'static str,
        path: &[Part<'_>],
        line: usize,
        message: String,
        hint: &str,
    ) {
        let at = line_of_text(find(self.document, path), line);
        let problem = Problem::error(code, self.file, at.line, at.column, message);
        self.problems.push(if hint.is_empty() { problem } else { problem.hint(hint) });
    }
}

/// Where line `line` (from 1) of a text stands in the file.
pub(crate) fn line_of_text(node: &Node, line: usize) -> Place {
    match node.scalar().map(|scalar| scalar.style) {
        // The text begins on the line after the `|`, where the parser puts the value's place.
        Some(yaml::Style::Literal) => Place { line: node.place.line + line - 1, column: node.place.column },
        _ => node.place,
    }
}
