//! How soon it is ready, with one runbook and with 10,000 triggers, and how much memory it holds while nothing happens.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Plan;
use super::memory;
use super::side::Database;
use super::support::engine::Engine;
use super::support::program::Program;
use super::table::{Measure, Table, Target, Unit};

const STARTS: usize = 7;
const QUIET: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const RUNBOOK: &str = include_str!("../../runbooks/restart-service.yml");

pub fn measure(_: &Plan, database: &Database<'_>, table: &mut Table) {
    let name = database.name();
    let mut limit = database.limit(None);
    let starts = (0..STARTS).map(|_| {
        limit.kill();
        let address = limit.address;
        time(|| limit.spawn(), || TcpStream::connect(address).is_ok()).0
    });
    let mut starts: Vec<f64> = starts.collect();
    let subject = format!("{name}: start to ready");
    table.limit(&subject, Unit::Milliseconds, Target::AtMost(60.0), Measure::times(&mut starts));
    limit.start();

    let mut engine = database.douse().runbook("restart-service.yml", RUNBOOK).start();
    let mut starts: Vec<f64> = (0..STARTS).map(|_| start(&mut engine)).collect();
    table.douse(&subject, Unit::Milliseconds, Target::AtMost(60.0), Measure::times(&mut starts));
    std::thread::sleep(QUIET);
    let subject = format!("{name}: memory, idle");
    table.limit(&subject, Unit::Mebibytes, Target::AtMost(20.0), Measure::value(memory::pss(limit.pid())));
    table.douse(&subject, Unit::Mebibytes, Target::AtMost(20.0), Measure::value(memory::pss(engine.pid())));
    drop((engine, limit));

    let setup = (0..500)
        .fold(database.douse(), |setup, number| setup.runbook(&format!("runbook-{number}.yml"), &runbook(number)));
    let mut engine = setup.start();
    let mut starts: Vec<f64> = (0..3).map(|_| start(&mut engine)).collect();
    let subject = format!("{name}: start to ready, 500 runbooks with 10,000 triggers");
    table.douse(&subject, Unit::Milliseconds, Target::None, Measure::times(&mut starts));
}

/// Twenty triggers, as many as a team might have for one remedy.
fn runbook(number: usize) -> String {
    let trigger = |trigger: usize| {
        format!(
            "  - {{name: t{trigger}, alert_name_pattern: Service{number}Trouble{trigger}, severity_pattern: critical, \
             labels_match: {{team: team-{}}}}}\n",
            number % 40
        )
    };
    let triggers: String = (0..20).map(trigger).collect();
    format!("name: runbook-{number}\nmode: auto\nsteps:\n  - {{name: look, command: \"true\"}}\ntriggers:\n{triggers}")
}

/// Time from the start of the process to its first 200 of `/-/ready`, ms.
fn start(engine: &mut Engine) -> f64 {
    engine.stop();
    let (took, program) = time(|| engine.spawn(), || is_ready(engine.address()));
    engine.adopt(program);
    took
}

fn time(spawn: impl FnOnce() -> Program, is_ready: impl Fn() -> bool) -> (f64, Program) {
    let begun = Instant::now();
    let program = spawn();
    while !is_ready() {
        assert!(begun.elapsed() < PATIENCE, "not ready:\n{}", program.log());
        std::thread::sleep(Duration::from_micros(500));
    }
    (begun.elapsed().as_secs_f64() * 1_000.0, program)
}

fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut head = [0; 12];
    stream.write_all(b"GET /-/ready HTTP/1.1\r\nHost: douse\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut head).is_ok()
        && &head[9..] == b"200"
}
