//! The safety gates: every one is asked, in a fixed order, and says why.
//!
//! Pure: `engine/gating` reads the [`Facts`] in the transaction that will create or start the execution, calls
//! [`evaluate`], and writes what it says. It never stops at the first objection, so that `explain` can show all.
//! A new gate is a variant of [`Gate`], a field of [`Facts`], a file here, and a line in [`evaluate`].

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The gates in the order in which they are asked and shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Nothing starts while a pause is on: global, for a runbook, a server or a group.
    KillSwitch,
    /// `active`, `disabled` or `draft`.
    RunbookStatus,
    /// Types, patterns, required ones.
    Parameters,
    /// Exactly one server of the inventory, allowed by the runbook.
    Target,
    /// Every command renders to safe text.
    Plan,
    /// The server is under maintenance.
    Maintenance,
    /// A window in which nothing may start.
    Blackout,
    /// The trigger ran on this target a moment ago.
    Cooldown,
    /// The runbook completed on this target a moment ago.
    RecentlyRemediated,
    /// Too many failed or ineffective runs: a loop or a flap.
    Attempts,
    /// Executions per window of the runbook, the server, all.
    RateLimit,
    /// The runbook failed too often in a row.
    CircuitBreaker,
    /// This episode and trigger have an execution already.
    Duplicate,
    /// Another execution holds the target.
    TargetLock,
    /// Too many distinct targets of a group in a short time.
    BlastRadius,
    /// The alert has not fired for long enough, or not often enough.
    TooYoung,
    /// The alert has gone, or is too old.
    StillFiring,
    /// `auto`, `semi_auto`, `requires_approval`, `manual`, `observe`.
    Mode,
}

/// A gate's answer. The worst of all answers wins: refuse > hold > approve > allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "until")]
pub enum Verdict {
    /// No objection.
    Allow,
    /// A person must say yes.
    Approve,
    /// Not now; the moment at which to ask again, or `None` until something is released.
    Hold(Option<Timestamp>),
    /// No.
    Refuse,
}
