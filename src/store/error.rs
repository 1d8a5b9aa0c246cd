//! What can go wrong between a query and the disk, sorted by what the caller can do about it.

use std::path::PathBuf;

use diesel::result::{DatabaseErrorKind, Error};

use crate::id::ExecutionId;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no engine, or not in its way.
    #[error("storage.url `{url}`: {problem}")]
    Url { url: String, problem: String },
    /// Another process uses this data directory.
    #[error(
        "{} is locked by another douse process{holder}: stop it first, or give this one another storage.path",
        path.display()
    )]
    Locked { path: PathBuf, holder: String },
    /// Another replica has the execution now: nothing was written.
    #[error("execution {0} is in another replica's hands now; nothing was written")]
    Fenced(ExecutionId),
    /// The data directory or its database cannot be made or opened.
    #[error("cannot {what} {}: {problem}", path.display())]
    Directory { what: &'static str, path: PathBuf, problem: String },
    /// The engine is too old to be trusted.
    #[error("{engine} {found} is too old, at least {needed} is needed: {why}")]
    TooOld { engine: &'static str, found: String, needed: &'static str, why: &'static str },
    /// The tables could not be brought up to date.
    #[error("the database's tables could not be brought up to date: {0}")]
    Migration(String),
    /// The database cannot be reached or cannot commit now. The same again may work later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Such a row exists already.
    #[error("such a row exists already: {0}")]
    Conflict(String),
    /// There is no such row.
    #[error("there is no such row")]
    NotFound,
    /// The row is final, or is only ever added to: a database trigger refused.
    #[error("{0}")]
    Frozen(String),
    /// The caller changed its mind: everything that it wrote in this transaction is taken back.
    #[error("given up: {0}")]
    GivenUp(String),
    /// A query or a row is not what the program believes: a defect of Douse, or foreign hands in the database.
    #[error("the database refused a query of ours: {0}")]
    Defect(String),
}

impl StoreError {
    /// The same again may work later; a webhook is answered 503, an engine stage tries again.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Such a row exists already.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// The row is final, or only ever added to.
    pub fn is_frozen(&self) -> bool {
        matches!(self, Self::Frozen(_))
    }

    /// Another replica has the execution.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced(_))
    }

    /// There is no such row.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound)
    }
}

/// What SQLite and PostgreSQL say when waiting helps; Diesel knows these only by their words.
const PASSING: &[&str] = &[
    "database is locked",
    "database table is locked",
    "disk I/O error",
    "database or disk is full",
    "unable to open database file",
    "deadlock detected",
    "canceling statement",
    "terminating connection",
    "connection closed",
    "the database system is",
    "too many clients",
    "could not extend file",
    "No space left",
];

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let (kind, message) = match error {
            Error::NotFound => return Self::NotFound,
            Error::BrokenTransactionManager => return Self::Unavailable("the connection broke".to_owned()),
            Error::DatabaseError(kind, told) => (kind, told.message().to_owned()),
            other => return Self::Defect(other.to_string()),
        };
        if let Some(at) = message.find("frozen: ") {
            return Self::Frozen(message[at + "frozen: ".len()..].to_owned());
        }
        match kind {
            DatabaseErrorKind::UniqueViolation => Self::Conflict(message),
            DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand => Self::Unavailable(message),
            _ if PASSING.iter().any(|words| message.contains(words)) => Self::Unavailable(message),
            _ => Self::Defect(message),
        }
    }
}
