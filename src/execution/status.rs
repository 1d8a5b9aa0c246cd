//! The words for where an execution and its steps stand.

use crate::words::words;

words! {
    /// Where an execution stands.
    Status {
        /// Waits for a person's yes.
        Pending = "pending",
        /// Waits for a worker, a lock, or a host that cannot be reached.
        Approved = "approved",
        /// Steps, verification or rollback are under way.
        Running = "running",
        /// Every step did what was expected.
        Completed = "completed",
        /// A step failed, or the host was never reached.
        Failed = "failed",
        /// The execution's or a step's time was over.
        Timeout = "timeout",
        /// Cancelled, withdrawn, or refused at the claim.
        Cancelled = "cancelled",
        /// A person said no.
        Rejected = "rejected",
        /// Nobody answered in time.
        Expired = "expired",
        /// The engine died and cannot tell what became of a step.
        Interrupted = "interrupted",
    }
}

impl Status {
    /// Nothing follows; the row is frozen by a database trigger.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Timeout | Self::Cancelled | Self::Rejected | Self::Expired => true,
            Self::Pending | Self::Approved | Self::Running | Self::Interrupted => false,
        }
    }

    /// The audit log's and the export's word for it; `has_started` tells a cancel from a skip.
    pub const fn exported(self, has_started: bool) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Running => "RUNNING",
            Self::Completed => "SUCCEEDED",
            Self::Failed | Self::Timeout => "FAILED",
            Self::Cancelled if has_started => "CANCELLED",
            Self::Cancelled | Self::Rejected | Self::Expired => "SKIPPED",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

words! {
    /// What a running execution is doing.
    Phase {
        /// Its steps.
        Main = "main",
        /// Looking whether the alert is gone.
        Verify = "verify",
        /// Undoing.
        Rollback = "rollback",
        /// Cleaning up.
        Finally = "finally",
    }
}

words! {
    /// How far undoing has come.
    RollbackState {
        /// Nothing was undone.
        None = "none",
        /// Undos are being run.
        Running = "running",
        /// Every undo worked.
        Done = "done",
        /// An undo failed; only a person can go on, and the target stays locked.
        Stuck = "stuck",
    }
}

words! {
    /// Whether the alert went away.
    Verification {
        /// The runbook does not ask.
        None = "none",
        /// Being looked at.
        Pending = "pending",
        /// It went.
        Effective = "effective",
        /// It did not.
        Ineffective = "ineffective",
        /// Could not be told.
        Inconclusive = "inconclusive",
    }
}

words! {
    /// Where a step or an undo stands.
    StepStatus {
        /// Not reached yet.
        Pending = "pending",
        /// An attempt is under way, or the next one is waited for.
        Running = "running",
        /// An expected exit code.
        Completed = "completed",
        /// All attempts ended with something else.
        Failed = "failed",
        /// Its time was over.
        Timeout = "timeout",
        /// Its condition was false, or an earlier step ended the run.
        Skipped = "skipped",
        /// Cancelled while it ran.
        Cancelled = "cancelled",
        /// What became of it is unknown.
        Interrupted = "interrupted",
    }
}

impl StepStatus {
    /// The audit log's and the export's word for it.
    pub const fn exported(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Completed => "SUCCEEDED",
            Self::Failed | Self::Timeout => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Cancelled => "CANCELLED",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

words! {
    /// Where an execution comes from.
    Origin {
        /// A trigger matched an alert.
        Alert = "alert",
        /// A person asked.
        Manual = "manual",
        /// A person asked to run an ended one again.
        Retry = "retry",
        /// A clock.
        Schedule = "schedule",
        /// A person asked to undo an ended one.
        Rollback = "rollback",
    }
}
