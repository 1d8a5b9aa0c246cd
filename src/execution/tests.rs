//! Tests of the state machine, of `next`, and of both together against a model.

mod model;
mod table;
mod way;

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::id::AttemptId;
use crate::runbook::model::{Mode, Retry, RollbackPolicy};
use crate::runbook::plan::{Plan, PlannedAction, PlannedStep, PlannedUndo, Text};

fn born() -> Timestamp {
    "2026-03-03T10:00:00Z".parse().unwrap()
}

fn policy() -> RollbackPolicy {
    RollbackPolicy {
        enabled: true,
        after_failure: true,
        after_timeout: true,
        after_cancel: true,
        include_failed: true,
        continue_on_error: false,
    }
}

fn undo() -> PlannedUndo {
    PlannedUndo {
        action: PlannedAction::Command(Text::Known("undo".to_owned())),
        when: None,
        become_user: None,
        timeout_secs: 30,
    }
}

/// A step with an undo, without retries.
fn step(index: usize) -> PlannedStep {
    PlannedStep {
        id: format!("s{index}"),
        name: format!("S{index}"),
        order: u32::try_from(index).unwrap() + 1,
        action: PlannedAction::Command(Text::Known("do".to_owned())),
        when: None,
        expected_exit_codes: vec![0],
        timeout_secs: 60,
        continue_on_failure: false,
        retry: Retry {
            attempts: 1,
            delay: Duration::from_secs(5),
            backoff_milli: 2000,
            max_delay: Duration::from_secs(60),
            on_exit_codes: Vec::new(),
        },
        capture_output: false,
        sensitive: false,
        idempotent: false,
        expect_disconnect: false,
        become_user: None,
        environment: Vec::new(),
        workdir: None,
        outputs: std::collections::BTreeMap::new(),
        output_bytes_max: 1024,
        undo: Some(undo()),
    }
}

fn plan(steps: usize) -> Plan {
    Plan {
        runbook: "restart".to_owned(),
        runbook_version: 1,
        mode: Mode::Auto,
        server: "web1".to_owned(),
        timeout_secs: 300,
        parameters: std::collections::BTreeMap::new(),
        environment: Vec::new(),
        steps: (0..steps).map(step).collect(),
        rollback: policy(),
        on_interrupted: crate::runbook::model::OnInterrupted::Hold,
        min_approvals: 1,
        outputs: Vec::new(),
        context: json!({}),
    }
}

fn created(plan: &Plan) -> Event {
    Event::Created { steps: plan.steps.len(), approved_by: Some("auto".to_owned()), undoes: None }
}

/// An execution and its log, driven by hand.
struct Run {
    plan: Plan,
    now: Timestamp,
    state: State,
    log: Vec<(Timestamp, Event)>,
}

impl Run {
    /// Created, approved and claimed.
    fn claimed(plan: Plan) -> Self {
        let mut run = Self::created(plan, None);
        run.record(Event::Claimed);
        run
    }

    fn created(plan: Plan, undoes: Option<Vec<usize>>) -> Self {
        let event = Event::Created { steps: plan.steps.len(), approved_by: Some("auto".to_owned()), undoes };
        let state = begin(born(), &event).unwrap();
        Self { plan, now: born(), state, log: vec![(born(), event)] }
    }

    fn next(&self) -> Effect {
        next(&self.state, &self.plan, self.now)
    }

    fn record(&mut self, event: Event) {
        self.state = apply(self.state.clone(), self.now, &event).unwrap_or_else(|error| panic!("{error}: {event:?}"));
        self.log.push((self.now, event));
    }

    fn pass(&mut self, secs: u64) {
        self.now = self.now.plus(Duration::from_secs(secs));
    }

    /// Performs `RunAttempt`, which must be what comes next, with this outcome after `secs`.
    fn attempt(&mut self, expected: Place, secs: u64, outcome: Outcome) {
        let Effect::RunAttempt { place, number, .. } = self.next() else { panic!("{:?}", self.next()) };
        assert_eq!(place, expected);
        let attempt = AttemptId::new();
        self.record(Event::AttemptStarted { place, attempt, number, is_held: true });
        self.pass(secs);
        let after = retry::judge(&self.state, &self.plan, place, &outcome, self.now);
        self.record(Event::AttemptFinished { place, attempt, outcome, after });
    }

    /// Records what `next` says, as long as there is nothing else to do.
    fn settle(&mut self) -> Effect {
        loop {
            match self.next() {
                Effect::Record(event) => self.record(event),
                other => return other,
            }
        }
    }
}
