//! One problem in a file that a person wrote: what, where, and what to do.
//!
//! Shared by `runbook/parse`, `runbook/check`, `config`, `inventory` and the reload; rendered by `cli/check`.

use std::fmt;

use serde::Serialize;

/// Whether a problem stops the file from being used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but the author should look.
    Warning,
}

/// One problem. All problems of a file are reported at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// `E101` … `W215`; listed in `docs/check.md`.
    pub code: &'static str,
    pub severity: Severity,
    /// As the person named it.
    pub file: String,
    /// From 1; 0 = the file as a whole.
    pub line: usize,
    /// From 1, in characters; 0 = the line as a whole.
    pub column: usize,
    /// What is wrong, naming the thing.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem that makes the file unusable.
    pub fn error(code: &'static str, file: &str, line: usize, column: usize, message: impl Into<String>) -> Self {
        let (severity, file, message) = (Severity::Error, file.to_owned(), message.into());
        Self { code, severity, file, line, column, message, hint: None }
    }

    /// A problem that does not.
    pub fn warning(code: &'static str, file: &str, line: usize, column: usize, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, line, column, message) }
    }

    /// The same problem with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, file, line, column, message, .. } = self;
        match (line, column) {
            (0, _) => write!(f, "{file}: {code}: {message}")?,
            (line, 0) => write!(f, "{file}:{line}: {code}: {message}")?,
            (line, column) => write!(f, "{file}:{line}:{column}: {code}: {message}")?,
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
