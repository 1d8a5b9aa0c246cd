//! Applying the retention: old records go, in batches, so that nobody waits for long.
//!
//! Called by [`super::schedule`] on the replica that keeps house, and by `douse db prune`.

use serde_json::json;

use super::Engine;
use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::config::Retention;
use crate::limits;
use crate::store::{Db, Store, StoreError, audit, retention};

/// How many of each were taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Pruned {
    pub outputs: usize,
    pub executions: usize,
    pub episodes: usize,
    pub deliveries: usize,
    pub audit: usize,
}

/// Takes away what the configuration says is old enough.
pub async fn apply(engine: &Engine) -> Result<Pruned, StoreError> {
    let policy = engine.policy();
    let is_over = || engine.stopping.is_cancelled();
    let pruned = prune_until(&engine.store, policy.kept_for(), &policy.version, engine.clock.now(), &is_over).await?;
    if pruned != Pruned::default() {
        tracing::info!(?pruned, "records that the retention does not keep were taken away");
    }
    Ok(pruned)
}

/// The same without an engine.
pub async fn prune(
    store: &Store,
    kept_for: Retention,
    policy_version: &str,
    now: Timestamp,
) -> Result<Pruned, StoreError> {
    prune_until(store, kept_for, policy_version, now, &|| false).await
}

/// Whoever has to stop says so between two transactions; the rest follows another time.
async fn prune_until(
    store: &Store,
    kept_for: Retention,
    policy_version: &str,
    now: Timestamp,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    if let Some(output) = kept_for.output {
        let before = now.minus(output);
        pruned.outputs =
            batches(store, is_over, move |db| retention::outputs(db, before, limits::RETENTION_BATCH)).await?;
    }
    if let Some(records) = kept_for.executions {
        let before = now.minus(records);
        pruned.executions =
            batches(store, is_over, move |db| retention::executions(db, before, limits::RETENTION_BATCH)).await?;
        // What they were made from, once nothing is left that was made from it.
        pruned.episodes =
            batches(store, is_over, move |db| retention::episodes(db, before, limits::RETENTION_BATCH)).await?;
        pruned.deliveries =
            batches(store, is_over, move |db| retention::deliveries(db, before, limits::RETENTION_BATCH)).await?;
    }
    let records = Pruned { audit: 0, ..pruned };
    if records != Pruned::default() {
        let (version, payload) = (policy_version.to_owned(), json!(records));
        let event = NewEvent::of(EventKind::RecordsPruned, "engine", "storage", "retention", payload);
        store.write(move |db| audit::append(db, &event, &version, now)).await?;
    }
    if let Some(audit) = kept_for.audit {
        let (before, version) = (now.minus(audit), policy_version.to_owned());
        pruned.audit = batches(store, is_over, move |db| {
            retention::audit_log(db, before, limits::RETENTION_AUDIT_BATCH, &version, now)
        })
        .await?;
    }
    Ok(pruned)
}

/// One transaction after the other, until one finds nothing.
async fn batches(
    store: &Store,
    is_over: &(dyn Fn() -> bool + Sync),
    batch: impl Fn(&mut Db) -> Result<usize, StoreError> + Clone + Send + 'static,
) -> Result<usize, StoreError> {
    let mut count = 0;
    for _ in 0..limits::RETENTION_BATCHES_MAX {
        if is_over() {
            break;
        }
        let batch = batch.clone();
        match store.write(move |db| batch(db)).await? {
            0 => break,
            some => count += some,
        }
        tokio::task::yield_now().await;
    }
    Ok(count)
}
