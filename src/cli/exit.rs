//! How a command ends: exit codes, and failures with advice.

use std::fmt;
use std::process::ExitCode;

use crate::problem::Problem;

/// The exit codes, a stable contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// An error, or a check that found some.
    Error = 1,
    /// The command line is wrong; clap ends with it, too.
    Usage = 2,
    /// `check --lint-fatal` found warnings.
    LintWarnings = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// No credential, or not the right to do this.
    NotAuthorised = 5,
    /// No answer from the engine.
    Unreachable = 6,
    /// The execution failed.
    ExecutionFailed = 10,
    /// It failed, and its rollback is stuck.
    RollbackStuck = 11,
    /// A person said no, or nobody answered in time.
    Rejected = 12,
    /// A gate holds or refuses.
    Blocked = 13,
    /// The execution's time was over.
    TimedOut = 14,
    /// The execution was cancelled.
    Cancelled = 15,
    /// The steps worked; whether the alert is gone is not known, or it is not gone.
    NotVerified = 16,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure that ends with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// A failure of the common kind.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, message)
    }

    /// The command line asks for something that cannot be.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same failure with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Files that cannot be used, a line each.
impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::error(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::error(error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::error(format!("{error:#}"))
    }
}
