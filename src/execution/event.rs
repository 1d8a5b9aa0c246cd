//! What happened to an execution: the facts that its state is the replay of.
//!
//! Stored as JSON, one row each, with the moment beside them; a stored event never changes its meaning. Deciding
//! whether one may follow another is [`super::machine`]'s; making them is `engine/execute`'s and the operator acts'.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::gate::Gate;
use crate::id::AttemptId;

use super::Status;

/// Where in an execution an attempt is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The plan's step at this index.
    Step(usize),
    /// The undo at this position of the rollback's order.
    Undo(usize),
}

/// One fact about an execution.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It exists, with a frozen plan of `steps` steps. Always the first event, and only the first.
    Created {
        steps: usize,
        /// Who approved it at birth (`auto`); without, it waits for a person.
        approved_by: Option<String>,
        /// It only undoes these steps of another execution's plan, in this order.
        undoes: Option<Vec<usize>>,
    },
    /// A person said yes, and others have to, too.
    Agreed { by: String, reason: Option<String> },
    /// A person said yes.
    Approved { by: String, reason: Option<String> },
    /// A person said no.
    Rejected { by: String, reason: String },
    /// Nobody answered in time.
    Expired,
    /// Asked again before the first step, these gates want a yes that the approval did not cover.
    BackToPending { gates: Vec<Gate>, expires_at: Timestamp },
    /// Asked again before the first step, these gates said "not now".
    HeldAtClaim {
        /// When to ask again; `None` until something is released.
        until: Option<Timestamp>,
        gates: Vec<Gate>,
    },
    /// The host could not be reached before anything was run on it.
    HostUnreachable { retry_at: Timestamp, message: String },
    /// The host could not be reached for too long, or for a reason that time does not mend.
    GaveUp { message: String },
    /// Before the first step it became needless or not allowed: the alert resolved, a gate refused at the claim.
    Withdrawn { skip_reason: String, message: String },
    /// A worker holds it, and it holds its target.
    Claimed,
    /// The step's or undo's condition is true.
    ConditionMet { place: Place },
    /// The step's or undo's condition is false.
    StepSkipped { place: Place },
    /// A value that it needs is missing or unsafe: it failed before anything was sent to the host.
    StepRefused {
        place: Place,
        /// `unsafe_value`, `template_error`.
        code: String,
        message: String,
    },
    /// Intent: from here on the host may see this attempt.
    AttemptStarted {
        place: Place,
        attempt: AttemptId,
        /// From 1, over all tries of this place.
        number: u32,
        /// The host holds it under its id, so that it can be found again. Logs from before this was told held nothing.
        #[serde(default)]
        is_held: bool,
    },
    /// The host has no place to hold it, and nothing was run: from here on it is run all the same, and cannot be found.
    AttemptUnheld { place: Place, attempt: AttemptId, reason: String },
    /// An engine took it up that another one, or another connection, had started.
    Reattached { place: Place, attempt: AttemptId },
    /// The attempt's outcome is known, or known to be unknowable.
    AttemptFinished {
        place: Place,
        attempt: AttemptId,
        outcome: Outcome,
        /// What follows from it by the plan.
        after: After,
    },
    /// The kill switch was seen: nothing starts, and the clocks stand still.
    Halted { reason: String },
    /// The kill switch was released.
    Continued,
    /// A person asked it to stop. Final at once unless it runs.
    CancelRequested { by: String, reason: Option<String> },
    /// The execution's own time is over.
    TimedOut,
    /// These steps are going to be undone, in this order.
    RollbackStarted { undos: Vec<usize> },
    /// Undoing is over.
    RollbackFinished {
        /// An undo failed: only a person can go on.
        is_stuck: bool,
    },
    /// What became of a step is unknown, and it must not be run again blindly.
    Interrupted { reason: String },
    /// It is over.
    Finished {
        /// `completed`, `failed`, `timeout` or `cancelled`.
        status: Status,
        error: Option<String>,
    },
    /// A person looked, and freed the target that a stuck or interrupted execution held.
    Released { by: String, reason: String },
}

impl Event {
    /// The word under which it is stored.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Agreed { .. } => "agreed",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Expired => "expired",
            Self::BackToPending { .. } => "back_to_pending",
            Self::HeldAtClaim { .. } => "held_at_claim",
            Self::HostUnreachable { .. } => "host_unreachable",
            Self::GaveUp { .. } => "gave_up",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Claimed => "claimed",
            Self::ConditionMet { .. } => "condition_met",
            Self::StepSkipped { .. } => "step_skipped",
            Self::StepRefused { .. } => "step_refused",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptUnheld { .. } => "attempt_unheld",
            Self::Reattached { .. } => "reattached",
            Self::AttemptFinished { .. } => "attempt_finished",
            Self::Halted { .. } => "halted",
            Self::Continued => "continued",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::TimedOut => "timed_out",
            Self::RollbackStarted { .. } => "rollback_started",
            Self::RollbackFinished { .. } => "rollback_finished",
            Self::Interrupted { .. } => "interrupted",
            Self::Finished { .. } => "finished",
            Self::Released { .. } => "released",
        }
    }
}

