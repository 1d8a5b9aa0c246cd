//! What Douse does in a second, and what this machine could do: every number beside a raw limit of the same run.
//!
//! Starts the release binary as `douse serve` on SQLite (`synchronous=FULL`) and on PostgreSQL (`fsync=on`,
//! `synchronous_commit=on`), drives it over HTTP with connections that stand and bodies that Alertmanager made, and prints
//! one table. The limit ([`limit`]) is a program of a few hundred lines that parses the same bodies, commits the same rows
//! with the same durability in as few commits as possible, answers, and runs the command over a `russh` connection that
//! stands: no product. Both are processes of their own; this one is the client.
//!
//! `cargo bench --bench load`; after `--` any of: `sqlite`, `postgresql`; `webhooks`, `effect`, `burst`, `kill`, `matching`,
//! `start`; `--quick` (one short round), `--rounds N`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../../tests/it/support/mod.rs"]
mod support;

mod burst;
mod client;
mod disk;
mod effect;
mod kill;
mod limit;
mod matching;
mod memory;
mod payload;
mod remote;
mod side;
mod start;
mod table;
mod webhooks;

use std::time::Duration;

use side::Database;
use support::postgres::Server;
use table::Table;

/// What is measured, and how long.
pub struct Plan {
    pub rounds: usize,
    /// Of one row of the webhooks' table.
    pub length: Duration,
    /// Alerts of one row of POST to effect.
    pub effects: usize,
    pub burst: u64,
    databases: Vec<String>,
    sections: Vec<String>,
}

/// Measures one subject once, on one database.
type Section = fn(&Plan, &Database<'_>, &mut Table);

const DATABASES: &[&str] = &["sqlite", "postgresql"];
const SECTIONS: &[&str] = &["webhooks", "effect", "burst", "kill", "matching", "start"];

impl Plan {
    fn read(arguments: &[String]) -> Self {
        let mut plan = Self {
            rounds: 3,
            length: Duration::from_secs(3),
            effects: 100,
            burst: 500,
            databases: Vec::new(),
            sections: Vec::new(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // cargo says so to every benchmark.
                "--bench" => {}
                "--quick" => {
                    plan = Self { rounds: 1, length: Duration::from_secs(1), effects: 30, ..plan };
                }
                "--rounds" => plan.rounds = arguments.next().and_then(|text| text.parse().ok()).expect("--rounds N"),
                name if DATABASES.contains(&name) => plan.databases.push(name.to_owned()),
                name if SECTIONS.contains(&name) => plan.sections.push(name.to_owned()),
                other => panic!("`{other}` is none of {DATABASES:?}, {SECTIONS:?}, --quick, --rounds N"),
            }
        }
        plan
    }

    fn has(chosen: &[String], name: &str) -> bool {
        chosen.is_empty() || chosen.iter().any(|other| other == name)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == limit::ARGUMENT) {
        return limit::serve(&arguments[1..]);
    }
    let plan = Plan::read(&arguments);
    let cluster = Plan::has(&plan.databases, "postgresql").then(Server::durable);
    let mut databases = Vec::new();
    if Plan::has(&plan.databases, "sqlite") {
        databases.push(Database::Sqlite);
    }
    databases.extend(cluster.as_ref().map(Database::Postgres));
    let mut table = Table::default();
    let sections: [(&str, Section); 5] = [
        ("webhooks", webhooks::measure),
        ("effect", effect::measure),
        ("burst", burst::measure),
        ("kill", kill::measure),
        ("start", start::measure),
    ];
    for round in 1..=plan.rounds {
        for (name, measure) in sections.iter().filter(|(name, _)| Plan::has(&plan.sections, name)) {
            for database in &databases {
                eprintln!("round {round} of {}: {name}, {}", plan.rounds, database.name());
                table.begin(name);
                disk::measure(database, &mut table);
                measure(&plan, database, &mut table);
            }
        }
    }
    if Plan::has(&plan.sections, "matching") {
        eprintln!("matching");
        table.begin("matching");
        matching::measure(&mut table);
    }
    table.print();
}
