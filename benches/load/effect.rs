//! From a webhook's POST to its answer, and to its effect on the host, on connections that stand and on new ones.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Plan;
use super::client::{Connection, runtime};
use super::disk;
use super::payload::Shape;
use super::remote::{Remote, Step};
use super::side::Database;
use super::table::{Measure, Table, Target, Unit};

/// Hosts take turns, so that the one before is over when a host's turn comes again.
const HOSTS: usize = 5;
const COLD_HOSTS: u64 = 15;
/// Between two alerts: what follows an effect (the outcome's commit) is not to disturb the next.
const PAUSE: Duration = Duration::from_millis(15);

pub fn measure(plan: &Plan, database: &Database<'_>, table: &mut Table) {
    let name = database.name();
    for step in [Step::Idempotent, Step::Once] {
        let shape = Shape::single(step.alert_name());
        let remote = Remote::start(HOSTS);
        let (engine, limit) = (database.douse_on(&remote), database.limit(Some(&remote)));
        let (mut douse, mut bare) = (Times::default(), Times::default());
        // Alternating, so that whatever else the machine does hits both alike.
        for number in 0..u64::try_from(plan.effects + 2 * HOSTS).unwrap() {
            bare.add(post(limit.address, &remote, &shape, 2 * number, number));
            douse.add(post(engine.address(), &remote, &shape, 2 * number + 1, number));
        }
        let (douse, bare) = (douse.after(2 * HOSTS), bare.after(2 * HOSTS));
        let times = if step == Step::Idempotent { 1.5 } else { 2.0 };
        let subject = format!("{name}: POST to effect, {}", step.shown());
        table.limit(&subject, Unit::Milliseconds, Target::Times(times), bare.effect);
        table.douse(&subject, Unit::Milliseconds, Target::Times(times), douse.effect);
        if step == Step::Idempotent {
            let subject = format!("{name}: POST to answer, a single webhook");
            let target = Target::AtMost((3.0 * disk::fdatasync()).max(1.5));
            table.limit(&subject, Unit::Milliseconds, target, bare.answer);
            table.douse(&subject, Unit::Milliseconds, target, douse.answer);
        }
    }
    let shape = Shape::single(Step::Idempotent.alert_name());
    let remote = Remote::start(usize::try_from(COLD_HOSTS).unwrap());
    let (engine, limit) = (database.douse_on(&remote), database.limit(Some(&remote)));
    let (mut douse, mut bare) = (Times::default(), Times::default());
    for number in 0..COLD_HOSTS {
        bare.add(post(limit.address, &remote, &shape, 2 * number, number));
        douse.add(post(engine.address(), &remote, &shape, 2 * number + 1, number));
    }
    let subject = format!("{name}: POST to effect, cold target");
    table.limit(&subject, Unit::Milliseconds, Target::AtMost(45.0), bare.after(0).effect);
    table.douse(&subject, Unit::Milliseconds, Target::AtMost(45.0), douse.after(0).effect);
}

#[derive(Default)]
struct Times {
    answers: Vec<f64>,
    effects: Vec<f64>,
}

struct Both {
    answer: Measure,
    effect: Measure,
}

impl Times {
    fn add(&mut self, (answer, effect): (Duration, Duration)) {
        self.answers.push(answer.as_secs_f64() * 1_000.0);
        self.effects.push(effect.as_secs_f64() * 1_000.0);
    }

    /// Without the first, which warmed up.
    fn after(mut self, first: usize) -> Both {
        Both { answer: Measure::times(&mut self.answers[first..]), effect: Measure::times(&mut self.effects[first..]) }
    }
}

/// Posts one alert and waits for its effect; answers how long each took.
fn post(address: SocketAddr, remote: &Remote, shape: &Shape, uid: u64, number: u64) -> (Duration, Duration) {
    std::thread::sleep(PAUSE);
    let body = shape.body(uid, remote.host(number));
    let (begun, answered) = runtime().block_on(async {
        let mut connection = Connection::open(address).await.unwrap();
        let begun = Instant::now();
        assert_eq!(connection.post(&body).await.unwrap(), 200);
        (begun, begun.elapsed())
    });
    (answered, remote.effect_of(uid).saturating_duration_since(begun))
}
