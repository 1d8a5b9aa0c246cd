//! The safety gates: every one is asked, in a fixed order, and says why.
//!
//! Pure: `engine/gating` reads the [`Facts`] in the transaction that will create or start the execution, calls
//! [`evaluate()`], and writes what it says. It never stops at the first objection, so that `explain` can show all.
//! What a gate cannot know, it refuses. A new gate is a variant of [`Gate`], a field of [`Facts`], a file here, and a
//! line in [`evaluate()`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::execution::Origin;
use crate::words::words;

pub mod attempts;
pub mod blackout;
pub mod blast_radius;
pub mod circuit_breaker;
pub mod cooldown;
pub mod duplicate;
pub mod evaluate;
pub mod explain;
pub mod kill_switch;
pub mod maintenance;
pub mod mode;
pub mod parameters;
pub mod phrase;
pub mod plan;
pub mod queue;
pub mod rate_limit;
pub mod recently_remediated;
pub mod runbook_status;
pub mod still_firing;
pub mod target;
pub mod target_lock;
pub mod too_young;

#[cfg(test)]
mod tests;

pub use evaluate::{Evaluation, evaluate};

words! {
    /// The gates in the order in which they are asked and shown.
    Gate {
        /// Nothing starts while a pause is on: global, for a runbook, a server or a group.
        KillSwitch = "kill_switch",
        /// `active`, `disabled` or `draft`.
        RunbookStatus = "runbook_status",
        /// Types, patterns, required ones.
        Parameters = "parameters",
        /// Exactly one server of the inventory, allowed by the runbook.
        Target = "target",
        /// Every command renders to safe text.
        Plan = "plan",
        /// The server is under maintenance.
        Maintenance = "maintenance",
        /// A window in which nothing may start.
        Blackout = "blackout",
        /// The trigger ran on this target a moment ago.
        Cooldown = "cooldown",
        /// The runbook completed on this target a moment ago.
        RecentlyRemediated = "recently_remediated",
        /// Too many failed or ineffective runs: a loop or a flap.
        Attempts = "attempts",
        /// Executions per window of the runbook, the server, all.
        RateLimit = "rate_limit",
        /// The runbook failed too often in a row.
        CircuitBreaker = "circuit_breaker",
        /// This episode and trigger have an execution already.
        Duplicate = "duplicate",
        /// Another execution holds the target.
        TargetLock = "target_lock",
        /// Too many distinct targets of a group in a short time.
        BlastRadius = "blast_radius",
        /// The alert has not fired for long enough, or not often enough.
        TooYoung = "too_young",
        /// The alert has gone, or is too old.
        StillFiring = "still_firing",
        /// `auto`, `semi_auto`, `requires_approval`, `manual`, `observe`.
        Mode = "mode",
    }
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

impl Verdict {
    /// The word used in the database, the API and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Approve => "approve",
            Self::Hold(_) => "hold",
            Self::Refuse => "refuse",
        }
    }
}

words! {
    /// Why a gate objects: a bounded set, so that it can be a metric's label and a column.
    Reason {
        /// The kill switch is on.
        Paused = "paused",
        /// The engine's clock was set, or its machine slept: nothing starts by itself until that is settled.
        ClockDoubted = "clock_doubted",
        /// The file or an operator switched the runbook off.
        RunbookDisabled = "runbook_disabled",
        /// The runbook is not finished.
        RunbookDraft = "runbook_draft",
        /// The runbook or its trigger is in no file any more.
        RunbookGone = "runbook_gone",
        /// A parameter is missing or has a value that its type, pattern or bounds refuse.
        ParamRejected = "param_rejected",
        /// No server of the inventory is meant.
        UnknownTarget = "unknown_target",
        /// Several servers of the inventory could be meant.
        AmbiguousTarget = "ambiguous_target",
        /// The runbook may not act on that server.
        TargetNotAllowed = "target_not_allowed",
        /// A value could become shell syntax.
        UnsafeValue = "unsafe_value",
        /// A template names something that is not there, or is wrong.
        TemplateError = "template_error",
        /// The server is under maintenance.
        Maintenance = "maintenance",
        /// A blackout is on.
        Blackout = "blackout",
        /// The trigger started on this target a moment ago.
        Cooldown = "cooldown",
        /// The runbook completed on this target a moment ago.
        RecentlyRemediated = "recently_remediated",
        /// It failed or did not help too often.
        TooManyAttempts = "too_many_attempts",
        /// As many executions as are allowed started in the window.
        RateLimited = "rate_limited",
        /// The circuit breaker is open.
        CircuitOpen = "circuit_open",
        /// The circuit breaker is half-open, and another execution is its probe.
        CircuitProbing = "circuit_probing",
        /// There is an execution for this episode and trigger.
        Duplicate = "duplicate",
        /// Another execution holds the target.
        ResourceBusy = "resource_busy",
        /// As many targets of the group as are allowed were touched in the window.
        BlastRadius = "blast_radius",
        /// The alert has not fired for long enough.
        TooYoung = "too_young",
        /// The alert has not fired often enough.
        TooFew = "too_few",
        /// The alert is over.
        Resolved = "resolved",
        /// The alert is too old, or waited for too long.
        Stale = "stale",
        /// The runbook asks before it acts.
        ApprovalRequired = "approval_required",
        /// Only a person starts this runbook.
        ManualOnly = "manual_only",
        /// Decided and recorded, never run.
        Observed = "observed",
        /// What the gate needs to know could not be found out.
        Unknown = "unknown",
    }
}

