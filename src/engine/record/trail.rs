//! What the audit log says about an event of an execution: the seed's kinds and payload fields.
//!
//! Pure. Evidence stands here by reference and hash; no output and no rendered command does.

use serde_json::{Map, Value, json};

use crate::audit::EventKind;
use crate::audit::canonical::sha256_hex;
use crate::execution::state::StepState;
use crate::execution::{After, Event, Place, State, Status, StepStatus};
use crate::runbook::plan::{Plan, PlannedAction};

use super::Evidence;

/// What an execution was made from.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub plan: &'a Plan,
    pub plan_hash: &'a str,
    pub inputs_hash: &'a str,
}

/// One audit event's kind and payload.
pub(super) type Entry = (EventKind, Value);

/// What to write for `event`, which led to `state`.
pub(super) fn entries(event: &Event, evidence: &Evidence, state: &State, of: &Made<'_>) -> Vec<Entry> {
    let Made { plan, plan_hash, .. } = *of;
    match event {
        Event::Created { undoes, .. } => vec![(EventKind::Planned, planned(of, undoes.as_deref()))],
        Event::Agreed { by, reason } => {
            let mut payload = json!({"by": by, "reason": reason, "planHash": plan_hash});
            merge(&mut payload, json!({"isLast": false, "given": state.agreed.len()}));
            vec![(EventKind::Approved, payload)]
        }
        Event::Approved { by, reason } => {
            let mut payload = json!({"by": by, "reason": reason, "planHash": plan_hash});
            if !state.agreed.is_empty() {
                merge(&mut payload, json!({"isLast": true, "given": state.agreed.len() + 1}));
            }
            vec![(EventKind::Approved, payload)]
        }
        Event::Rejected { by, reason } => {
            vec![(EventKind::Rejected, json!({"by": by, "reason": reason})), updated(state, json!({}))]
        }
        Event::Expired => vec![updated(state, json!({"errorCode": "EXPIRED"}))],
        Event::BackToPending { gates, expires_at } => {
            vec![updated(state, json!({"gates": gates, "expiresAt": expires_at}))]
        }
        Event::HostUnreachable { retry_at, message } => {
            let fields = json!({"errorCode": "UNREACHABLE", "errorMessage": message, "retryAt": retry_at});
            vec![updated(state, fields)]
        }
        Event::Withdrawn { skip_reason, message } => {
            vec![updated(state, json!({"skipReason": skip_reason, "errorMessage": message}))]
        }
        Event::GaveUp { .. } | Event::Finished { .. } => ended(state),
        // The kill switch's own events are written where it is thrown; the rest follows from what is written.
        Event::HeldAtClaim { .. }
        | Event::Claimed
        | Event::ConditionMet { .. }
        | Event::Halted { .. }
        | Event::Continued
        | Event::TimedOut => Vec::new(),
        Event::StepSkipped { place } => {
            vec![(
                kind(*place, EventKind::StepFinished, EventKind::UndoFinished),
                finished(*place, state, plan, json!({})),
            )]
        }
        Event::StepRefused { place, code, message } => {
            let fields = json!({"errorCode": code.to_uppercase(), "errorMessage": message});
            vec![(
                kind(*place, EventKind::StepFinished, EventKind::UndoFinished),
                finished(*place, state, plan, fields),
            )]
        }
        Event::Reattached { place, attempt } => {
            vec![(EventKind::Reattached, of_place(*place, state, plan, json!({"idempotencyKey": attempt})))]
        }
        Event::AttemptUnheld { place, attempt, reason } => {
            let fields = json!({"errorCode": "UNHELD", "errorMessage": reason, "idempotencyKey": attempt});
            let (kind, mut payload) = updated(state, fields);
            merge(&mut payload, of_place(*place, state, plan, json!({})));
            vec![(kind, payload)]
        }
        Event::AttemptStarted { place, attempt, number, .. } => {
            let inputs_hash = match evidence {
                Evidence::Inputs { hash } => hash.as_str(),
                Evidence::None | Evidence::Output { .. } | Evidence::Results { .. } => "",
            };
            let fields = json!({"idempotencyKey": attempt, "inputsHash": inputs_hash, "attempt": number});
            vec![(kind(*place, EventKind::StepStarted, EventKind::UndoStarted), of_place(*place, state, plan, fields))]
        }
        Event::AttemptFinished { place, after, outcome, attempt } => {
            let mut fields = json!({"idempotencyKey": attempt, "exitCode": outcome.exit_code()});
            if let Evidence::Output { stdout, stderr } = evidence {
                let hash = sha256_hex(format!("{}{}", stdout.sha256, stderr.sha256).as_bytes());
                let has_output = stdout.total + stderr.total > 0;
                merge(&mut fields, json!({"outputSummary": {"hasOutput": has_output, "outputHash": hash}}));
            }
            if let After::RetryAt(at) = after {
                merge(&mut fields, json!({"retryAt": at, "status": "FAILED"}));
            }
            if *after != After::Completed {
                let error = json!({"errorCode": outcome.code().to_uppercase(), "errorMessage": outcome.to_string()});
                merge(&mut fields, error);
            }
            vec![(
                kind(*place, EventKind::StepFinished, EventKind::UndoFinished),
                finished(*place, state, plan, fields),
            )]
        }
        Event::CancelRequested { by, reason } => {
            let mut entries = vec![(EventKind::CancelRequested, json!({"by": by, "reason": reason}))];
            if state.status.is_final() {
                entries.push(updated(state, json!({})));
            }
            entries
        }
        Event::RollbackStarted { undos } => {
            let steps: Vec<Value> = undos
                .iter()
                .filter_map(|index| plan.steps.get(*index))
                .map(|step| json!({"stepId": step.id}))
                .collect();
            vec![(EventKind::RollbackStarted, json!({"stepsCount": steps.len(), "steps": steps}))]
        }
        Event::RollbackFinished { is_stuck } => {
            let count = |is: fn(&StepState) -> bool| state.undos.iter().filter(|undo| is(&undo.state)).count();
            let payload = json!({
                "status": if *is_stuck { "STUCK" } else { "SUCCEEDED" },
                "totalSteps": state.undos.len(),
                "successCount": count(|undo| undo.status == StepStatus::Completed),
                "failedCount": count(StepState::has_failed),
            });
            vec![(EventKind::RollbackFinished, payload)]
        }
        Event::Interrupted { reason } => vec![(EventKind::Interrupted, json!({"reason": reason}))],
        Event::Released { by, reason } => {
            let mut entries = vec![(EventKind::Released, json!({"by": by, "reason": reason}))];
            if state.rollback != crate::execution::RollbackState::Stuck {
                entries.extend(ended(state));
            }
            entries
        }
    }
}

