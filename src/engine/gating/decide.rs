//! The decision about an episode and a trigger: every gate's answer, and the execution that may follow from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::engine::record::Author;
use crate::engine::{Engine, Policy};
use crate::execution::Origin;
use crate::gate::{Evaluation, GateVerdict, Reason, Verdict, queue};
use crate::id::{DecisionId, EpisodeId, ExecutionId};
use crate::store::decisions::{self, DecisionRow};
use crate::store::{Db, DecisionVerdict, Json, StoreError, alerts, audit, episodes, lock_decisions, triggers};
use crate::trigger::Selectable;

use super::ask::{AUTO, Asked, ask, millis};
use super::prepare::{Incident, Wanted};
use super::start::{Birth, start};

/// A decision, and what came of it.
#[derive(Clone, Debug)]
pub struct Decided {
    pub decision: DecisionRow,
    /// The gates' answers said something new: worth a line in the metrics.
    pub is_news: bool,
    /// The execution that was made now.
    pub execution: Option<ExecutionId>,
    secrets: BTreeMap<String, String>,
}

impl Decided {
    /// After the commit: counts it, keeps the execution's secrets, and wakes who starts it.
    pub fn announce(self, engine: &Engine) {
        if self.is_news {
            let runbook = self.decision.runbook.as_deref().unwrap_or_default();
            let reason = self.decision.skip_reason.as_deref().or(self.decision.hold_reason.as_deref());
            engine.metrics.decided(runbook, self.decision.verdict.as_str(), reason.unwrap_or_default());
            tracing::info!(
                decision = %self.decision.id,
                verdict = self.decision.verdict.as_str(),
                reason,
                runbook = self.decision.runbook,
                server = self.decision.server,
                execution = self.execution.map(|id| id.to_string()),
                "decided"
            );
        }
        if let Some(execution) = self.execution {
            engine.secrets.keep(execution, self.secrets);
            engine.wake.dispatch.notify_one();
        }
    }
}

/// Asks all gates about an episode that a trigger selects, and writes the decision with all that follows from it. One
/// that exists already is answered as it is.
pub fn decide(
    db: &mut Db,
    policy: &Arc<Policy>,
    incident: &Incident,
    entry: &Selectable,
    now: Timestamp,
) -> Result<Decided, StoreError> {
    lock_decisions(db)?;
    let Some((episode, alert)) = &incident.stored else {
        return Err(StoreError::Defect("an alert that is not stored cannot be decided".to_owned()));
    };
    let row = DecisionRow {
        alert_id: Some(*alert),
        runbook: Some(entry.runbook.clone()),
        trigger_name: Some(entry.trigger.name().to_owned()),
        trigger_position: i32::try_from(entry.position).ok(),
        ..blank(episode.id, policy, now)
    };
    if let Some(decided) = settle(db, policy, incident, (row, true), now)? {
        return Ok(decided);
    }
    let decision =
        decisions::find(db, episode.id, &entry.runbook, entry.trigger.name())?.ok_or(StoreError::NotFound)?;
    Ok(Decided { decision, is_news: false, execution: None, secrets: BTreeMap::new() })
}

/// Writes that no trigger selects an episode.
pub fn decide_no_match(
    db: &mut Db,
    policy: &Arc<Policy>,
    incident: &Incident,
    now: Timestamp,
) -> Result<Decided, StoreError> {
    let Some((episode, alert)) = &incident.stored else {
        return Err(StoreError::Defect("an alert that is not stored cannot be decided".to_owned()));
    };
    lock_decisions(db)?;
    let known = decisions::of_episode(db, episode.id)?;
    if let Some(decision) = known.into_iter().find(|row| row.verdict == DecisionVerdict::NoMatch) {
        return Ok(Decided { decision, is_news: false, execution: None, secrets: BTreeMap::new() });
    }
    let decision =
        DecisionRow { alert_id: Some(*alert), verdict: DecisionVerdict::NoMatch, ..blank(episode.id, policy, now) };
    decisions::insert(db, &decision)?;
    alerts::set_action(db, *alert, None, decision.verdict.as_str())?;
    tell(db, policy, &decision, &[], now)?;
    Ok(Decided { decision, is_news: true, execution: None, secrets: BTreeMap::new() })
}

