//! Taking old records away, a batch at a time: what ran out, and only what nobody needs any more.
//!
//! Never an execution that is not over or holds its server, nor anything under a legal hold. The audit log goes from its
//! beginning only, and says in an event, which is in the chain itself, where the rest begins.

use std::collections::BTreeSet;

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::json;

use super::audit::AuditRow;
use super::audit_links::{self, LinkRow};
use super::holds::{self, HoldRow};
use super::schema::*;
use super::{Db, HoldScope, StoreError, audit, each_backend, schema};
use crate::alert::episode::EpisodeState;
use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::execution::Status;
use crate::id::{AlertId, AttemptId, DeliveryId, EpisodeId, ExecutionId};

/// What must stay.
struct Kept {
    everything: bool,
    executions: Vec<ExecutionId>,
    runbooks: Vec<String>,
    servers: Vec<String>,
}

impl Kept {
    /// What must stay until this transaction is over.
    fn read(db: &mut Db) -> Result<Self, StoreError> {
        super::lock_retention(db)?;
        let holds = holds::active(db)?;
        let names = |scope: HoldScope| -> Vec<String> {
            holds.iter().filter(|hold: &&HoldRow| hold.scope == scope).map(|hold| hold.name.clone()).collect()
        };
        Ok(Self {
            everything: holds.iter().any(|hold| hold.scope == HoldScope::All),
            executions: names(HoldScope::Execution).iter().filter_map(|name| name.parse().ok()).collect(),
            runbooks: names(HoldScope::Runbook),
            servers: names(HoldScope::Server),
        })
    }

    /// The same, and what is being undone: its undos ask for what its steps printed. Nobody begins to undo meanwhile.
    fn read_with_undone(db: &mut Db) -> Result<Self, StoreError> {
        super::lock_decisions(db)?;
        let mut kept = Self::read(db)?;
        let undone: Vec<Option<ExecutionId>> = each_backend!(db, c => execution_details::table
            .inner_join(executions::table)
            .filter(execution_details::rollback_of.is_not_null())
            .filter(executions::status.ne_all(finals()))
            .select(execution_details::rollback_of)
            .load(c))?;
        kept.executions.extend(undone.into_iter().flatten());
        Ok(kept)
    }

    /// An event of the log tells of what must stay.
    fn is_about(&self, event: &AuditRow) -> bool {
        let told = |key: &str| event.payload_json.0.get(key).and_then(serde_json::Value::as_str);
        let of = |kind: &str| (event.resource_type == kind).then_some(event.resource_id.as_str());
        let names = |names: &[String], found: Option<&str>| found.is_some_and(|name| names.iter().any(|n| n == name));
        names(&self.runbooks, of("runbook"))
            || names(&self.runbooks, told("runbook"))
            || names(&self.servers, of("server"))
            || names(&self.servers, told("server"))
    }
}

fn finals() -> Vec<Status> {
    Status::ALL.iter().copied().filter(|status| status.is_final()).collect()
}

/// Executions that ended before `before` and nobody needs, oldest first.
macro_rules! ended {
    ($kept:expr, $before:expr) => {
        executions::table
            .filter(executions::status.eq_any(finals()))
            .filter(executions::created_at.lt($before))
            .filter(executions::completed_at.is_null().or(executions::completed_at.lt($before)))
            .filter(executions::id.ne_all($kept.executions.clone()))
            .filter(executions::runbook.ne_all($kept.runbooks.clone()))
            .filter(executions::server.ne_all($kept.servers.clone()))
            .filter(executions::id.ne_all(target_locks::table.select(target_locks::execution_id)))
    };
}

/// Takes away what attempts printed whose executions ended before `before`. Answers how many.
pub fn outputs(db: &mut Db, before: Timestamp, limit: i64) -> Result<usize, StoreError> {
    let kept = Kept::read_with_undone(db)?;
    if kept.everything {
        return Ok(0);
    }
    Ok(each_backend!(db, c => {
        let over = ended!(kept, before).select(executions::id);
        let attempts: Vec<AttemptId> = outputs::table
            .inner_join(attempts::table)
            .filter(attempts::execution_id.eq_any(over))
            .select(outputs::attempt_id)
            .distinct()
            .limit(limit)
            .load(c)?;
        diesel::delete(outputs::table.filter(outputs::attempt_id.eq_any(attempts))).execute(c)
    })?)
}

