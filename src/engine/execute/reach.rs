//! A host that cannot be reached before anything was run on it: another try later, or the end.
//!
//! Called by `engine/dispatch` before the claim, and by the run when the first attempt did not get through.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Policy;
use crate::engine::record::{Evidence, Loaded};
use crate::execution::Event;
use crate::execution::retry::Reach;

/// What follows when the host of an execution that has run nothing is not reached: another try, or the end.
pub(in crate::engine) fn later(
    loaded: &Loaded,
    reach: &Reach,
    message: &str,
    now: Timestamp,
) -> Vec<(Event, Evidence)> {
    let tries = loaded.state.reach_tries + 1;
    let since = loaded.state.unreached_since.unwrap_or(now);
    match reach.again(tries, since, now) {
        Some(retry_at) => vec![(Event::HostUnreachable { retry_at, message: message.to_owned() }, Evidence::None)],
        None => {
            let given_up = format!("{message}; given up after {tries} tries");
            vec![
                // Back first: only what is not running is given up.
                (Event::HostUnreachable { retry_at: now, message: message.to_owned() }, Evidence::None),
                (Event::GaveUp { message: given_up }, Evidence::None),
            ]
        }
    }
}

/// How often a host is tried: the runbook's word, else the limits'.
pub(in crate::engine) fn policy(policy: &Policy, loaded: &Loaded) -> Reach {
    let runbook = policy.runbooks.get(&loaded.row.runbook).map(|active| &active.runbook);
    // Switched off: tried for ever.
    let max_queue_age = runbook
        .and_then(|runbook| runbook.guard.max_queue_age)
        .or(policy.config.limits.max_queue_age)
        .filter(|age| !age.is_zero())
        .unwrap_or(Duration::MAX);
    Reach {
        max_retries: runbook.map_or(0, |runbook| runbook.max_retries),
        retry_delay: runbook.and_then(|runbook| runbook.retry_delay),
        max_queue_age,
    }
}
