//! What people do to executions, and what they may not.

use std::time::Duration;

use douse::config::Role;
use douse::engine::acts::{self, ActError, Person};
use douse::engine::record::{self, Author, Evidence};
use douse::execution::{Event, Status};
use douse::gate::Gate;
use douse::id::ExecutionId;

use super::bench::{Bench, person};
use crate::store::harness::{self, on_both_engines};

const ASKING: &str = "name: asking
description: Asks first
mode: semi_auto
requires_approval: true
approval_roles: [engineer]
steps: [{name: One, command: do one}]
";

async fn pending(bench: &Bench) -> ExecutionId {
    bench.prepared("asking", "web1", &[], None, "bob").await
}

fn ann() -> Person {
    person("ann", Role::Engineer)
}

on_both_engines! {
    async fn a_yes_is_recorded_with_who_and_the_plans_hash(fixture: Fixture) {
        let bench = Bench::new(fixture, &[ASKING]).await;
        let id = pending(&bench).await;
        let hash = bench.shown(id).await.loaded.details.plan_hash;
        let row = acts::approve(&bench.engine, id, &ann(), Some(hash.clone()), Some("go".to_owned())).await.unwrap();
        assert_eq!((row.status, row.approved_by.as_deref()), (Status::Approved, Some("ann")));
        assert!(row.approved_at.is_some());
        let shown = bench.shown(id).await;
        let event = shown.audit.last().unwrap();
        assert_eq!((event.event_type.as_str(), event.actor.as_str()), ("APPROVED", "ann"));
        assert_eq!(event.ip_address.as_deref(), Some("192.0.2.7"));
        assert_eq!(event.payload_json.0["planHash"], hash);
        assert_eq!(shown.loaded.details.approval_reason.as_deref(), Some("go"));
        let again = acts::approve(&bench.engine, id, &ann(), None, None).await.unwrap_err();
        assert!(matches!(again, ActError::Conflict(_)), "an approval is single-use: {again}");
        assert_eq!(bench.run(id).await.status(), Status::Completed);
    }

    async fn two_different_people_have_to_say_yes(fixture: Fixture) {
        let two = ASKING.to_owned() + "approval: {min_approvals: 2}\n";
        let two = two.replace("approval_roles: [engineer]\n", "").replace("{min", "{roles: [engineer], min");
        let bench = Bench::new(fixture, &[&two]).await;
        let (engine, eve) = (&bench.engine, person("eve", Role::Admin));
        let id = pending(&bench).await;
        let first = acts::approve(engine, id, &ann(), None, Some("looks right".to_owned())).await.unwrap();
        assert_eq!((first.status, first.approved_by), (Status::Pending, None), "one is not enough");
        assert!(!bench.try_start(id).await, "nothing runs");
        let again = acts::approve(engine, id, &ann(), None, None).await.unwrap_err();
        assert!(matches!(&again, ActError::Conflict(told) if told.contains("ann has said yes already")), "{again}");
        let own = acts::approve(engine, id, &person("bob", Role::Admin), None, None).await.unwrap_err();
        assert!(matches!(own, ActError::Forbidden(_)), "who asked is none of the two: {own}");
        let other = acts::approve(engine, id, &eve, Some("0".repeat(64)), None).await.unwrap_err();
        assert!(matches!(other, ActError::Conflict(_)), "{other}");
        let second = acts::approve(engine, id, &eve, None, None).await.unwrap();
        assert_eq!((second.status, second.approved_by.as_deref()), (Status::Approved, Some("eve")));
        let shown = bench.shown(id).await;
        let said: Vec<_> = shown.audit.iter().filter(|row| row.event_type.as_str() == "APPROVED").collect();
        let who: Vec<_> = said.iter().map(|row| (row.actor.as_str(), row.payload_json.0["isLast"].as_bool())).collect();
        assert_eq!(who, [("ann", Some(false)), ("eve", Some(true))]);
        assert_eq!(bench.run(id).await.status(), Status::Completed);
        // One no is enough, whoever has said yes.
        let id = pending(&bench).await;
        acts::approve(engine, id, &ann(), None, None).await.unwrap();
        assert_eq!(acts::reject(engine, id, &eve, "no".to_owned()).await.unwrap().status, Status::Rejected);
        // At the same moment: never more than one yes of each, and never one too few.
        for _ in 0..5 {
            let id = pending(&bench).await;
            let (one, two) = (ann(), ann());
            let (one, two) =
                tokio::join!(acts::approve(engine, id, &one, None, None), acts::approve(engine, id, &two, None, None));
            assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1, "{one:?} {two:?}");
            assert_eq!(bench.shown(id).await.status(), Status::Pending);
        }
        // An edit cannot lower it for what waits, and can raise it.
        let id = pending(&bench).await;
        bench.reload(&[two.replace("min_approvals: 2", "min_approvals: 1")]).await;
        assert_eq!(acts::approve(engine, id, &ann(), None, None).await.unwrap().status, Status::Pending);
        bench.reload(&[two.replace("min_approvals: 2", "min_approvals: 3")]).await;
        assert_eq!(acts::approve(engine, id, &eve, None, None).await.unwrap().status, Status::Pending);
        let zoe = person("zoe", Role::Engineer);
        assert_eq!(acts::approve(engine, id, &zoe, None, None).await.unwrap().status, Status::Approved);
    }

    async fn of_a_yes_and_a_no_at_the_same_time_exactly_one_counts(fixture: Fixture) {
        let bench = Bench::new(fixture, &[ASKING]).await;
        for _ in 0..10 {
            let id = pending(&bench).await;
            let engine = &bench.engine;
            let (ann, eve) = (ann(), person("eve", Role::Admin));
            let (yes, no, stop) = tokio::join!(
                acts::approve(engine, id, &ann, None, None),
                acts::reject(engine, id, &eve, "no".to_owned()),
                acts::approve(engine, id, &eve, None, None),
            );
            let counted = [yes.is_ok(), no.is_ok(), stop.is_ok()].into_iter().filter(|done| *done).count();
            assert_eq!(counted, 1, "{yes:?} {no:?} {stop:?}");
            let trail = bench.shown(id).await.trail().into_iter().filter(|kind| matches!(*kind, "APPROVED" | "REJECTED")).count();
            assert_eq!(trail, 1);
        }
    }
}

