//! What `douse check` finds: the errors of parsing, and what works but should be looked at.
//!
//! [`read`] is for one file, [`across`] for what only shows when all files are seen together. A warning is silenced by
//! `# douse:ignore W202 reason` on its line or right above it; errors never are. Pure: called by the reload and the
//! command line, which read the files; [`render`] writes what was found.

mod commands;
mod danger;
mod document;
mod folder;
mod ignore;
pub mod render;
mod rules;

#[cfg(test)]
mod tests;

use super::model::Runbook;
use super::parse::parse;
use crate::problem::{Problem, Severity};
pub use folder::{across, unknown_servers};

/// One file, read and checked.
#[derive(Debug)]
pub struct Checked {
    /// As the person named it.
    pub file: String,
    pub source: String,
    /// Present when no problem is an error.
    pub runbook: Option<Runbook>,
    /// In the file's order, without what the file itself silences.
    pub problems: Vec<Problem>,
}

/// Reads and checks one runbook file.
pub fn read(file: &str, text: &str) -> Checked {
    let parsed = parse(file, text);
    let mut problems = parsed.problems;
    if let Some(document) = &parsed.document {
        document::check(file, document, &mut problems);
        if let Some(runbook) = &parsed.runbook {
            rules::check(file, runbook, document, &mut problems);
        }
    }
    let silenced = ignore::Silenced::of(text);
    problems.retain(|problem| problem.severity == Severity::Error || !silenced.is_silenced(problem));
    problems.sort_by(|left, right| (left.line, left.column, left.code).cmp(&(right.line, right.column, right.code)));
    problems.dedup_by(|right, left| (left.code, left.line, &left.message) == (right.code, right.line, &right.message));
    Checked { file: file.to_owned(), source: text.to_owned(), runbook: parsed.runbook, problems }
}