/// One gate's answer, with its reason in words that a tired operator understands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GateVerdict {
    pub gate: Gate,
    #[serde(flatten)]
    pub verdict: Verdict,
    /// `None` exactly when there is no objection.
    pub reason: Option<Reason>,
    /// One sentence with names, numbers and times.
    pub message: String,
    /// What the gate looked at. `execution_id` in it names a conflicting execution.
    pub evidence: Value,
}

impl GateVerdict {
    /// No objection.
    pub fn allow(gate: Gate, message: impl Into<String>) -> Self {
        Self { gate, verdict: Verdict::Allow, reason: None, message: message.into(), evidence: Value::Null }
    }

    /// Objects.
    pub fn object(gate: Gate, verdict: Verdict, reason: Reason, message: impl Into<String>) -> Self {
        Self { gate, verdict, reason: Some(reason), message: message.into(), evidence: Value::Null }
    }

    /// The same with what the gate looked at.
    pub fn because(mut self, evidence: Value) -> Self {
        self.evidence = evidence;
        self
    }
}

/// What is asked about, for messages and for the exceptions that depend on who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    pub origin: Origin,
    pub runbook: String,
    /// Name of the trigger; `None` for a run that no trigger asked for.
    pub trigger: Option<String>,
    /// Name of the server, when exactly one is meant.
    pub server: Option<String>,
    /// The server's group; `None` is the group of servers without one.
    pub group: Option<String>,
    /// Gates that a valid approval lists: their `approve` is given.
    pub approved_gates: Vec<Gate>,
    /// Who gave that approval.
    pub approved_by: Option<String>,
}

impl Subject {
    /// A person with the right to execute asks.
    pub fn is_by_person(&self) -> bool {
        match self.origin {
            Origin::Manual | Origin::Retry | Origin::Rollback => true,
            Origin::Alert | Origin::Schedule => false,
        }
    }

    /// "`restart-nginx` on web1", or without a server when none is known.
    pub fn run(&self) -> String {
        match &self.server {
            Some(server) => format!("`{}` on {server}", self.runbook),
            None => format!("`{}`", self.runbook),
        }
    }
}

/// Why a gate has no facts to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Missing {
    /// No server is known, so there is nothing to ask. Refused all the same unless the target gate refuses.
    NoTarget,
    /// Reading or computing them failed. Always refused.
    Unknown(String),
}

/// Facts, or why there are none.
pub type Known<T> = Result<T, Missing>;

/// Everything that the gates look at, read in one transaction; one field per gate.
#[derive(Clone, Debug)]
pub struct Facts {
    pub subject: Subject,
    pub kill_switch: Known<kill_switch::Facts>,
    pub runbook_status: Known<runbook_status::Facts>,
    pub parameters: Known<parameters::Facts>,
    pub target: Known<target::Facts>,
    pub plan: Known<plan::Facts>,
    pub maintenance: Known<maintenance::Facts>,
    pub blackout: Known<blackout::Facts>,
    pub cooldown: Known<cooldown::Facts>,
    pub recently_remediated: Known<recently_remediated::Facts>,
    pub attempts: Known<attempts::Facts>,
    pub rate_limit: Known<rate_limit::Facts>,
    pub circuit_breaker: Known<circuit_breaker::Facts>,
    pub duplicate: Known<duplicate::Facts>,
    pub target_lock: Known<target_lock::Facts>,
    pub blast_radius: Known<blast_radius::Facts>,
    pub too_young: Known<too_young::Facts>,
    pub still_firing: Known<still_firing::Facts>,
    pub mode: Known<mode::Facts>,
}
