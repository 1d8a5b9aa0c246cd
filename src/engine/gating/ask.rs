//! Asking all gates about a run that is new, or about one that exists.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::engine::Policy;
use crate::engine::record::Loaded;
use crate::execution::Origin;
use crate::gate::circuit_breaker::BreakerState;
use crate::gate::queue::queued_for;
use crate::gate::{Evaluation, Facts, Gate, evaluate};
use crate::runbook::plan::plan_hash;
use crate::store::facts::Asking;
use crate::store::{Db, StoreError, alerts};

use super::facts::{self, Question};
use super::prepare::{Incident, Prepared, Wanted};

/// What was asked, and what all gates said.
pub(super) struct Asked {
    pub prepared: Prepared,
    pub evaluation: Evaluation,
    /// The breaker is half-open, and this run would be its probe.
    pub is_probe: bool,
}

/// Asks about a run that does not exist yet.
pub(super) fn ask(
    db: &mut Db,
    policy: &Policy,
    origin: Origin,
    wanted: &Wanted<'_>,
    queued: std::time::Duration,
    now: Timestamp,
) -> Result<Asked, StoreError> {
    let prepared = Prepared::new(policy, wanted);
    let question = Question {
        origin,
        runbook: wanted.runbook,
        trigger: wanted.trigger,
        incident: wanted.incident,
        prepared: &prepared,
        asking: None,
        approved: None,
        queued_for: queued,
    };
    let facts = facts::read(db, policy, &question, now)?;
    let is_probe = is_probe(&facts, now);
    let evaluation = evaluate(&facts, now);
    Ok(Asked { prepared, evaluation, is_probe })
}

/// Asks about an execution again: it is left out of every count, and what a person agreed to is given.
pub(super) fn ask_again(db: &mut Db, policy: &Policy, loaded: &Loaded, now: Timestamp) -> Result<Asked, StoreError> {
    let Loaded { row, details, plan, .. } = loaded;
    let incident = incident_of(db, loaded)?;
    let none = BTreeMap::new();
    let wanted = Wanted {
        runbook: &row.runbook,
        trigger: row.trigger_name.as_deref(),
        incident: incident.as_ref(),
        server: Some(&row.server),
        parameters: &none,
    };
    let is_intact = plan_hash(plan).is_ok_and(|hash| hash == details.plan_hash);
    let prepared = Prepared::frozen(policy, &wanted, plan, &details.plan_hash, is_intact);
    let gates: Vec<Gate> = details.approval_gates.0.iter().filter_map(|gate| gate.parse().ok()).collect();
    let question = Question {
        origin: row.origin,
        runbook: &row.runbook,
        trigger: row.trigger_name.as_deref(),
        incident: incident.as_ref(),
        prepared: &prepared,
        asking: Some(Asking { execution: row.id, approved_at: row.approved_at.unwrap_or(now) }),
        approved: row.approved_by.as_deref().filter(|by| *by != AUTO).map(|by| (gates.as_slice(), by)),
        queued_for: queued_for(millis(details.queued_ms), details.waits_since, now),
    };
    let facts = facts::read(db, policy, &question, now)?;
    let is_probe = is_probe(&facts, now);
    let evaluation = evaluate(&facts, now);
    Ok(Asked { prepared, evaluation, is_probe })
}

/// Who approves what no gate wants a person for.
pub(super) const AUTO: &str = "auto";

/// A stored count of milliseconds.
pub(super) fn millis(stored: i64) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(stored).unwrap_or(0))
}

/// The alert for which an execution was made, with its episode as it is now.
fn incident_of(db: &mut Db, loaded: &Loaded) -> Result<Option<Incident>, StoreError> {
    let (Some(_), Some(alert)) = (loaded.row.episode_id, loaded.row.alert_id) else { return Ok(None) };
    let (alert, episode) = alerts::get_with_episode(db, alert)?;
    Ok(Some(Incident::stored(episode, &alert)))
}

fn is_probe(facts: &Facts, now: Timestamp) -> bool {
    let half_open = |facts: &crate::gate::circuit_breaker::Facts| {
        facts.spec.failure_threshold > 0 && facts.breaker.at(&facts.spec, now).state == BreakerState::HalfOpen
    };
    facts.subject.origin != Origin::Rollback && facts.circuit_breaker.as_ref().is_ok_and(half_open)
}
