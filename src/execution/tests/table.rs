//! Every state against every event: what the machine allows, as one table.

use std::fmt::Write as _;

use super::*;

/// One execution in each situation that the machine tells apart.
fn situations() -> Vec<(&'static str, State)> {
    let with = |events: &[Event]| replay(events.iter().map(|event| (born(), event))).unwrap();
    let approved = created(&plan(2));
    let attempt = AttemptId(uuid::Uuid::nil());
    let started = |place, number| Event::AttemptStarted { place, attempt, number, is_held: true };
    let ended = |place, code, after| Event::AttemptFinished { place, attempt, outcome: Outcome::Exited(code), after };
    let first = Place::Step(0);
    let lost = Event::AttemptFinished {
        place: first,
        attempt,
        outcome: Outcome::Lost("reset".to_owned()),
        after: After::Interrupted,
    };
    let finished = |status| Event::Finished { status, error: None };
    let failed = vec![approved.clone(), Event::Claimed, started(first, 1), ended(first, 1, After::Failed)];
    let undoing = [failed.clone(), vec![Event::RollbackStarted { undos: vec![0] }]].concat();
    let stuck = [
        undoing.clone(),
        vec![
            started(Place::Undo(0), 1),
            ended(Place::Undo(0), 1, After::Failed),
            Event::RollbackFinished { is_stuck: true },
            finished(Status::Failed),
        ],
    ]
    .concat();
    let interrupted = vec![
        approved.clone(),
        Event::Claimed,
        started(first, 1),
        lost,
        Event::Interrupted { reason: "lost".to_owned() },
    ];
    let pending = Event::Created { steps: 2, approved_by: None, undoes: None };
    let cancel = Event::CancelRequested { by: "ann".to_owned(), reason: None };
    let done = |place| vec![started(place, 1), ended(place, 0, After::Completed)];
    let completed =
        [vec![approved.clone(), Event::Claimed], done(first), done(Place::Step(1)), vec![finished(Status::Completed)]]
            .concat();
    let released =
        [stuck.clone(), vec![Event::Released { by: "ann".to_owned(), reason: "looked".to_owned() }]].concat();
    vec![
        ("pending", with(std::slice::from_ref(&pending))),
        ("pending, agreed", with(&[pending.clone(), Event::Agreed { by: "bob".to_owned(), reason: None }])),
        ("approved", with(std::slice::from_ref(&approved))),
        ("running", with(&[approved.clone(), Event::Claimed])),
        ("running, attempt under way", with(&[approved.clone(), Event::Claimed, started(first, 1)])),
        ("running, halted", with(&[approved.clone(), Event::Claimed, Event::Halted { reason: String::new() }])),
        ("running, to be cancelled", with(&[approved.clone(), Event::Claimed, cancel.clone()])),
        ("running, step failed", with(&failed)),
        ("running, rollback", with(&undoing)),
        ("interrupted", with(&interrupted)),
        ("completed", with(&completed)),
        ("failed", with(&[failed, vec![finished(Status::Failed)]].concat())),
        ("failed, stuck", with(&stuck)),
        ("failed, stuck, released", with(&released)),
        ("timeout", with(&[approved.clone(), Event::Claimed, Event::TimedOut, finished(Status::Timeout)])),
        ("cancelled", with(&[approved, cancel])),
        ("rejected", with(&[pending.clone(), Event::Rejected { by: "ann".to_owned(), reason: "no".to_owned() }])),
        ("expired", with(&[pending, Event::Expired])),
    ]
}

/// One of each kind, with data that fits where anything fits.
fn events() -> Vec<Event> {
    let by = "ann".to_owned();
    let text = String::new;
    let place = Place::Step(0);
    let attempt = AttemptId(uuid::Uuid::nil());
    vec![
        Event::Created { steps: 1, approved_by: None, undoes: None },
        Event::Agreed { by: by.clone(), reason: None },
        Event::Approved { by: by.clone(), reason: None },
        Event::Rejected { by: by.clone(), reason: text() },
        Event::Expired,
        Event::BackToPending { gates: vec![], expires_at: born() },
        Event::HeldAtClaim { until: None, gates: vec![] },
        Event::HostUnreachable { retry_at: born(), message: text() },
        Event::GaveUp { message: text() },
        Event::Withdrawn { skip_reason: "resolved".to_owned(), message: text() },
        Event::Claimed,
        Event::ConditionMet { place },
        Event::StepSkipped { place },
        Event::StepRefused { place, code: text(), message: text() },
        Event::AttemptStarted { place, attempt, number: 1, is_held: true },
        Event::AttemptStarted { place: Place::Undo(0), attempt, number: 1, is_held: true },
        Event::AttemptFinished { place, attempt, outcome: Outcome::Exited(0), after: After::Completed },
        Event::AttemptUnheld { place, attempt, reason: text() },
        Event::Reattached { place, attempt },
        Event::Halted { reason: text() },
        Event::Continued,
        Event::CancelRequested { by: by.clone(), reason: None },
        Event::TimedOut,
        Event::RollbackStarted { undos: vec![0] },
        Event::RollbackFinished { is_stuck: false },
        Event::RollbackFinished { is_stuck: true },
        Event::Interrupted { reason: text() },
        Event::Finished { status: Status::Completed, error: None },
        Event::Finished { status: Status::Failed, error: None },
        Event::Finished { status: Status::Timeout, error: None },
        Event::Finished { status: Status::Cancelled, error: None },
        Event::Finished { status: Status::Rejected, error: None },
        Event::Released { by, reason: text() },
    ]
}

fn word(event: &Event) -> String {
    match event {
        Event::Finished { status, .. } => format!("finished {status}"),
        Event::RollbackFinished { is_stuck: true } => "rollback_finished stuck".to_owned(),
        Event::AttemptStarted { place: Place::Undo(_), .. } => "attempt_started undo".to_owned(),
        other => other.as_str().to_owned(),
    }
}

#[test]
fn what_may_follow_what() {
    let mut table = String::new();
    for (situation, state) in situations() {
        writeln!(table, "{situation}").unwrap();
        for event in events() {
            if let Ok(then) = apply(state.clone(), born(), &event) {
                writeln!(
                    table,
                    "    {:<26} → {} ({}, rollback {})",
                    word(&event),
                    then.status,
                    then.phase,
                    then.rollback
                )
                .unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn nothing_follows_a_final_state_but_a_release() {
    for (situation, state) in situations().into_iter().filter(|(_, state)| state.status.is_final()) {
        for event in events() {
            if let Ok(then) = apply(state.clone(), born(), &event) {
                assert!(matches!(event, Event::Released { .. }), "{situation}: {event:?}");
                assert_eq!(then, State { is_released: true, ..state.clone() });
            }
        }
    }
}

#[test]
fn a_refusal_names_the_state_and_the_event() {
    let completed = situations().into_iter().find(|(name, _)| *name == "completed").unwrap().1;
    let error = apply(completed, born(), &Event::Claimed).unwrap_err();
    insta::assert_snapshot!(error, @"`claimed` cannot follow while an execution is completed (main): only an approved execution is claimed");
}

#[test]
fn every_event_is_read_back_as_it_was_stored() {
    for event in events() {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        assert!(text.contains(&format!("\"type\":\"{}\"", event.as_str())), "{text}");
    }
}