/// Takes away executions that ended before `before`, with all that is of them but the audit log. Answers how many.
pub fn executions(db: &mut Db, before: Timestamp, limit: i64) -> Result<usize, StoreError> {
    let kept = Kept::read_with_undone(db)?;
    if kept.everything {
        return Ok(0);
    }
    Ok(each_backend!(db, c => {
        let ids: Vec<ExecutionId> =
            ended!(kept, before).order(executions::id).select(executions::id).limit(limit).load(c)?;
        let of = attempts::table.filter(attempts::execution_id.eq_any(ids.clone())).select(attempts::id);
        let tried: Vec<AttemptId> = of.load(c)?;
        for tried in tried.chunks(500) {
            diesel::delete(outputs::table.filter(outputs::attempt_id.eq_any(tried.to_vec()))).execute(c)?;
        }
        diesel::delete(attempts::table.filter(attempts::execution_id.eq_any(ids.clone()))).execute(c)?;
        diesel::delete(steps::table.filter(steps::execution_id.eq_any(ids.clone()))).execute(c)?;
        diesel::delete(execution_events::table.filter(execution_events::execution_id.eq_any(ids.clone()))).execute(c)?;
        diesel::delete(execution_leases::table.filter(execution_leases::execution_id.eq_any(ids.clone()))).execute(c)?;
        diesel::delete(execution_details::table.filter(execution_details::execution_id.eq_any(ids.clone())))
            .execute(c)?;
        diesel::delete(executions::table.filter(executions::id.eq_any(ids))).execute(c)
    })?)
}

/// Takes away episodes that ended before `before` and have no execution any more, with their alerts and decisions.
/// Answers how many.
pub fn episodes(db: &mut Db, before: Timestamp, limit: i64) -> Result<usize, StoreError> {
    let kept = Kept::read(db)?;
    if kept.everything {
        return Ok(0);
    }
    Ok(each_backend!(db, c => {
        let has_run = executions::table.filter(executions::episode_id.eq(episodes::id.nullable()));
        // An alert that a run by hand was made from stays with that run.
        let is_used = alerts::table
            .inner_join(executions::table.on(executions::alert_id.eq(alerts::id.nullable())))
            .filter(alerts::episode_id.eq(episodes::id));
        let is_held = decisions::table
            .filter(decisions::episode_id.eq(episodes::id))
            .filter(decisions::runbook.eq_any(kept.runbooks.clone()).or(decisions::server.eq_any(kept.servers.clone())));
        let ids: Vec<EpisodeId> = episodes::table
            .filter(episodes::state.ne(EpisodeState::Open))
            .filter(episodes::updated_at.lt(before))
            .filter(not(exists(has_run)))
            .filter(not(exists(is_used)))
            .filter(not(exists(is_held)))
            .order(episodes::id)
            .select(episodes::id)
            .limit(limit)
            .load(c)?;
        diesel::delete(decisions::table.filter(decisions::episode_id.eq_any(ids.clone()))).execute(c)?;
        let told: Vec<AlertId> =
            alerts::table.filter(alerts::episode_id.eq_any(ids.clone())).select(alerts::id).load(c)?;
        for told in told.chunks(500) {
            diesel::delete(alerts::table.filter(alerts::id.eq_any(told.to_vec()))).execute(c)?;
        }
        diesel::delete(episodes::table.filter(episodes::id.eq_any(ids))).execute(c)
    })?)
}

/// Takes away deliveries from before `before` of which no alert is left. Answers how many.
pub fn deliveries(db: &mut Db, before: Timestamp, limit: i64) -> Result<usize, StoreError> {
    if Kept::read(db)?.everything {
        return Ok(0);
    }
    Ok(each_backend!(db, c => {
        let has_alert = alerts::table.filter(alerts::delivery_id.eq(deliveries::id));
        let ids: Vec<DeliveryId> = deliveries::table
            .filter(deliveries::received_at.lt(before))
            .filter(not(exists(has_alert)))
            .order(deliveries::received_at)
            .select(deliveries::id)
            .limit(limit)
            .load(c)?;
        diesel::delete(quarantined_alerts::table.filter(quarantined_alerts::delivery_id.eq_any(ids.clone()))).execute(c)?;
        diesel::delete(deliveries::table.filter(deliveries::id.eq_any(ids))).execute(c)
    })?)
}