/// How an attempt ended, without its output. A missing exit status is never success.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// By itself, with this exit code.
    Exited(i32),
    /// By itself, with an expected exit code, but what it printed lacks a declared output.
    BadOutput { code: i32, message: String },
    /// By a signal; its name without `SIG`.
    Signalled(String),
    /// Its time was over and its process group was killed.
    TimedOut {
        /// No process of the group was left; otherwise it may still run.
        is_confirmed: bool,
    },
    /// It was cancelled and its process group was killed.
    Cancelled {
        /// No process of the group was left; otherwise it may still run.
        is_confirmed: bool,
    },
    /// Its time was over, or it was cancelled, before anything was sent to the host.
    Unsent {
        /// Its time was over.
        is_timeout: bool,
    },
    /// The host never saw it.
    NotStarted {
        /// `unreachable`, `host_key_changed`, …
        reason: String,
        message: String,
        /// May be gone by itself in a while.
        is_retryable: bool,
    },
    /// The connection, or the engine, ended first: what became of it is unknown.
    Lost(String),
    /// The host was started anew while it ran, or since: what a step is for that reboots it, and unknown for any other.
    Rebooted(String),
}

impl Outcome {
    /// The same, with its texts as `show` has them: what a host said may hold a secret.
    #[must_use]
    pub fn told_by(self, show: impl Fn(&str) -> String) -> Self {
        match self {
            Self::BadOutput { code, message } => Self::BadOutput { code, message: show(&message) },
            Self::NotStarted { reason, message, is_retryable } => {
                Self::NotStarted { reason, message: show(&message), is_retryable }
            }
            Self::Lost(message) => Self::Lost(show(&message)),
            Self::Rebooted(message) => Self::Rebooted(show(&message)),
            other @ (Self::Exited(_)
            | Self::Signalled(_)
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::Unsent { .. }) => other,
        }
    }

    /// Whether the host may have been changed by it.
    pub const fn may_have_effect(&self) -> bool {
        match self {
            Self::Exited(_)
            | Self::BadOutput { .. }
            | Self::Signalled(_)
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::Lost(_)
            | Self::Rebooted(_) => true,
            Self::Unsent { .. } | Self::NotStarted { .. } => false,
        }
    }

    /// What became of it was not seen.
    pub const fn is_unseen(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Rebooted(_))
    }

    /// The exit code, if there was one.
    pub const fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) | Self::BadOutput { code, .. } => Some(*code),
            Self::Signalled(_)
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::Unsent { .. }
            | Self::NotStarted { .. }
            | Self::Lost(_)
            | Self::Rebooted(_) => None,
        }
    }

    /// The word used as `errorCode` in the audit log and as an attempt's ending.
    pub fn code(&self) -> &str {
        match self {
            Self::Exited(_) => "exited",
            Self::BadOutput { .. } => "bad_output",
            Self::Signalled(_) => "signalled",
            Self::TimedOut { .. } | Self::Unsent { is_timeout: true } => "timeout",
            Self::Cancelled { .. } | Self::Unsent { is_timeout: false } => "cancelled",
            Self::NotStarted { reason, .. } => reason,
            Self::Lost(_) => "lost",
            Self::Rebooted(_) => "rebooted",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let killed = |is_confirmed| match is_confirmed {
            true => "its processes were killed",
            false => "whether its processes are gone could not be confirmed; look on the host",
        };
        match self {
            Self::Exited(code) => write!(f, "ended with exit code {code}"),
            Self::BadOutput { code, message } => write!(f, "ended with exit code {code}, but {message}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut { is_confirmed } => write!(f, "did not end in time; {}", killed(*is_confirmed)),
            Self::Cancelled { is_confirmed } => write!(f, "was cancelled; {}", killed(*is_confirmed)),
            Self::Unsent { is_timeout: true } => f.write_str("was not sent to the host before its time was over"),
            Self::Unsent { is_timeout: false } => f.write_str("was cancelled before it was sent to the host"),
            Self::NotStarted { message, .. } => write!(f, "could not be started: {message}"),
            Self::Rebooted(message) => {
                write!(f, "ended with its host, so whether it took effect is unknown: {message}")
            }
            Self::Lost(message) => write!(f, "was lost sight of, so whether it took effect is unknown: {message}"),
        }
    }
}

/// What follows from an attempt's outcome.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// The place is done.
    Completed,
    /// Another attempt, not before this.
    RetryAt(Timestamp),
    /// No attempt is left.
    Failed,
    /// Its time was over, and no attempt is left.
    TimedOut,
    /// It was cancelled.
    Cancelled,
    /// Unknown, and not to be run again blindly.
    Interrupted,
    /// Nothing was run on the host yet and it cannot be reached: the whole execution waits for it.
    ReachAgain,
}
