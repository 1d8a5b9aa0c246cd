//! When each stage looks for work: when it is woken, and at least once per poll interval.
//!
//! Polling is the truth: a lost wake-up, a restart or another process's write costs one interval, never the work.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::ledger::{refusals, seal};
use super::{Engine, acts, dispatch, fetch, forget, gating, matching, recover, replica, retention};
use crate::limits;
use crate::store::StoreError;

/// Starts every stage; the tasks end after [`Engine::stopping`] is set and what they were at is done. Executions are
/// spawned on `runs`.
pub fn start(engine: &Arc<Engine>, runs: &TaskTracker) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let e = Arc::clone(engine);
    tasks.spawn(async move {
        repeat(&e, "matching", &e.wake.matching, || async { matching::decide_waiting(&e).await.map(drop) }).await;
    });
    let e = Arc::clone(engine);
    tasks.spawn(async move {
        repeat(&e, "gating", &e.wake.gating, || async {
            if !e.replica.keeps_house() {
                return Ok(());
            }
            acts::expire(&e).await?;
            gating::recheck_due(&e).await.map(drop)
        })
        .await;
    });
    let (e, r) = (Arc::clone(engine), runs.clone());
    tasks.spawn(async move {
        let looked = Mutex::new(None::<Instant>);
        repeat(&e, "dispatch", &e.wake.dispatch, || async {
            // What is new needs no taking up: it is looked for at each poll, and not at each wake-up.
            let now = e.clock.instant();
            let last = *looked.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= limits::POLL_INTERVAL / 2);
            if !is_due {
                return dispatch::start_free(&e, &r).await.map(drop);
            }
            recover::take_up(&e, &r).await?;
            *looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            dispatch::start_due(&e, &r).await.map(drop)
        })
        .await;
    });
    let e = Arc::clone(engine);
    tasks.spawn(async move {
        repeat(&e, "replica", &e.wake.replica, || replica::look(&e)).await;
    });
    let e = Arc::clone(engine);
    tasks.spawn(async move {
        let never = Notify::new();
        repeat(&e, "forget", &never, || async {
            if e.replica.keeps_house() {
                forget::forget(&e).await?;
                retention::apply(&e).await?;
            }
            // It is a write, and nothing waits for it.
            tokio::select! {
                () = e.stopping.cancelled() => {}
                () = tokio::time::sleep(limits::FORGET_INTERVAL) => {}
            }
            Ok(())
        })
        .await;
    });
    let e = Arc::clone(engine);
    tasks.spawn(async move { repeat(&e, "seal", &Notify::new(), || seal::keep_sealed(&e)).await });
    let e = Arc::clone(engine);
    tasks.spawn(async move {
        repeat(&e, "anchor", &Notify::new(), || async {
            seal::keep_anchored(&e).await;
            Ok(())
        })
        .await;
    });
    let e = Arc::clone(engine);
    tasks.spawn(async move {
        repeat(&e, "refusals", &Notify::new(), || async {
            refusals::record(&e).await?;
            tokio::select! {
                () = e.stopping.cancelled() => {}
                () = tokio::time::sleep(limits::REFUSALS_EVERY) => {}
            }
            Ok(())
        })
        .await;
    });
    let e = Arc::clone(engine);
    tasks.spawn(async move { repeat(&e, "fetch", e.fetch.woken(), || fetch::run(&e)).await });
    tasks
}

/// Renews the lease until it is aborted, also while the engine stops: what still runs is ours to the end.
pub async fn keep_lease(engine: Arc<Engine>) {
    let mut failures: u32 = 0;
    loop {
        let pause = if failures == 0 { engine.replica.renewal() } else { engine.replica.renewal() / 10 };
        tokio::time::sleep(pause).await;
        match replica::renew(&engine).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::error!(%error, failures, "the lease is not renewed; nothing new is started when its time is over");
            }
        }
    }
}

/// Runs `stage` again and again until the engine stops. An error is logged once, here; the work is still there.
async fn repeat<R>(engine: &Engine, name: &'static str, wake: &Notify, stage: impl Fn() -> R)
where
    R: Future<Output = Result<(), StoreError>>,
{
    let mut failures: u32 = 0;
    while !engine.stopping.is_cancelled() {
        // A process that stood still hears first what it has lost.
        tokio::select! {
            () = engine.stopping.cancelled() => break,
            () = engine.replica.granted() => {}
        }
        let pause = match stage().await {
            Ok(()) => {
                failures = 0;
                limits::POLL_INTERVAL
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::error!(stage = name, %error, failures, "the stage will try again");
                backoff(failures)
            }
        };
        tokio::select! {
            () = engine.stopping.cancelled() => break,
            () = wake.notified(), if failures == 0 => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Longer after each failure, so that a database that is gone is not hammered.
fn backoff(failures: u32) -> Duration {
    limits::POLL_INTERVAL.saturating_mul(1 << failures.min(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_failures_grows_and_is_bounded() {
        assert_eq!(backoff(1), Duration::from_secs(2));
        assert_eq!(backoff(1_000), Duration::from_secs(16));
    }
}