/// Takes away the beginning of the audit log, as far as it is from before `before`, and nothing of it is of an execution
/// that is not over or under a legal hold. Answers how many.
pub fn audit_log(
    db: &mut Db,
    before: Timestamp,
    limit: i64,
    policy_version: &str,
    now: Timestamp,
) -> Result<usize, StoreError> {
    super::lock_chain(db)?;
    let kept = Kept::read(db)?;
    if kept.everything {
        return Ok(0);
    }
    let Some(first) = audit_links::first(db)? else { return unchained(db, &kept, before, limit, policy_version, now) };
    let rows = audit_links::after(db, first.position - 1, limit)?;
    let concerned: Vec<ExecutionId> = rows
        .iter()
        .filter_map(|(_, event)| event.as_ref()?.execution_id)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let needed = needed(db, &kept, &concerned)?;
    // Evidence of a deletion stays, too: an event that is missing ends it.
    let goes = |(_, event): &&(LinkRow, Option<AuditRow>)| {
        event.as_ref().is_some_and(|event| goes(event, &kept, &needed, before))
    };
    let mut gone: Vec<LinkRow> = rows.iter().take_while(goes).map(|(link, _)| link.clone()).collect();
    // The chain goes on from its last link.
    let head = audit_links::head(db)?;
    gone.retain(|link| head.as_ref().is_some_and(|head| link.position < head.position));
    let Some(last) = gone.last() else { return Ok(0) };
    permit(db, last.position, 0)?;
    let seqs: Vec<i64> = gone.iter().map(|link| link.seq).collect();
    let count = each_backend!(db, c => {
        let count = diesel::delete(audit_events::table.filter(audit_events::seq.eq_any(seqs))).execute(c)?;
        diesel::delete(schema::audit_links::table.filter(schema::audit_links::position.le(last.position))).execute(c)?;
        diesel::delete(audit_permits::table).execute(c)?;
        Ok::<_, diesel::result::Error>(count)
    })?;
    let payload = json!({
        "throughPosition": last.position, "mac": last.mac, "events": count, "before": before,
    });
    audit::append(db, &NewEvent::of(EventKind::AuditPruned, "engine", "audit", "log", payload), policy_version, now)?;
    Ok(count)
}

fn goes(event: &AuditRow, kept: &Kept, needed: &BTreeSet<ExecutionId>, before: Timestamp) -> bool {
    event.created_at < before && event.execution_id.is_none_or(|id| !needed.contains(&id)) && !kept.is_about(event)
}

fn unchained(
    db: &mut Db,
    kept: &Kept,
    before: Timestamp,
    limit: i64,
    policy_version: &str,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let rows = audit::oldest(db, &audit::AuditFilter::default(), 0, limit)?;
    // Then it was chained, and somebody took the chain away: what is left of it stays.
    if audit_links::is_last_sealed(db)? || rows.iter().any(|row| row.mac.is_some()) {
        return Ok(0);
    }
    let concerned: Vec<ExecutionId> =
        rows.iter().filter_map(|row| row.execution_id).collect::<BTreeSet<_>>().into_iter().collect();
    let needed = needed(db, kept, &concerned)?;
    let gone: Vec<i64> = rows.iter().take_while(|row| goes(row, kept, &needed, before)).map(|row| row.seq).collect();
    let Some(last) = gone.last().copied() else { return Ok(0) };
    permit(db, 0, last)?;
    let count = each_backend!(db, c => {
        let count = diesel::delete(audit_events::table.filter(audit_events::seq.eq_any(gone))).execute(c)?;
        diesel::delete(audit_permits::table).execute(c)?;
        Ok::<_, diesel::result::Error>(count)
    })?;
    let payload = json!({ "throughSeq": last, "events": count, "before": before });
    audit::append(db, &NewEvent::of(EventKind::AuditPruned, "engine", "audit", "log", payload), policy_version, now)?;
    Ok(count)
}

/// Which of these executions are not over, hold a server, or are under a legal hold.
fn needed(db: &mut Db, kept: &Kept, of: &[ExecutionId]) -> Result<BTreeSet<ExecutionId>, StoreError> {
    let rows: Vec<(ExecutionId, Status, String, String)> = each_backend!(db, c => executions::table
        .filter(executions::id.eq_any(of.to_vec()))
        .select((executions::id, executions::status, executions::runbook, executions::server))
        .load(c))?;
    let held: Vec<ExecutionId> =
        each_backend!(db, c => target_locks::table.select(target_locks::execution_id).load(c))?;
    let known: BTreeSet<ExecutionId> = rows.iter().map(|(id, ..)| *id).collect();
    let mut needed: BTreeSet<ExecutionId> = rows
        .into_iter()
        .filter(|(id, status, runbook, server)| {
            !status.is_final() || held.contains(id) || kept.runbooks.contains(runbook) || kept.servers.contains(server)
        })
        .map(|(id, ..)| id)
        .collect();
    needed.extend(kept.executions.iter().copied());
    if !(kept.runbooks.is_empty() && kept.servers.is_empty()) {
        // Whose they were that are gone, only the log itself can tell.
        needed.extend(of.iter().filter(|id| !known.contains(id)));
    }
    Ok(needed)
}

fn permit(db: &mut Db, position: i64, seq: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit_permits (through_position, through_seq) VALUES ($1, $2)";
    each_backend!(db, c => diesel::sql_query(sql).bind::<BigInt, _>(position).bind::<BigInt, _>(seq).execute(c))?;
    Ok(())
}
