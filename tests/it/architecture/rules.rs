//! The rules, each on one file.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;

use super::source::Source;

const NOUNS: &[&str] = &["alert", "trigger", "gate", "runbook", "execution", "audit", "inventory", "rights"];
/// What nouns may import beside each other. Of `clock` only `Timestamp`.
const SMALL: &[&str] = &["clock", "id", "limits", "words", "problem"];
const LINES_MAX: usize = 400;

/// Crates that stay in one place, because everything else must not notice which database, web server or SSH library there is.
const HOMES: &[(&str, &[&str])] = &[
    ("diesel", &["src/store"]),
    ("diesel_async", &["src/store"]),
    ("diesel_migrations", &["src/store"]),
    ("tokio_postgres", &["src/store"]),
    ("tokio_postgres_rustls", &["src/store"]),
    ("libsqlite3_sys", &["src/store"]),
    ("actix_web", &["src/web"]),
    ("actix_http", &["src/web"]),
    ("actix_service", &["src/web"]),
    ("tokio_rustls", &["src/web"]),
    ("utoipa_actix_web", &["src/web"]),
    // One client to others, with one filter of addresses; the command line goes where its user says.
    ("reqwest", &["src/outbound", "src/cli"]),
    ("russh", &["src/transport/ssh", "src/cli/demo"]),
];

/// Paths that read a clock.
const CLOCKS: &[&str] = &["Utc::now", "Local::now", "SystemTime::now", "Instant::now"];

/// What a noun never does, and never needs.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "tokio",
    "futures_util",
    "reqwest",
    "tracing",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "now_v7",
    "new_v4",
    "println!",
    "eprintln!",
    "print!",
];

/// All that is wrong in one file, each as `path: what`.
pub(super) fn violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if source.path.starts_with("src/") {
        imports(source, &mut found);
        homes(source, &mut found);
        clocks(source, &mut found);
    }
    shape(source, &mut found);
    never(source, &mut found);
    found.into_iter().map(|what| format!("{}: {what}", source.path)).collect()
}

fn imports(source: &Source, found: &mut Vec<String>) {
    let module = source.module();
    let home = module[0];
    let paths = crate_paths(&source.code, &module);
    if NOUNS.contains(&home) && !is_test_file(source) {
        for path in &paths {
            let top = path.split("::").next().unwrap_or_default();
            if !NOUNS.contains(&top) && !SMALL.contains(&top) {
                found.push(format!("is a noun but imports crate::{top}"));
            }
            if top == "clock" && path != "clock::Timestamp" {
                found.push(format!("is a noun but imports crate::{path}; only crate::clock::Timestamp is pure"));
            }
        }
        for word in IMPURE.iter().filter(|word| has_path(&source.code, word)) {
            found.push(format!("is a noun but uses {word}"));
        }
        if regex(r"\b[A-Z]\w*Id\s*::\s*new\s*\(\s*\)").is_match(&source.code) {
            found.push("is a noun but makes a random id; take it as a parameter".to_owned());
        }
    }
    if home == "engine" {
        for top in ["web", "cli"] {
            if paths.iter().any(|path| path.split("::").next() == Some(top)) {
                found.push(format!("is part of the engine but imports crate::{top}"));
            }
        }
    }
    if home != "main" && has_path(&source.code, "douse") {
        found.push("names its own crate from outside (`douse::`); write `crate::`".to_owned());
    }
}

fn homes(source: &Source, found: &mut Vec<String>) {
    for (name, homes) in HOMES {
        let at_home = homes.iter().any(|home| is_below(&source.path, home));
        if !at_home && has_path(&source.code, name) {
            found.push(format!("{name} belongs in {}", homes.join(" and ")));
        }
    }
}

fn clocks(source: &Source, found: &mut Vec<String>) {
    if source.path == "src/clock.rs" || is_test_file(source) {
        return;
    }
    // A transport measures silence on the wire with tokio's clock, which tests can stop.
    let is_transport = is_below(&source.path, "src/transport");
    let tokio_only =
        is_transport && !has_path(&source.code, "std::time::Instant") && source.code.contains("tokio::time");
    for clock in CLOCKS.iter().filter(|clock| has_path(&source.code, clock)) {
        if *clock == "Instant::now" && tokio_only {
            continue;
        }
        found.push(format!("reads a clock (std::time::Instant, chrono: {clock}); only src/clock.rs does"));
    }
}

fn shape(source: &Source, found: &mut Vec<String>) {
    let lines = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
    let (code, tests) = (lines(&source.code), lines(&source.tests));
    if code > LINES_MAX {
        found.push(format!("has {code} lines of code; {LINES_MAX} is the most"));
    }
    if tests > LINES_MAX {
        found.push(format!("has {tests} lines of tests; {LINES_MAX} is the most, put them in a file of their own"));
    }
    if !is_test_file(source) && !source.text.trim_start().starts_with("//!") {
        found.push("does not begin with //!: say what the module decides, what not, and who calls it".to_owned());
    }
}

