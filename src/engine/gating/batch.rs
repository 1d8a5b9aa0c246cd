//! Batches: one yes for all runs of a runbook that went beyond the blast radius of a group together.
//!
//! A batch takes members for the length of the window; later ones open a new batch, so that nobody agrees to more than
//! was shown. Answering one is `engine/acts`'s.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::execution::Status;
use crate::id::{BatchId, ExecutionId};
use crate::store::batches::{self, BatchRow};
use crate::store::{BatchMember, BatchState, Db, Json, Page, StoreError, executions, lock_decisions};

/// Batches that are looked at in one go.
const PAGE: Page<BatchId> = Page { before: None, limit: crate::limits::PAGE_MAX };

/// Adds an execution to the open batch of its runbook and group, or opens one.
pub(super) fn join(
    db: &mut Db,
    runbook: &str,
    group: Option<&str>,
    execution: ExecutionId,
    plan_hash: &str,
    window: Duration,
    now: Timestamp,
) -> Result<BatchId, StoreError> {
    let group = group.unwrap_or_default();
    let member = BatchMember { execution_id: execution, plan_hash: plan_hash.to_owned() };
    if let Some(open) = batches::open(db, runbook, group)? {
        let mut batch = open;
        if batch.window_ends_at > now {
            batch.members_json.0.retain(|known| known.execution_id != execution);
            batch.members_json.0.push(member);
            batches::update(db, BatchState::Open, &batch)?;
            return Ok(batch.id);
        }
        batch.state = BatchState::Closed;
        batches::update(db, BatchState::Open, &batch)?;
    }
    let batch = BatchRow {
        id: BatchId::new(),
        runbook: runbook.to_owned(),
        server_group: group.to_owned(),
        state: BatchState::Open,
        window_ends_at: now.plus(window),
        members_json: Json(vec![member]),
        created_at: now,
        decided_at: None,
        decided_by: None,
        reason: None,
    };
    batches::insert(db, &batch)?;
    Ok(batch.id)
}

/// Whether some batch may have to be closed or ended: few are open at a time, and mostly none is.
pub(super) fn is_untidy(db: &mut Db) -> Result<bool, StoreError> {
    Ok(!batches::list(db, &[BatchState::Open, BatchState::Closed], PAGE)?.rows.is_empty())
}

/// Closes the batches whose window is over, and ends those of which no member waits any more.
pub(super) fn tidy(db: &mut Db, now: Timestamp) -> Result<(), StoreError> {
    // Another may be joining one.
    lock_decisions(db)?;
    for batch in batches::list(db, &[BatchState::Open, BatchState::Closed], PAGE)?.rows {
        let mut is_waiting = false;
        for member in &batch.members_json.0 {
            is_waiting |= executions::get(db, member.execution_id)?.status == Status::Pending;
        }
        let state = match (is_waiting, batch.window_ends_at <= now) {
            (false, _) => BatchState::Expired,
            (true, true) => BatchState::Closed,
            (true, false) => BatchState::Open,
        };
        if state != batch.state {
            let decided_at = (state == BatchState::Expired).then_some(now);
            let from = batch.state;
            batches::update(db, from, &BatchRow { state, decided_at, ..batch })?;
        }
    }
    Ok(())
}
