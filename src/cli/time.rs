//! Times and durations on the command line.

use std::time::Duration;

use chrono::SecondsFormat;

use crate::clock::{Clock, Timestamp};

use super::exit::Failure;

/// An RFC 3339 time to the second; anything else as it is.
pub fn short(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.utc().to_rfc3339_opts(SecondsFormat::Secs, true),
        Err(_) => text.to_owned(),
    }
}

/// A duration with its unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as in 90s, 30m or 2h"))
}

/// A moment: RFC 3339, or a duration from now (`+2h`).
pub fn moment(text: &str) -> Result<Timestamp, String> {
    match text.strip_prefix('+') {
        Some(ahead) => Ok(Clock::System.now().plus(duration(ahead)?)),
        None => text.parse().map_err(|_| format!("`{text}` is not a time; write 2026-03-03T10:00:00Z, or +2h")),
    }
}

/// The moment that lies `ahead`.
pub fn from_now(ahead: Duration) -> Timestamp {
    Clock::System.now().plus(ahead)
}

/// Splits `k=v`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// The text of a file, or of standard input for `-`.
pub fn read_text(path: &std::path::Path) -> Result<String, Failure> {
    let text =
        if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    text.map_err(|error| Failure::error(format!("{}: {error}", path.display())))
}