fn never(source: &Source, found: &mut Vec<String>) {
    let all = format!("{}\n{}", source.code, source.tests);
    let dense: String = all.split_whitespace().collect();
    for (written, instead) in [
        ("#[allow(", "write #[expect(…, reason = …)]"),
        ("#![allow(", "write #![expect(…, reason = …)]"),
        (",allow(", "write expect(…, reason = …)"),
        ("#[ignore", "a test that cannot run fails and says which package to install"),
    ] {
        if dense.contains(written) {
            let shown = written.replace("#![", "#[");
            found.push(format!("holds {shown} …: {instead}"));
        }
    }
    if has_path(&all, "unsafe") {
        found.push("holds unsafe code".to_owned());
    }
    for mark in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")] {
        if has_path(&source.text, mark) {
            found.push(format!("holds {mark}: unfinished work belongs in docs/ or in an issue"));
        }
    }
}

/// A test file beside the code (`src/gate/tests.rs`, `src/alert/wire_tests.rs`, `src/gate/tests/…`): it may make ids and read files.
fn is_test_file(source: &Source) -> bool {
    source.module().iter().any(|part| *part == "tests" || part.ends_with("_tests"))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Whether `path` stands in `code` as whole words: `diesel` is not in `diesel_async`, nor `async` in `async_trait`. `std::{env, fmt}`
/// holds `std::env`.
fn has_path(code: &str, path: &str) -> bool {
    let parts: Vec<String> = path.split("::").map(regex::escape).collect();
    let end = if path.ends_with('!') { "" } else { r"\b" };
    let plain = format!(r"\b{}{end}", parts.join(r"\s*::\s*"));
    if regex(&plain).is_match(code) {
        return true;
    }
    let Some((top, rest)) = path.split_once("::") else { return false };
    use_paths(code, &format!(r"\b{top}\s*::\s*\{{"))
        .iter()
        .any(|found| found == rest || found.starts_with(&format!("{rest}::")))
}

/// All that the code reaches from the crate's root: `store::Db`, also by way of `super::super::` and from groups in braces.
fn crate_paths(code: &str, module: &[&str]) -> Vec<String> {
    let supers = r"\s*super\s*::".repeat(module.len());
    let root = format!(r"(?:\bcrate\s*::|\b{}\s*)", supers.trim_start_matches(r"\s*"));
    let single = regex(&format!(r"{root}\s*((?:[a-z_]\w*)(?:\s*::\s*\w+)*)"));
    let mut paths: Vec<String> =
        single.captures_iter(code).map(|found| found[1].split_whitespace().collect::<String>()).collect();
    paths.extend(use_paths(code, &format!(r"{root}\s*\{{")));
    // `use crate::clock::{Clock, Timestamp}`: the group stands behind a path
    let nested = regex(&format!(r"{root}\s*((?:[a-z_]\w*\s*::\s*)+)\{{"));
    for found in nested.captures_iter(code) {
        let prefix: String = found[1].split_whitespace().collect();
        let whole = found.get(0).unwrap();
        paths.extend(group(&code[whole.end()..]).into_iter().map(|tail| format!("{prefix}{tail}")));
        // the regex above has taken the prefix alone
        paths.retain(|path| *path != prefix.trim_end_matches(':'));
    }
    // an associated function or variant belongs to its type
    paths.into_iter().map(|path| up_to_type(&path)).filter(|path| path != "super" && path != "self").collect()
}

fn up_to_type(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split("::") {
        parts.push(part);
        if part.starts_with(char::is_uppercase) {
            break;
        }
    }
    parts.join("::")
}

/// The members of every group in braces that follows `opening`.
fn use_paths(code: &str, opening: &str) -> Vec<String> {
    let opening = regex(opening);
    opening.find_iter(code).flat_map(|found| group(&code[found.end()..])).collect()
}

/// `a::B`, `a::c::D` of `a::{B, c::D}, …}`: the text stands right behind the opening brace.
fn group(text: &str) -> Vec<String> {
    let (mut prefixes, mut word, mut found): (Vec<String>, String, Vec<String>) =
        (vec![String::new()], String::new(), Vec::new());
    for c in text.chars() {
        match c {
            '{' => prefixes.push(format!("{}{}", prefixes.last().unwrap(), std::mem::take(&mut word))),
            ',' | '}' => {
                if !word.is_empty() {
                    found.push(format!("{}{}", prefixes.last().unwrap(), std::mem::take(&mut word)));
                }
                if c == '}' {
                    prefixes.pop();
                    if prefixes.is_empty() {
                        return found;
                    }
                }
            }
            c if c.is_whitespace() => {}
            c => word.push(c),
        }
    }
    found
}

/// A pattern, compiled once: each is asked of every file.
fn regex(pattern: &str) -> Regex {
    thread_local!(static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default());
    KNOWN.with_borrow_mut(|known| {
        known.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).unwrap()).clone()
    })
}
