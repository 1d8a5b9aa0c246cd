//! 500 distinct alerts at once, each remediated over SSH: how many a second, and what it costs in memory.

use std::net::SocketAddr;
use std::time::Instant;

use super::Plan;
use super::client::post_all;
use super::memory::Peak;
use super::payload::Shape;
use super::remote::{Remote, Step};
use super::side::Database;
use super::table::{Measure, Table, Target, Unit};

/// As many as Douse runs at once by default; one execution at a time is on each.
pub const HOSTS: usize = 20;
/// Connections over which the burst comes.
pub const POSTERS: usize = 16;

pub fn measure(plan: &Plan, database: &Database<'_>, table: &mut Table) {
    let name = database.name();
    for step in [Step::Idempotent, Step::Once] {
        let subject = format!("{name}: burst of {}, {}", plan.burst, step.shown());
        let target = Target::Share(if step == Step::Idempotent { 0.7 } else { 0.5 });
        let memory = format!("{name}: memory in the burst, {}", step.shown());
        let remote = Remote::start(HOSTS);
        let shape = Shape::single(step.alert_name());

        let limit = database.limit(Some(&remote));
        let (rate, most) = remediate(plan, limit.address, limit.pid(), &remote, &shape);
        drop(limit);
        table.limit(&subject, Unit::PerSecond, target, rate);
        table.limit(&memory, Unit::Mebibytes, Target::AtMost(45.0), most);

        let engine = database.douse_on(&remote);
        let (rate, most) = remediate(plan, engine.address(), engine.pid(), &remote, &shape);
        table.douse(&subject, Unit::PerSecond, target, rate);
        table.douse(&memory, Unit::Mebibytes, Target::AtMost(45.0), most);
    }
}

/// Connects to every host by an alert on each.
pub fn warm_up(address: SocketAddr, remote: &Remote, shape: &Shape) {
    for uid in 0..remote.hosts() {
        post_all(address, &[(uid, shape.body(uid, remote.host(uid)))], 1, |_| {});
        remote.effect_of(uid);
    }
}

fn remediate(plan: &Plan, address: SocketAddr, pid: u32, remote: &Remote, shape: &Shape) -> (Measure, Measure) {
    warm_up(address, remote, shape);
    let uids = remote.hosts()..remote.hosts() + plan.burst;
    let bodies: Vec<_> = uids.map(|uid| (uid, shape.body(uid, remote.host(uid)))).collect();
    let peak = Peak::watch(pid);
    let begun = Instant::now();
    post_all(address, &bodies, POSTERS, |_| {});
    let last = remote.effects(plan.burst);
    let count = f64::from(u32::try_from(plan.burst).unwrap());
    (Measure::value(count / (last - begun).as_secs_f64()), Measure::value(peak.end()))
}