/// Asks about a decision again: a held one whose moment has come, or any other that has no execution when a person wants
/// it. `None` when it has one, or is no longer there to be asked about.
pub fn decide_again(
    db: &mut Db,
    policy: &Arc<Policy>,
    id: DecisionId,
    now: Timestamp,
) -> Result<Option<Decided>, StoreError> {
    lock_decisions(db)?;
    let row = decisions::get(db, id)?;
    if row.execution_id.is_some() || row.verdict == DecisionVerdict::NoMatch {
        return Ok(None);
    }
    let episode = episodes::get(db, row.episode_id)?;
    let alert = match alerts::newest_firing(db, episode.id)? {
        Some(alert) => alert,
        None => match row.alert_id {
            Some(alert) => alerts::get(db, alert)?,
            None => return Err(StoreError::Defect(format!("decision {id} has no alert"))),
        },
    };
    let incident = Incident::stored(episode, &alert);
    settle(db, policy, &incident, (DecisionRow { rechecks: row.rechecks.saturating_add(1), ..row }, false), now)
}

/// Asks about every decision of an episode again, and decides for the triggers that select it only now: the files may have
/// changed since.
pub fn decide_episode_again(
    db: &mut Db,
    policy: &Arc<Policy>,
    id: EpisodeId,
    now: Timestamp,
) -> Result<Vec<Decided>, StoreError> {
    lock_decisions(db)?;
    let known = decisions::of_episode(db, id)?;
    let mut decided = Vec::new();
    for row in &known {
        decided.extend(decide_again(db, policy, row.id, now)?);
    }
    let Some(alert) = alerts::newest_firing(db, id)? else { return Ok(decided) };
    let episode = episodes::get(db, id)?;
    let began = episode.created_at;
    let incident = Incident::stored(episode, &alert);
    for entry in policy.triggers.select(&incident.source, &incident.alert, began) {
        let is_known = |row: &DecisionRow| {
            row.runbook.as_deref() == Some(&entry.runbook) && row.trigger_name.as_deref() == Some(entry.trigger.name())
        };
        if !known.iter().any(is_known) {
            decided.push(decide(db, policy, &incident, entry, now)?);
        }
    }
    Ok(decided)
}

/// Asks the gates about a decision's row, which is new or known, and writes the answer and what follows. `None`, and nothing is
/// written, when one that would be new is there already.
fn settle(
    db: &mut Db,
    policy: &Arc<Policy>,
    incident: &Incident,
    (row, is_new): (DecisionRow, bool),
    now: Timestamp,
) -> Result<Option<Decided>, StoreError> {
    let (Some(runbook), Some(trigger)) = (row.runbook.clone(), row.trigger_name.clone()) else {
        return Err(StoreError::Defect(format!("decision {} names no trigger", row.id)));
    };
    let none = BTreeMap::new();
    let wanted = Wanted {
        runbook: &runbook,
        trigger: Some(&trigger),
        incident: Some(incident),
        server: None,
        parameters: &none,
    };
    let queued = queue::queued_for(millis(row.queued_ms), row.waits_since, now);
    let asked = ask(db, policy, Origin::Alert, &wanted, queued, now)?;
    let before = row.clone();
    let mut row = with_answers(row, policy, &asked, queued, now)?;
    let execution = asked.evaluation.is_going_ahead().then(ExecutionId::new);
    row.execution_id = execution.or(row.execution_id);
    if is_new && !decisions::insert_new(db, &row)? {
        return Ok(None);
    }
    let mut is_written = is_new;
    if let Some(id) = execution {
        let birth = Birth {
            id,
            origin: Origin::Alert,
            asked: &asked,
            incident: Some(incident),
            trigger: Some(&trigger),
            decision: Some(row.id),
            retry_of: None,
            reason: None,
            idempotency: None,
        };
        let batch = start(db, &birth, &author(policy, now))?.row.batch_id;
        is_written &= batch == row.batch_id;
        row.batch_id = batch;
        if let Some(active) = &asked.prepared.active {
            triggers::triggered(db, active.id, &trigger, now)?;
        }
    }
    if !is_written {
        decisions::update(db, &row)?;
    }
    if let Some(alert) = row.alert_id {
        alerts::set_action(db, alert, Some(&trigger), row.verdict.as_str())?;
    }
    let is_news = before.gates_json.0 == Value::Array(Vec::new())
        || (before.verdict, &before.hold_reason, &before.skip_reason)
            != (row.verdict, &row.hold_reason, &row.skip_reason);
    if is_news {
        tell(db, policy, &row, &asked.evaluation.verdicts, now)?;
    }
    Ok(Some(Decided { decision: row, is_news, execution, secrets: asked.prepared.secrets }))
}