#[tokio::test]
async fn waiting_for_a_person_does_not_count_as_waiting_in_the_queue() {
    let bench = Bench::with_virtual_time(harness::sqlite().await, &[ASKING]).await;
    let clock = bench.engine.clock.clone();
    let (minute, wait) = (Duration::from_secs(60), Duration::from_secs(20 * 60));
    let id = pending(&bench).await;
    clock.advance(wait);
    acts::approve(&bench.engine, id, &ann(), None, None).await.unwrap();
    let details = bench.shown(id).await.loaded.details;
    assert_eq!((details.waits_since, details.queued_ms), (Some(clock.now()), 0));
    clock.advance(minute);
    let author = Author::engine(&bench.engine);
    let back = bench.store.write(move |db| {
        let event = Event::BackToPending { gates: vec![Gate::Maintenance], expires_at: author.now.plus(wait * 2) };
        let loaded = record::load(db, id)?;
        record::record(db, loaded, &[(event, Evidence::None)], &author).map(|told| drop(told.unwrap()))
    });
    back.await.unwrap();
    let details = bench.shown(id).await.loaded.details;
    assert_eq!((details.waits_since, details.queued_ms), (None, 60_000));
    clock.advance(wait);
    acts::approve(&bench.engine, id, &ann(), None, None).await.unwrap();
    let details = bench.shown(id).await.loaded.details;
    assert_eq!((details.waits_since, details.queued_ms), (Some(clock.now()), 60_000));
}

#[tokio::test]
async fn who_asked_does_not_approve_unless_the_runbook_says_so() {
    let lenient = ASKING.replace("name: asking", "name: lenient") + "approval: {allow_self: true}\n";
    let bench = Bench::new(harness::sqlite().await, &[ASKING, &lenient]).await;
    let bob = person("bob", Role::Admin);
    let own = acts::approve(&bench.engine, pending(&bench).await, &bob, None, None).await.unwrap_err();
    assert!(matches!(own, ActError::Forbidden(_)), "{own}");
    let id = bench.prepared("lenient", "web1", &[], None, "bob").await;
    assert_eq!(acts::approve(&bench.engine, id, &bob, None, None).await.unwrap().status, Status::Approved);
}

#[tokio::test]
async fn only_the_runbooks_roles_and_admins_answer() {
    let bench = Bench::new(harness::sqlite().await, &[ASKING]).await;
    for (role, may) in [(Role::Viewer, false), (Role::Operator, false), (Role::Engineer, true), (Role::Admin, true)] {
        let yes = acts::approve(&bench.engine, pending(&bench).await, &person("x", role), None, None).await;
        assert_eq!(yes.is_ok(), may, "{role}: {yes:?}");
        let no = acts::reject(&bench.engine, pending(&bench).await, &person("x", role), "no".to_owned()).await;
        assert_eq!(no.is_ok(), may, "{role}: {no:?}");
    }
}

