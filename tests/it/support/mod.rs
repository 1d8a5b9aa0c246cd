//! What several tests share.

#[expect(dead_code, reason = "the scenarios come with `douse serve`")]
pub mod alertmanager;
#[expect(dead_code, reason = "the scenarios come with `douse serve`")]
pub mod chain;
#[expect(dead_code, reason = "the scenarios come with `douse serve`")]
pub mod engine;
#[expect(dead_code, reason = "the scenarios come with `douse serve`")]
pub mod host;
#[expect(dead_code, reason = "the scenarios come with `douse serve`")]
pub mod http;
pub mod postgres;
#[expect(dead_code, reason = "the scenarios come with `douse serve`")]
pub mod program;
#[expect(dead_code, reason = "the scenarios come with `douse serve`")]
pub mod prometheus;
pub mod sshd;
#[expect(dead_code, reason = "the scenarios come with `douse serve`")]
pub mod wait;

use std::path::{Path, PathBuf};

/// A file under `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The text of a file under `tests/fixtures`.
pub fn read_fixture(name: &str) -> String {
    let path = fixture(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
