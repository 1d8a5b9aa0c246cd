//! What several tests share.

pub mod alertmanager;
pub mod certificates;
pub mod chain;
pub mod engine;
pub mod host;
pub mod http;
#[expect(dead_code, reason = "the tests and the benchmarks each use a part")]
pub mod postgres;
pub mod program;
pub mod prometheus;
pub mod raw;
pub mod sshd;
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
