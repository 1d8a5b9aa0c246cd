//! Making an execution of a run that the gates let through, or that a person has to agree to.

use serde_json::{Map, Value, json};

use crate::audit::canonical::payload_hash;
use crate::engine::record::{self, Author, Loaded};
use crate::execution::{Origin, Phase, RollbackState, Status, Verification};
use crate::gate::{Evaluation, Gate, Verdict};
use crate::id::{DecisionId, ExecutionId};
use crate::runbook::plan::{Plan, Text};
use crate::store::details::DetailsRow;
use crate::store::executions::{self, ExecutionRow};
use crate::store::{Db, Json, OnResolved, StoreError};

use super::ask::{AUTO, Asked};
use super::prepare::Incident;
use super::{batch, outcome};

/// What an execution is made for.
pub(super) struct Birth<'a> {
    pub id: ExecutionId,
    pub origin: Origin,
    pub asked: &'a Asked,
    pub incident: Option<&'a Incident>,
    pub trigger: Option<&'a str>,
    pub decision: Option<DecisionId>,
    pub retry_of: Option<ExecutionId>,
    /// Why a person wants it.
    pub reason: Option<String>,
    /// Idempotency key, and the name of the token that sent it.
    pub idempotency: Option<(String, String)>,
}

/// Makes the execution: approved by `auto` when no gate wants a person, else pending. Must not be called when a gate
/// holds or refuses.
pub(super) fn start(db: &mut Db, birth: &Birth<'_>, author: &Author) -> Result<Loaded, StoreError> {
    let Asked { prepared, evaluation, is_probe } = birth.asked;
    let (Some(active), Some(server), Some((plan, hash))) = (&prepared.active, &prepared.server, &prepared.rendered)
    else {
        return Err(StoreError::Defect("the gates let a run through that has no plan".to_owned()));
    };
    let approvals = match evaluation.outcome {
        Verdict::Allow => Vec::new(),
        Verdict::Approve => evaluation.approvals(),
        Verdict::Hold(_) | Verdict::Refuse => {
            return Err(StoreError::Defect("an execution was to be made although a gate objects".to_owned()));
        }
    };
    let (id, now) = (birth.id, author.now);
    let is_approved = approvals.is_empty();
    let batch_id = if approvals.contains(&Gate::BlastRadius) {
        let window = blast_window(evaluation);
        Some(batch::join(db, &active.runbook.name, server.group.as_deref(), id, hash, window, now)?)
    } else {
        None
    };
    let expires_at = (!is_approved).then(|| now.plus(active.runbook.approval.expires_after));
    let approved_at = if is_approved { Some(executions::approval_time(db, now)?) } else { None };
    let row = ExecutionRow {
        id,
        origin: birth.origin,
        runbook: active.runbook.name.clone(),
        runbook_version: active.version,
        server: server.name.clone(),
        server_group: server.group.clone(),
        status: if is_approved { Status::Approved } else { Status::Pending },
        phase: Phase::Main,
        rollback: RollbackState::None,
        verification: Verification::None,
        mode: plan.mode,
        trigger_name: birth.trigger.map(str::to_owned),
        alert_id: birth.incident.and_then(|incident| incident.stored.as_ref()).map(|(_, alert)| *alert),
        episode_id: birth.incident.and_then(Incident::episode).map(|episode| episode.id),
        decision_id: birth.decision,
        batch_id,
        policy_version: author.policy.version.clone(),
        created_by: author.name.clone(),
        created_at: now,
        approved_by: is_approved.then(|| AUTO.to_owned()),
        approved_at,
        expires_at,
        held_until: None,
        next_try_at: None,
        started_at: None,
        completed_at: None,
        duration_ms: None,
        error_message: None,
        skip_reason: None,
        cancel_requested_at: None,
        breaker_probe: *is_probe && is_approved,
        released_at: None,
    };
    let details = details(birth, plan, hash, &row, &approvals)?;
    let loaded = record::create(db, &row, &details, plan, None, author)?;
    if loaded.row.breaker_probe {
        outcome::note_half_open(db, &author.policy, &loaded.row.runbook, now)?;
    }
    Ok(loaded)
}

fn details(
    birth: &Birth<'_>,
    plan: &Plan,
    hash: &str,
    row: &ExecutionRow,
    approvals: &[Gate],
) -> Result<DetailsRow, StoreError> {
    let json = |error: serde_json::Error| StoreError::Defect(format!("a plan cannot be written: {error}"));
    let inputs = json!({"parameters": plan.parameters, "environment": plan.environment});
    let inputs_hash = payload_hash(&inputs).map_err(json)?;
    let correlation_id = match birth.incident {
        Some(Incident { source, alert, stored: Some((episode, _)), .. }) => {
            format!("{source}:{}:{}", alert.fingerprint, episode.number)
        }
        Some(_) | None => row.id.to_string(),
    };
    let (idempotency_key, idempotency_token) = birth.idempotency.clone().unzip();
    Ok(DetailsRow {
        execution_id: row.id,
        plan_json: Json(serde_json::to_value(plan).map_err(json)?),
        plan_hash: hash.to_owned(),
        parameters: Json(serde_json::to_value(&plan.parameters).map_err(json)?),
        context_vars: Json(Value::Object(context_vars(plan))),
        run_key: format!("{correlation_id}:{}:{inputs_hash}", row.runbook),
        inputs_hash,
        correlation_id,
        timeout_secs: i64::try_from(plan.timeout_secs).unwrap_or(i64::MAX),
        on_resolved: OnResolved::Finish,
        retry_of: birth.retry_of,
        rollback_of: None,
        reason: birth.reason.clone(),
        idempotency_key,
        idempotency_token,
        approval_gates: Json(approvals.iter().map(|gate| gate.as_str().to_owned()).collect()),
        approval_reason: None,
        rejected_by: None,
        rejected_at: None,
        rejection_reason: None,
        cancel_requested_by: None,
        cancel_reason: None,
        conflicting_execution_id: None,
        // From now on it waits for a free worker.
        waits_since: (row.status == Status::Approved).then_some(row.created_at),
        queued_ms: 0,
        connect_tries: 0,
        claimed_by: None,
        outputs: Json(json!({})),
        output_summary: None,
        released_by: None,
        released_reason: None,
    })
}

fn context_vars(plan: &Plan) -> Map<String, Value> {
    let text = |text: &Text| match text {
        Text::Known(text) | Text::Hole(text) => Value::from(text.as_str()),
    };
    plan.environment.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// How long a batch takes members: the window of the blast radius that asked for it.
pub(super) fn blast_window(evaluation: &Evaluation) -> std::time::Duration {
    let seconds = evaluation
        .of_gate(Gate::BlastRadius)
        .and_then(|verdict| verdict.evidence.get("window_seconds"))
        .and_then(Value::as_u64);
    seconds.map_or(crate::limits::BLAST_RADIUS_WINDOW, std::time::Duration::from_secs)
}
