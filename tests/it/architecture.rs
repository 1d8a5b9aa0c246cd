//! The rules of the house, checked on the source text: who may import what, how long a file may be, what is never written.
//!
//! `source` reads files and blanks out what is not code; `rules` judges one file. Each rule is shown a text that breaks it below,
//! so a rule that finds nothing is a rule that works.

mod rules;
mod source;

use rules::violations;
use source::Source;

#[test]
fn the_source_keeps_the_rules() {
    let sources = source::all();
    assert!(sources.len() > 40, "only {} files found: is the walk broken?", sources.len());
    let found: Vec<String> = sources.iter().flat_map(violations).collect();
    assert!(found.is_empty(), "{} broken rules:\n{}", found.len(), found.join("\n"));
}

/// What the rules say about `text` if it stood at `path`.
fn judge(path: &str, text: &str) -> String {
    violations(&Source::new(path, &format!("//! Docs.\n{text}"))).join("\n")
}

#[test]
fn each_rule_finds_a_text_that_breaks_it() {
    let cases: &[(&str, &str, &str)] = &[
        // nouns import only nouns
        ("src/gate/cooldown.rs", "use crate::store::Db;", "imports crate::store"),
        ("src/gate/cooldown.rs", "use crate::{alert::Alert, engine::{Engine, policy}};", "imports crate::engine"),
        ("src/gate/cooldown.rs", "use crate::{alert::{Alert, Labels}, web};", "imports crate::web"),
        ("src/gate/mod.rs", "use super::transport::Transport;", "imports crate::transport"),
        ("src/gate/cooldown.rs", "fn f() { super::super::config::load() }", "imports crate::config"),
        ("src/alert/mod.rs", "use crate::clock::Clock;", "crate::clock::Clock"),
        ("src/alert/mod.rs", "use crate::clock::{Clock, Timestamp};", "crate::clock::Clock"),
        ("src/trigger/index.rs", "use douse::store::Db;", "names its own crate from outside"),
        // … and are pure
        ("src/runbook/parse.rs", "pub async fn parse() {}", "async"),
        ("src/runbook/parse.rs", "let text = std::fs::read_to_string(path);", "std::fs"),
        ("src/runbook/parse.rs", "use std::{env, fmt};", "std::env"),
        ("src/runbook/parse.rs", "let id = AlertId::new();", "makes a random id"),
        ("src/execution/next.rs", "tokio::spawn(x);", "tokio"),
        ("src/audit/mod.rs", "println!(\"x\");", "println!"),
        ("src/inventory/resolve.rs", "let s = std::net::TcpStream::connect(a);", "TcpStream"),
        // one place for each engine
        ("src/engine/receive.rs", "use diesel::prelude::*;", "diesel belongs in src/store"),
        ("src/web/mod.rs", "use diesel_migrations::embed_migrations;", "diesel_migrations belongs in"),
        ("src/engine/receive.rs", "use actix_web::web::Json;", "actix_web belongs in src/web"),
        ("src/transport/script.rs", "use russh::client;", "russh belongs in"),
        ("src/cli/servers.rs", "use russh::client;", "russh belongs in"),
        ("src/engine/mod.rs", "use crate::web::routes;", "imports crate::web"),
        ("src/engine/mod.rs", "use crate::cli::exit;", "imports crate::cli"),
        // one clock
        ("src/engine/schedule.rs", "let now = Utc::now();", "Utc::now"),
        ("src/engine/schedule.rs", "let now = std::time::Instant::now();", "Instant::now"),
        ("src/web/webhook.rs", "let now = SystemTime::now();", "SystemTime::now"),
        ("src/store/mod.rs", "let now = chrono::Local :: now();", "Local::now"),
        ("src/transport/ssh/mod.rs", "let now = std::time::Instant::now();", "std::time::Instant"),
        // never written
        ("src/engine/mod.rs", "#[allow(dead_code)]\nfn f() {}", "#[allow"),
        ("src/engine/mod.rs", "#![allow(clippy::all)]", "#[allow"),
        ("tests/it/gates/mod.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", "#[ignore"),
        ("src/engine/mod.rs", "fn f() { unsafe { g() } }", "unsafe"),
        ("src/engine/mod.rs", concat!("// TO", "DO: later"), "unfinished"),
    ];
    for (path, text, expected) in cases {
        let found = judge(path, text);
        assert!(found.contains(expected), "{path}: {text}\nexpected: {expected}\nfound: {found}");
        assert!(found.contains(path), "the message does not name the file: {found}");
    }
}

#[test]
fn a_file_without_module_docs_is_found() {
    let found = violations(&Source::new("src/gate/cooldown.rs", "use std::fmt;\n")).join("\n");
    assert!(found.contains("does not begin with //!"), "{found}");
}

#[test]
fn a_long_file_is_found_and_only_code_counts() {
    let long = "fn f() {}\n".repeat(401);
    assert!(judge("src/gate/cooldown.rs", &long).contains("401 lines of code"));
    let padded = format!("{}{}", "// why\n\n/* a\n b */\n".repeat(300), "fn f() {}\n".repeat(400));
    assert_eq!(judge("src/gate/cooldown.rs", &padded), "");
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn g() {}\n".repeat(390));
    assert_eq!(judge("src/gate/cooldown.rs", &tested), "");
    let overtested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn g() {}\n".repeat(402));
    assert!(judge("src/gate/cooldown.rs", &overtested).contains("lines of tests"));
}

#[test]
fn what_is_allowed_is_not_found() {
    let cases: &[(&str, &str)] = &[
        (
            "src/gate/cooldown.rs",
            "use crate::alert::Alert;\nuse crate::clock::Timestamp;\nuse crate::{id::AlertId, limits, words::words};",
        ),
        (
            "src/gate/cooldown.rs",
            "// crate::store, Utc::now() and async are named only in a comment\nconst X: &str = \"crate::store tokio::spawn\";",
        ),
        (
            "src/gate/cooldown.rs",
            "const X: &str = r#\"unsafe \" #[allow(x)] async\"#; const C: char = '\"'; fn f<'a>(x: &'a str) {}",
        ),
        (
            "src/gate/cooldown.rs",
            "#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::id::AlertId;\n    fn f() { AlertId::new(); }\n}",
        ),
        ("src/inventory/server.rs", "use std::net::IpAddr;\nuse std::path::PathBuf;\nimpl std::error::Error for X {}"),
        ("src/transport/ssh/pool.rs", "use russh::client;\nuse tokio::time::Instant;\nfn f() { Instant::now(); }"),
        ("src/cli/demo/sshd.rs", "use russh::server;"),
        ("src/store/mod.rs", "use diesel::prelude::*;\nuse tokio_postgres::Client;"),
        ("src/web/mod.rs", "use actix_web::App;\nuse crate::engine::Engine;"),
        ("src/clock.rs", "fn f() { Utc::now(); Instant::now(); }"),
        ("src/engine/mod.rs", "#[expect(dead_code, reason = \"x\")]\nfn f() {}"),
        ("src/cli/run.rs", "#[arg(long, allow_hyphen_values = true)]\nx: String,"),
        ("tests/it/ssh/mod.rs", "let now = std::time::Instant::now();"),
    ];
    for (path, text) in cases {
        assert_eq!(judge(path, text), "", "{path}: {text}");
    }
}