#[tokio::test]
async fn another_plan_than_the_one_that_was_shown_is_not_approved() {
    let bench = Bench::new(harness::sqlite().await, &[ASKING]).await;
    let id = pending(&bench).await;
    let other = acts::approve(&bench.engine, id, &ann(), Some("0".repeat(64)), None).await.unwrap_err();
    assert!(matches!(other, ActError::Conflict(_)), "{other}");
    assert_eq!(bench.shown(id).await.status(), Status::Pending);
}

#[tokio::test]
async fn nobodys_answer_in_time_expires() {
    let runbook = ASKING.to_owned() + "approval: {expires_after: 1ms}\n";
    let bench = Bench::new(harness::sqlite().await, &[&runbook]).await;
    let id = pending(&bench).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let late = acts::approve(&bench.engine, id, &ann(), None, None).await.unwrap_err();
    assert!(matches!(late, ActError::Conflict(_)), "{late}");
    assert_eq!(acts::expire(&bench.engine).await.unwrap(), 1);
    assert_eq!(acts::expire(&bench.engine).await.unwrap(), 0);
    let shown = bench.shown(id).await;
    assert_eq!((shown.status(), shown.trail().last()), (Status::Expired, Some(&"STATUS_UPDATED")));
}

#[tokio::test]
async fn a_no_needs_a_reason_of_at_most_a_thousand_characters() {
    let bench = Bench::new(harness::sqlite().await, &[ASKING]).await;
    let id = pending(&bench).await;
    for reason in ["", "   ", &"x".repeat(1_001)] {
        let refused = acts::reject(&bench.engine, id, &ann(), reason.to_owned()).await.unwrap_err();
        assert!(matches!(refused, ActError::Invalid(_)), "{refused}");
    }
    let row = acts::reject(&bench.engine, id, &ann(), "é".repeat(1_000)).await.unwrap();
    assert_eq!(row.status, Status::Rejected);
    let details = bench.shown(id).await.loaded.details;
    assert_eq!((details.rejected_by.as_deref(), details.rejected_at.is_some()), (Some("ann"), true));
    let after = acts::approve(&bench.engine, id, &ann(), None, None).await.unwrap_err();
    assert!(matches!(after, ActError::Conflict(_)), "{after}");
}

#[tokio::test]
async fn what_has_not_started_is_cancelled_at_once() {
    let bench = Bench::new(harness::sqlite().await, &[ASKING]).await;
    let waiting = pending(&bench).await;
    let approved = bench.execution("asking", "web1", &[]).await;
    for id in [waiting, approved] {
        let row = acts::cancel(&bench.engine, id, &ann(), None).await.unwrap();
        assert_eq!((row.status, row.error_message.as_deref()), (Status::Cancelled, Some("cancelled by ann")));
        assert_eq!(bench.shown(id).await.trail(), ["PLANNED", "CANCEL_REQUESTED", "STATUS_UPDATED"]);
        assert!(!bench.try_start(id).await);
    }
    assert!(bench.transport.commands().is_empty());
}

#[tokio::test]
async fn acts_on_what_does_not_exist_say_so() {
    let bench = Bench::new(harness::sqlite().await, &[ASKING]).await;
    let id = ExecutionId::new();
    let engine = &bench.engine;
    for refused in [
        acts::approve(engine, id, &ann(), None, None).await.unwrap_err(),
        acts::reject(engine, id, &ann(), "no".to_owned()).await.unwrap_err(),
        acts::cancel(engine, id, &ann(), None).await.unwrap_err(),
        acts::release(engine, id, &ann(), "why".to_owned()).await.unwrap_err(),
        acts::roll_back(engine, id, &ann(), None).await.unwrap_err(),
    ] {
        assert!(matches!(refused, ActError::NotFound), "{refused}");
    }
}

#[tokio::test]
async fn acts_in_the_wrong_state_are_refused_and_change_nothing() {
    let bench = Bench::new(harness::sqlite().await, &[ASKING]).await;
    let id = bench.execution("asking", "web1", &[]).await;
    assert_eq!(bench.run(id).await.status(), Status::Completed);
    let before = bench.shown(id).await;
    let engine = &bench.engine;
    for refused in [
        acts::approve(engine, id, &ann(), None, None).await.unwrap_err(),
        acts::reject(engine, id, &ann(), "no".to_owned()).await.unwrap_err(),
        acts::cancel(engine, id, &ann(), None).await.unwrap_err(),
        acts::release(engine, id, &ann(), "why".to_owned()).await.unwrap_err(),
        acts::roll_back(engine, id, &ann(), None).await.unwrap_err(),
    ] {
        assert!(matches!(refused, ActError::Conflict(_)), "{refused}");
    }
    let after = bench.shown(id).await;
    assert_eq!((after.loaded.row.clone(), after.trail()), (before.loaded.row.clone(), before.trail()));
}
