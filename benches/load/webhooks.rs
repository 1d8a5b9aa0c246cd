//! How many webhooks a second are accepted, that is: committed and answered.

use super::Plan;
use super::client::drive;
use super::payload::Shape;
use super::side::Database;
use super::support::engine::{Engine, VIEWER_TOKEN};
use super::support::http;
use super::table::{Measure, Table, Target, Unit};

/// Any alert that no trigger selects is decided too, after the answer: that work is in the numbers.
const RUNBOOK: &str = include_str!("../../runbooks/restart-service.yml");

pub fn measure(plan: &Plan, database: &Database<'_>, table: &mut Table) {
    for (what, shape) in [("1 alert", Shape::single("Missing")), ("50 alerts", Shape::group("Missing"))] {
        for concurrency in [1, 16, 64] {
            let subject = format!("{}: webhooks of {what}, {concurrency} at a time", database.name());
            // One at a time waits for the disk, and its target is a time: see `effect`.
            let target = if concurrency == 1 { Target::None } else { Target::Share(0.7) };
            let limit = database.limit(None);
            table.limit(&subject, Unit::PerSecond, target, drive(limit.address, &shape, concurrency, plan.length).0);
            drop(limit);
            let engine = database.douse().runbook("restart-service.yml", RUNBOOK).start();
            let (driven, refused) = drive(engine.address(), &shape, concurrency, plan.length);
            let decided = decided(&engine) / (plan.length.as_secs_f64() * 1.25);
            table.douse(&subject, Unit::PerSecond, target, driven);
            if refused > 0 {
                let subject = format!("{subject}: answered 503");
                table.douse(&subject, Unit::Count, Target::None, Measure::value(f64::from(refused)));
            }
            let subject = format!("{subject}: alerts decided meanwhile");
            table.douse(&subject, Unit::PerSecond, Target::None, Measure::value(decided));
        }
    }
}

/// How many alerts have their decision.
fn decided(engine: &Engine) -> f64 {
    let page = http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).expect("the engine answers").text;
    let counts = page.lines().filter(|line| line.starts_with("douse_decisions_total{"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