fn with_answers(
    row: DecisionRow,
    policy: &Policy,
    asked: &Asked,
    queued: std::time::Duration,
    now: Timestamp,
) -> Result<DecisionRow, StoreError> {
    let Asked { prepared, evaluation, .. } = asked;
    let leading = evaluation.leading().and_then(|leading| leading.reason).map(|reason| reason.as_str().to_owned());
    let skips = evaluation.outcome == Verdict::Refuse;
    Ok(DecisionRow {
        verdict: verdict(evaluation, row.rechecks > 0),
        runbook_version: prepared.active.as_ref().map(|active| active.version),
        server: prepared.server.as_ref().map(|server| server.name.clone()),
        server_group: prepared.server.as_ref().and_then(|server| server.group.clone()),
        held_until: match evaluation.outcome {
            Verdict::Hold(until) => until,
            Verdict::Allow | Verdict::Approve | Verdict::Refuse => None,
        },
        hold_reason: leading.clone().filter(|_| !skips),
        skip_reason: skip_reason(evaluation, leading, skips),
        conflicting_execution_id: evaluation.conflicting_execution(),
        queued_ms: i64::try_from(queued.as_millis()).unwrap_or(i64::MAX),
        waits_since: queue::is_queued(evaluation).then_some(now),
        gates_json: Json(serde_json::to_value(&evaluation.verdicts).map_err(|e| StoreError::Defect(e.to_string()))?),
        policy_version: policy.version.clone(),
        decided_at: now,
        ..row
    })
}

/// An ended episode is what is said of a decision that was held, whatever else stands against it.
fn skip_reason(evaluation: &Evaluation, leading: Option<String>, skips: bool) -> Option<String> {
    if !skips {
        return None;
    }
    if is_over(evaluation) { Some(Reason::Resolved.as_str().to_owned()) } else { leading }
}

fn is_over(evaluation: &Evaluation) -> bool {
    evaluation.verdicts.iter().any(|verdict| verdict.reason == Some(Reason::Resolved))
}

fn verdict(evaluation: &Evaluation, was_held: bool) -> DecisionVerdict {
    match evaluation.outcome {
        Verdict::Allow => DecisionVerdict::Allowed,
        Verdict::Approve => DecisionVerdict::Approval,
        Verdict::Hold(_) => DecisionVerdict::Held,
        Verdict::Refuse if evaluation.is_observed_only() => DecisionVerdict::Observed,
        Verdict::Refuse if was_held && is_over(evaluation) => DecisionVerdict::Withdrawn,
        Verdict::Refuse => DecisionVerdict::Refused,
    }
}

fn blank(episode: EpisodeId, policy: &Policy, now: Timestamp) -> DecisionRow {
    DecisionRow {
        id: DecisionId::new(),
        episode_id: episode,
        alert_id: None,
        runbook: None,
        runbook_version: None,
        trigger_name: None,
        trigger_position: None,
        server: None,
        server_group: None,
        verdict: DecisionVerdict::Held,
        held_until: None,
        hold_reason: None,
        waits_since: None,
        queued_ms: 0,
        skip_reason: None,
        conflicting_execution_id: None,
        gates_json: Json(Value::Array(Vec::new())),
        execution_id: None,
        batch_id: None,
        policy_version: policy.version.clone(),
        rechecks: 0,
        created_at: now,
        decided_at: now,
    }
}

/// The engine, deciding at `now`.
pub(super) fn author(policy: &Arc<Policy>, now: Timestamp) -> Author {
    Author { name: AUTO.to_owned(), ip_address: None, policy: Arc::clone(policy), now }
}

/// `DECIDED`, with every gate's answer by name and reason; the whole evidence stands in the decision.
fn tell(
    db: &mut Db,
    policy: &Policy,
    row: &DecisionRow,
    verdicts: &[GateVerdict],
    now: Timestamp,
) -> Result<(), StoreError> {
    let gates: Vec<Value> = verdicts
        .iter()
        .map(|one| json!({"gate": one.gate, "verdict": one.verdict.as_str(), "reason": one.reason}))
        .collect();
    let payload = json!({
        "decisionId": row.id, "runbook": row.runbook, "runbookVersion": row.runbook_version,
        "trigger": row.trigger_name, "server": row.server, "verdict": row.verdict, "heldUntil": row.held_until,
        "holdReason": row.hold_reason, "skipReason": row.skip_reason,
        "conflictingExecutionId": row.conflicting_execution_id, "gates": gates,
    });
    let mut event = NewEvent::of(EventKind::Decided, "engine", "decision", row.id.to_string(), payload);
    (event.episode, event.execution) = (Some(row.episode_id), row.execution_id);
    audit::append(db, &event, &policy.version, now)?;
    Ok(())
}