fn planned(of: &Made<'_>, undoes: Option<&[usize]>) -> Value {
    let plan = of.plan;
    let steps: Vec<Value> = match undoes {
        Some(undoes) => undoes
            .iter()
            .filter_map(|index| plan.steps.get(*index))
            .map(|step| {
                json!({
                    "stepId": step.id, "actionType": step.undo.as_ref().map(|undo| undo.action.exported()),
                })
            })
            .collect(),
        None => {
            plan.steps.iter().map(|step| json!({"stepId": step.id, "actionType": step.action.exported()})).collect()
        }
    };
    json!({
        "playbookId": plan.runbook,
        "playbookVersion": plan.runbook_version.to_string(),
        "planHash": of.plan_hash,
        "inputsHash": of.inputs_hash,
        "isRollback": undoes.is_some(),
        "stepsCount": steps.len(),
        "steps": steps,
    })
}

fn kind(place: Place, step: EventKind, undo: EventKind) -> EventKind {
    match place {
        Place::Step(_) => step,
        Place::Undo(_) => undo,
    }
}

fn of_place(place: Place, state: &State, plan: &Plan, fields: Value) -> Value {
    let (index, is_undo) = match place {
        Place::Step(index) => (Some(index), false),
        Place::Undo(position) => (state.undos.get(position).map(|undo| undo.step), true),
    };
    let step = index.and_then(|index| plan.steps.get(index));
    let action =
        step.and_then(|step| if is_undo { step.undo.as_ref().map(|undo| &undo.action) } else { Some(&step.action) });
    let mut payload = json!({"stepId": step.map(|step| &step.id), "actionType": action.map(PlannedAction::exported)});
    merge(&mut payload, fields);
    payload
}

fn finished(place: Place, state: &State, plan: &Plan, fields: Value) -> Value {
    let step = state.at(place);
    let status = step.map_or("", |step| step.status.exported());
    let took = step.and_then(|step| Some(step.ended_at?.since(step.started_at?)));
    let mut payload = of_place(place, state, plan, json!({"status": status}));
    if let Some(took) = took {
        merge(&mut payload, json!({"durationMs": millis(took)}));
    }
    merge(&mut payload, fields);
    payload
}

fn updated(state: &State, fields: Value) -> Entry {
    let mut payload = json!({"status": state.status.exported(state.started_at.is_some())});
    merge(&mut payload, fields);
    (EventKind::StatusUpdated, payload)
}

/// The seed's two last events: the status, and whether it did what it should.
fn ended(state: &State) -> Vec<Entry> {
    let places =
        || state.steps.iter().chain(state.undos.iter().filter(|_| state.undoes.is_some()).map(|undo| &undo.state));
    let took = state.started_at.zip(state.ended_at).map(|(from, to)| millis(to.since(from)));
    let total = state.undoes.as_ref().map_or(state.steps.len(), Vec::len);
    let mut payload = json!({
        "status": state.status.exported(state.started_at.is_some()),
        "totalSteps": total,
        "successCount": places().filter(|step| step.status == StepStatus::Completed).count(),
        "failedCount": places().filter(|step| step.has_failed()).count(),
        "durationMs": took.unwrap_or(0),
    });
    if let Some(error) = &state.error {
        merge(&mut payload, json!({"errorMessage": error}));
    }
    let mut entries = vec![(EventKind::StatusUpdated, payload.clone())];
    match state.status {
        Status::Completed => entries.push((EventKind::Completed, payload)),
        Status::Failed | Status::Timeout => entries.push((EventKind::Failed, payload)),
        Status::Pending
        | Status::Approved
        | Status::Running
        | Status::Cancelled
        | Status::Rejected
        | Status::Expired
        | Status::Interrupted => {}
    }
    entries
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn merge(payload: &mut Value, fields: Value) {
    if let (Value::Object(payload), Value::Object(fields)) = (payload, fields) {
        payload.extend::<Map<String, Value>>(fields);
    }
}
