//! Which engine a URL means, and the lock that keeps a second process off a SQLite file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Where the data is.
#[derive(Debug)]
pub(super) enum Location {
    /// A file on this machine.
    Sqlite(PathBuf),
    /// A server.
    Pg(Box<tokio_postgres::Config>),
}

impl Location {
    /// Reads `sqlite://path` or `postgres://…`. Anything else is refused: guessing would open a new, empty SQLite
    /// file of whatever name a typing error makes.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        // A URL may hold a password, so an error shows its scheme only.
        let wrong = |shown: &str, problem: String| Err(StoreError::Url { url: shown.to_owned(), problem });
        let Some((scheme, rest)) = url.split_once("://") else {
            let shown = url.split([':', '@']).next().unwrap_or_default();
            return wrong(shown, "has no scheme; write sqlite://data/douse.db or postgres://user@host/name".to_owned());
        };
        match scheme {
            "sqlite" if rest.is_empty() || rest.ends_with('/') => wrong(
                url,
                "names no file; write sqlite://data/douse.db, or sqlite:///var/lib/douse/douse.db".to_owned(),
            ),
            "sqlite" if rest.contains(['?', '#', '\0']) => {
                wrong(url, "takes a path only, without `?` or `#`".to_owned())
            }
            "sqlite" if rest.starts_with(':') => {
                wrong(url, "a database in memory would forget every run; name a file".to_owned())
            }
            "sqlite" => Ok(Self::Sqlite(PathBuf::from(rest))),
            "postgres" | "postgresql" => match url.parse() {
                Ok(config) => Ok(Self::Pg(Box::new(config))),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
                    wrong(
                        "postgres://…",
                        format!(
                            "{error}{cause} (sslmode is disable, prefer or require; require also checks the certificate)"
                        ),
                    )
                }
            },
            other => wrong(
                &format!("{other}://…"),
                format!("`{other}` is no engine that Douse knows; write sqlite://PATH or postgres://…"),
            ),
        }
    }
}

/// Holds the data directory of `database` until it is dropped; made with the directory if that is missing.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let directory = match database.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let failed = |what, problem: std::io::Error| StoreError::Directory {
            what,
            path: directory.to_owned(),
            problem: problem.to_string(),
        };
        std::fs::create_dir_all(directory).map_err(|error| failed("create", error))?;
        let path = directory.join("douse.lock");
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("write into", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let told = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let holder = if told { format!(" (process {})", holder.trim()) } else { String::new() };
                return Err(StoreError::Locked { path: directory.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        // Only for people: the lock itself is the kernel's and ends with the process.
        let write =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        write.map_err(|error| failed("write into", error))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_in_the_scheme_is_refused() {
        for url in [
            "sqlit://data/douse.db",
            "postgre://u@h/d",
            "mysql://u@h/d",
            "data/douse.db",
            "",
            "sqlite:",
            "sqlite://",
            "sqlite://data/",
            "sqlite://:memory:",
            "sqlite://a.db?mode=ro",
            "SQLITE//x",
            "postgres://u@h/d?sslmode=verify-full",
        ] {
            assert!(matches!(Location::parse(url), Err(StoreError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn a_refused_url_does_not_show_its_password() {
        for url in ["postgre://u:hunter2@h/d", "postgres://u:hunter2@h/d?sslmode=maybe", "u:hunter2@h/d"] {
            let text = Location::parse(url).unwrap_err().to_string();
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn both_engines_are_chosen_by_their_scheme() {
        assert!(
            matches!(Location::parse("sqlite://data/douse.db"), Ok(Location::Sqlite(p)) if p == Path::new("data/douse.db"))
        );
        assert!(
            matches!(Location::parse("sqlite:///var/d.db"), Ok(Location::Sqlite(p)) if p == Path::new("/var/d.db"))
        );
        for url in ["postgres://u:p@h/d", "postgresql://h/d?sslmode=require", "postgres://%2Ftmp/d?user=x"] {
            assert!(matches!(Location::parse(url), Ok(Location::Pg(_))), "{url}");
        }
    }
}
