//! Identifiers: one newtype per kind of row, all UUIDv7 so that they sort by creation time.
//!
//! Called from everywhere; the only place that makes random ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id, ordered after all ids made before it on this machine.
            #[expect(clippy::new_without_default, reason = "a default id would be a different id each time")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+ };
}

ids! {
    /// One webhook request.
    DeliveryId,
    /// One label set with a status, as one delivery told it.
    AlertId,
    /// One incident of one alert.
    EpisodeId,
    /// All gates' verdicts for one episode and trigger.
    DecisionId,
    /// A runbook known to the database.
    RunbookId,
    /// A server known to the database.
    ServerId,
    /// One run of a plan.
    ExecutionId,
    /// One entry of a plan as it is run.
    StepRunId,
    /// One try of one step; the id that a host may see started at most once.
    AttemptId,
    /// A window in which nothing may start.
    BlackoutId,
    /// One use of the kill switch.
    PauseId,
    /// One approval of several executions at once.
    BatchId,
    /// One row of the audit log.
    AuditEventId,
    /// One legal hold.
    HoldId,
    /// One `douse serve`, from its start to its end.
    ReplicaId,
    /// Somebody who may log in.
    UserId,
    /// One API token of a user.
    TokenId,
    /// One log-in, from its beginning to its end.
    SessionId,
    /// One set-up token.
    SetupTokenId,
}
