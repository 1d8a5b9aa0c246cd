//! The engine ends after any event: the next one goes on from there, and starts nothing twice.

use std::collections::BTreeMap;

use douse::engine::record::{self, Author, Evidence};
use douse::execution::{Event, Place, RollbackState, Status};
use douse::id::{AttemptId, ExecutionId};
use douse::store::{LockReason, events};
use douse::transport::fake::Answer;

use super::bench::Bench;
use crate::store::harness::{self, on_both_engines};

const TWO: &str = "name: two
description: Two steps, the second fails
mode: auto
steps:
  - {id: one, name: One, command: do one, rollback_command: revert one}
  - {id: two, name: Two, command: do two, rollback_command: revert two}
";

/// The events of an execution.
async fn log(bench: &Bench, id: ExecutionId) -> Vec<Event> {
    let rows = bench.store.read(move |db| events::load(db, id)).await.unwrap();
    rows.into_iter().map(|row| serde_json::from_value(row.event_json.0).unwrap()).collect()
}

/// Tells a fresh execution these events, as an engine would have that ended then.
async fn tell(bench: &Bench, id: ExecutionId, told: &[Event]) {
    let mut renamed: BTreeMap<AttemptId, AttemptId> = BTreeMap::new();
    for event in told {
        let mut event = event.clone();
        if let Event::AttemptStarted { attempt, .. } | Event::AttemptFinished { attempt, .. } = &mut event {
            *attempt = *renamed.entry(*attempt).or_insert_with(AttemptId::new);
        }
        let author = Author::engine(&bench.engine);
        let write = bench.store.write(move |db| {
            let loaded = record::load(db, id)?;
            if event == Event::Claimed {
                record::claim(db, loaded, &author).map(|claimed| drop(claimed.unwrap()))
            } else {
                record::record(db, loaded, &[(event, Evidence::None)], &author).map(|told| drop(told.unwrap()))
            }
        });
        write.await.unwrap();
    }
}

/// The commands whose start is in the log: the host has seen them from the dead engine.
fn started(told: &[Event], undos: &[usize]) -> Vec<String> {
    let name = |index: usize| ["one", "two"][index];
    let command = |event: &Event| match event {
        Event::AttemptStarted { place: Place::Step(index), .. } => Some(format!("do {}", name(*index))),
        Event::AttemptStarted { place: Place::Undo(position), .. } => {
            Some(format!("revert {}", name(undos[*position])))
        }
        _ => None,
    };
    told.iter().filter_map(command).collect()
}

on_both_engines! {
    async fn after_every_event_the_next_engine_goes_on_and_starts_nothing_twice(fixture: Fixture) {
        let mut bench = Bench::new(fixture, &[TWO]).await;
        bench.transport.on("do two", [Answer::exit(1)]);
        let whole = bench.execution("two", "web1", &[]).await;
        assert_eq!(bench.run(whole).await.status(), Status::Failed);
        let whole = log(&bench, whole).await;
        let all = ["do one", "do two", "revert two", "revert one"];
        for length in 2..whole.len() {
            let (head, last) = (&whole[1..length], &whole[length - 1]);
            let id = bench.execution("two", "web1", &[]).await;
            tell(&bench, id, head).await;
            bench.die_and_restart_with(|transport| transport.on("do two", [Answer::exit(1)])).await;
            let shown = bench.settled(id).await;
            let mut seen = started(head, &[1, 0]);
            seen.extend(bench.transport.commands());
            let name = format!("after {} ({})", length, last.as_str());
            match last {
                Event::AttemptStarted { place: Place::Step(_), .. } => {
                    assert_eq!(shown.status(), Status::Interrupted, "{name}");
                    assert_eq!(shown.locks[0].reason, LockReason::Interrupted, "{name}");
                    assert!(bench.transport.commands().is_empty(), "{name}");
                }
                Event::AttemptStarted { place: Place::Undo(_), .. } => {
                    assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::Stuck), "{name}");
                    assert!(bench.transport.commands().is_empty(), "{name}");
                }
                _ => {
                    assert_eq!((shown.status(), shown.loaded.row.rollback), (Status::Failed, RollbackState::Done), "{name}");
                    assert_eq!(seen, all, "{name}");
                }
            }
            bench.free("web1").await;
        }
    }
}

#[tokio::test]
async fn a_stop_in_good_order_leaves_the_rest_to_the_next_engine() {
    let mut bench = Bench::new(harness::sqlite().await, &[TWO]).await;
    bench.transport.on("do one", [Answer::exit(0).after(std::time::Duration::from_millis(200))]);
    let id = bench.execution("two", "web1", &[]).await;
    bench.start(id).await;
    bench.until(id, |shown| !shown.attempts.is_empty()).await;
    bench.engine.stopping.cancel();
    let shown = bench.until(id, |shown| shown.attempts[0].ending.is_some()).await;
    assert_eq!(shown.status(), Status::Running);
    bench.tasks.close();
    bench.tasks.wait().await;
    assert_eq!(bench.transport.commands(), ["do one"], "a step was started after the stop");
    bench.die_and_restart_with(|_| {}).await;
    assert_eq!(bench.settled(id).await.status(), Status::Completed);
    assert_eq!(bench.transport.commands(), ["do two"]);
}

#[tokio::test]
async fn results_of_earlier_steps_are_known_after_a_restart() {
    let runbook = "name: chain
description: Later steps use earlier output
mode: auto
steps:
  - {id: find, name: Find, command: find it, capture_output: true, outputs: {pid: {parse: regex, pattern: 'pid=([0-9]+)'}}}
  - {id: wait, name: Wait, command: wait}
  - {id: stop, name: Stop, command: 'kill {{ steps.find.outputs.pid }}'}
";
    let mut bench = Bench::new(harness::sqlite().await, &[runbook]).await;
    bench.transport.on("find it", [Answer::exit(0).stdout("pid=4711")]);
    bench.transport.on("wait", [Answer::exit(0).after(std::time::Duration::from_millis(200))]);
    let id = bench.execution("chain", "web1", &[]).await;
    bench.start(id).await;
    bench.until(id, |shown| shown.attempts.len() == 2).await;
    bench.engine.stopping.cancel();
    bench.tasks.close();
    bench.tasks.wait().await;
    bench.die_and_restart_with(|_| {}).await;
    let shown = bench.settled(id).await;
    assert_eq!(shown.status(), Status::Completed, "{}", shown.error());
    assert_eq!(bench.transport.commands(), ["kill 4711"]);
}
