//! `kill -9` in the middle of a burst: what was accepted and never done, and what was done twice.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Plan;
use super::burst::{HOSTS, POSTERS, warm_up};
use super::client::post_all;
use super::payload::Shape;
use super::remote::{Remote, Step};
use super::side::Database;
use super::support::engine::Engine;
use super::table::{Measure, Table, Target, Unit};

/// Effects after which the process is killed.
const KILL_AFTER: u64 = 100;
/// No more effects come after so much silence.
const QUIET: Duration = Duration::from_secs(4);
/// For all that was accepted.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn measure(plan: &Plan, database: &Database<'_>, table: &mut Table) {
    for step in [Step::Idempotent, Step::Once] {
        let subject = |what: &str| format!("{}: kill -9 in the burst, {}: {what}", database.name(), step.shown());
        let shape = Shape::single(step.alert_name());
        if step == Step::Idempotent {
            let remote = Remote::start(HOSTS);
            let limit = RefCell::new(database.limit(Some(&remote)));
            let address = limit.borrow().address;
            let (kill, start) = (|| limit.borrow_mut().kill(), || limit.borrow_mut().start());
            let outcome = storm(plan, address, (&kill, &start), &remote, &shape, &|| BTreeSet::new());
            table.limit(&subject("accepted"), Unit::Count, Target::None, count(outcome.accepted));
            table.limit(&subject("accepted and lost"), Unit::Count, Target::AtMost(0.0), count(outcome.lost));
            table.limit(&subject("run twice"), Unit::Count, Target::None, count(outcome.twice));
        }
        let remote = Remote::start(HOSTS);
        let engine = RefCell::new(database.douse_on(&remote));
        let address = engine.borrow().address();
        let (kill, start) = (|| engine.borrow_mut().kill(), || engine.borrow_mut().start());
        let outcome = storm(plan, address, (&kill, &start), &remote, &shape, &|| release(&engine.borrow()));
        // A step that may be run again is, when its outcome is unknown: at most what was in flight.
        let twice = if step == Step::Idempotent { Target::None } else { Target::AtMost(0.0) };
        table.douse(&subject("accepted"), Unit::Count, Target::None, count(outcome.accepted));
        table.douse(&subject("accepted and lost"), Unit::Count, Target::AtMost(0.0), count(outcome.lost));
        table.douse(&subject("run twice"), Unit::Count, twice, count(outcome.twice));
        table.douse(&subject("left to a person"), Unit::Count, Target::None, count(outcome.held));
    }
}

fn count(number: usize) -> Measure {
    Measure::value(f64::from(u32::try_from(number).unwrap()))
}

struct Storm {
    accepted: usize,
    lost: usize,
    twice: usize,
    held: usize,
}

fn storm(
    plan: &Plan,
    address: SocketAddr,
    (kill, start): (&dyn Fn(), &dyn Fn()),
    remote: &Remote,
    shape: &Shape,
    release: &dyn Fn() -> BTreeSet<u64>,
) -> Storm {
    warm_up(address, remote, shape);
    let uids = remote.hosts()..remote.hosts() + plan.burst;
    let bodies: Vec<_> = uids.map(|uid| (uid, shape.body(uid, remote.host(uid)))).collect();
    let mut seen = BTreeMap::new();
    let poster = std::thread::spawn(move || {
        let accepted = RefCell::new(BTreeSet::new());
        post_all(address, &bodies, POSTERS, |uid| {
            accepted.borrow_mut().insert(uid);
        });
        accepted.into_inner()
    });
    for _ in 0..KILL_AFTER {
        let (uid, _) = remote.next_within(PATIENCE).expect("an effect before the kill");
        *seen.entry(uid).or_default() += 1;
    }
    kill();
    // Whoever had no answer yet has a broken connection now.
    let accepted: BTreeSet<u64> = poster.join().unwrap();
    start();
    let begun = Instant::now();
    let mut held = BTreeSet::new();
    loop {
        remote.tally(&mut seen, QUIET);
        let released = release();
        let is_done = accepted.iter().all(|uid| seen.contains_key(uid) || held.contains(uid));
        if (released.is_empty() && is_done) || begun.elapsed() > PATIENCE {
            break;
        }
        held.extend(released);
    }
    Storm {
        accepted: accepted.len(),
        lost: accepted.iter().filter(|uid| !seen.contains_key(uid) && !held.contains(uid)).count(),
        twice: seen.values().filter(|times| **times > 1).count(),
        held: held.len(),
    }
}

/// Frees the executions whose outcome a person has to look at, as that person would; answers their alerts.
fn release(engine: &Engine) -> BTreeSet<u64> {
    let page = engine.get("/api/v1/executions?status=interrupted&limit=200");
    let items = page["items"].as_array().expect("a list");
    let stuck = items.iter().filter(|execution| execution["released_at"].is_null());
    let uid = |execution: &Value| {
        let id = execution["id"].as_str().expect("an id");
        let answer = engine.post(&format!("/api/v1/executions/{id}/release"), &json!({"reason": "looked at"}));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let alert = engine.get(&format!("/api/v1/alerts/{}", execution["alert_id"].as_str().expect("an alert")));
        alert["labels"]["uid"].as_str().expect("a uid").parse().expect("a number")
    };
    stuck.map(uid).collect()
}
