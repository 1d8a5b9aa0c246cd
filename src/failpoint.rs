//! Named points at which a test may end the process: each durable boundary of the engine has one.
//!
//! Built with the feature `failpoints` only; a release has none of it. `DOUSE_FAILPOINT=name:count` ends the process at
//! the `count`-th pass of `name`, as `kill -9` would: nothing is flushed, nothing is dropped. `tests/crash` uses it.

/// Before a delivery's transaction ends.
pub const INGEST_UNCOMMITTED: &str = "ingest.uncommitted";
/// A delivery is durable, its sender does not know.
pub const INGEST_COMMITTED: &str = "ingest.committed";
/// An episode is decided, before its transaction ends.
pub const DECIDE_UNCOMMITTED: &str = "decide.uncommitted";
/// Decisions are durable, nobody was told.
pub const DECIDE_COMMITTED: &str = "decide.committed";
/// A claim is made, before its transaction ends.
pub const CLAIM_UNCOMMITTED: &str = "claim.uncommitted";
/// A claim is durable, nothing runs yet.
pub const CLAIM_COMMITTED: &str = "claim.committed";
/// An attempt's intent is durable, the host knows nothing of it.
pub const ATTEMPT_INTENDED: &str = "attempt.intended";
/// An attempt is over on the host, and nothing of that is durable.
pub const ATTEMPT_PERFORMED: &str = "attempt.performed";
/// An attempt's outcome is durable, what follows is not.
pub const ATTEMPT_RECORDED: &str = "attempt.recorded";
/// The same three of an undo.
pub const UNDO_INTENDED: &str = "undo.intended";
pub const UNDO_PERFORMED: &str = "undo.performed";
pub const UNDO_RECORDED: &str = "undo.recorded";
/// An attempt of another engine is taken up, and its host has not been asked yet.
pub const ATTEMPT_REATTACHED: &str = "attempt.reattached";
/// The same of an undo.
pub const UNDO_REATTACHED: &str = "undo.reattached";
/// An event of an execution is written, its audit events too, before their transaction ends.
pub const AUDIT_UNCOMMITTED: &str = "audit.uncommitted";
/// An execution's end is durable, nobody was told.
pub const RESULT_COMMITTED: &str = "result.committed";
/// A SIGTERM has come, and what runs is waited for.
pub const SHUTDOWN_DRAINING: &str = "shutdown.draining";

/// All of them.
pub const ALL: [&str; 17] = [
    INGEST_UNCOMMITTED,
    INGEST_COMMITTED,
    DECIDE_UNCOMMITTED,
    DECIDE_COMMITTED,
    CLAIM_UNCOMMITTED,
    CLAIM_COMMITTED,
    ATTEMPT_INTENDED,
    ATTEMPT_PERFORMED,
    ATTEMPT_RECORDED,
    UNDO_INTENDED,
    UNDO_PERFORMED,
    UNDO_RECORDED,
    ATTEMPT_REATTACHED,
    UNDO_REATTACHED,
    AUDIT_UNCOMMITTED,
    RESULT_COMMITTED,
    SHUTDOWN_DRAINING,
];

/// Passes the point `name`.
pub fn pass(name: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name);
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// Arms the point that `DOUSE_FAILPOINT` names. Without the feature that variable is refused: a test must not believe in
/// a crash that never comes.
pub fn arm() -> Result<(), String> {
    match std::env::var("DOUSE_FAILPOINT") {
        Ok(wanted) => arm_one(&wanted),
        Err(_) => Ok(()),
    }
}

#[cfg(not(feature = "failpoints"))]
fn arm_one(wanted: &str) -> Result<(), String> {
    Err(format!("DOUSE_FAILPOINT={wanted}: this build has no failpoints (`--features failpoints`)"))
}

#[cfg(feature = "failpoints")]
fn arm_one(wanted: &str) -> Result<(), String> {
    use std::sync::atomic::{AtomicU32, Ordering};

    let (name, count) = wanted.split_once(':').unwrap_or((wanted, "1"));
    let count: u32 = count.parse().map_err(|_| format!("DOUSE_FAILPOINT={wanted}: `{count}` is no count"))?;
    if !ALL.contains(&name) {
        return Err(format!("DOUSE_FAILPOINT={wanted}: there is no `{name}`; there are {}", ALL.join(", ")));
    }
    let passes = AtomicU32::new(0);
    fail::cfg_callback(name, move || {
        if passes.fetch_add(1, Ordering::SeqCst) + 1 == count {
            std::process::abort();
        }
    })
}
