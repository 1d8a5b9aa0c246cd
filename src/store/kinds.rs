//! Words that only the database's rows need. Words that a noun decides about live with the noun.

use serde::{Deserialize, Serialize};

pub use crate::alert::wire::Format as DeliveryFormat;
use crate::id::ExecutionId;
use crate::words::words;

words! {
    /// Whether the matching stage has seen an episode.
    DecideState {
        /// Not yet.
        Undecided = "undecided",
        /// Its decisions exist.
        Decided = "decided",
    }
}

words! {
    /// What an alert meant for its episode.
    EpisodeRelation {
        /// It began the episode.
        New = "new",
        /// It repeated what was known.
        Same = "same",
        /// It came after the episode's end: nothing is run again.
        Late = "late",
        /// It ended the episode.
        Resolved = "resolved",
        /// It ended an incident before this one, which goes on.
        Stale = "stale",
        /// It showed that the end was false.
        Reopened = "reopened",
    }
}

words! {
    /// What all gates together said.
    DecisionVerdict {
        /// An execution was made.
        Allowed = "allowed",
        /// An execution was made that waits for a person.
        Approval = "approval",
        /// Asked again later.
        Held = "held",
        /// No, for good.
        Refused = "refused",
        /// No trigger selected the episode.
        NoMatch = "no_match",
        /// It would have run, if it were not only watching.
        Observed = "observed",
        /// The episode ended while it was held.
        Withdrawn = "withdrawn",
    }
}

words! {
    /// Where a batch approval stands.
    BatchState {
        /// Takes members, waits for an answer.
        Open = "open",
        /// Its window is over; takes no members, waits for an answer.
        Closed = "closed",
        /// A person said yes.
        Approved = "approved",
        /// A person said no.
        Rejected = "rejected",
        /// Nobody answered in time.
        Expired = "expired",
    }
}

words! {
    /// An operator's word on a runbook, beside what its file says.
    RunbookOverride {
        /// Nothing against it.
        Active = "active",
        /// Not to be run.
        Disabled = "disabled",
    }
}

words! {
    /// Who declared a server.
    ServerOrigin {
        /// `servers.yml`: read-only in the API.
        File = "file",
        /// The API.
        Api = "api",
    }
}

words! {
    /// How to log in to a server.
    AuthType {
        /// A private key in a file.
        Key = "key",
        /// A password in a file.
        Password = "password",
        /// The agent behind `SSH_AUTH_SOCK`.
        Agent = "agent",
    }
}

words! {
    /// How the last connection test went.
    ConnectionStatus {
        /// Logged in.
        Success = "success",
        /// Did not; the message says why.
        Failed = "failed",
    }
}

words! {
    /// What an execution does when its alert resolves while it runs.
    OnResolved {
        /// Goes on to its end.
        Finish = "finish",
        /// Stops when the running step is over.
        StopAfterStep = "stop_after_step",
        /// Stops, and undoes what was done.
        Rollback = "rollback",
    }
}

words! {
    /// How an attempt ended: `transport::Ending` without its values.
    AttemptEnding {
        /// By itself, with an exit code.
        Exited = "exited",
        /// By a signal.
        Signalled = "signalled",
        /// Its time was over.
        TimedOut = "timed_out",
        /// A person or an end of the alert stopped it.
        Cancelled = "cancelled",
        /// Nothing was started.
        NotStarted = "not_started",
        /// What became of it is unknown.
        Lost = "lost",
    }
}

words! {
    /// What becomes of an attempt when its connection or its engine ends first.
    AttemptHold {
        /// It goes on, and is found again under its id.
        Held = "held",
        /// Nothing holds it: running it again does no harm.
        Plain = "plain",
        /// Nothing holds it, for its host has no place to: what becomes of it then is unknown.
        Weak = "weak",
    }
}

words! {
    /// Which of a command's outputs.
    Stream {
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
    }
}

words! {
    /// Why a server is locked.
    LockReason {
        /// An execution runs there.
        Running = "running",
        /// A rollback is stuck: a person has to look.
        Stuck = "stuck",
        /// What became of a step is unknown.
        Interrupted = "interrupted",
    }
}

words! {
    /// How a blackout comes back.
    Recurrence {
        /// It does not.
        None = "none",
        /// Every day.
        Daily = "daily",
        /// On days of the week.
        Weekly = "weekly",
        /// On days of the month.
        Monthly = "monthly",
        /// A cron expression with a duration.
        Cron = "cron",
    }
}

words! {
    /// What a blackout's gate says.
    BlackoutEffect {
        /// Not before its end.
        Hold = "hold",
        /// No.
        Refuse = "refuse",
        /// Only with a person's yes.
        Approve = "approve",
    }
}

words! {
    /// Where a circuit breaker stands.
    CircuitState {
        /// Lets everything through.
        Closed = "closed",
        /// Lets nothing through.
        Open = "open",
        /// Lets one through at a time.
        HalfOpen = "half_open",
    }
}

words! {
    /// What a pause stops.
    PauseScope {
        /// Everything.
        Global = "global",
        /// One runbook.
        Runbook = "runbook",
        /// One group of servers.
        Group = "group",
        /// One server.
        Server = "server",
    }
}

words! {
    /// How a session's secret travels.
    SessionKind {
        /// In a cookie.
        Browser = "browser",
        /// As a bearer token.
        CommandLine = "command_line",
    }
}

/// One execution that a batch approval covers, with the plan that was shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchMember {
    pub execution_id: ExecutionId,
    pub plan_hash: String,
}

words! {
    /// What a legal hold keeps.
    HoldScope {
        /// Everything.
        All = "all",
        /// One execution.
        Execution = "execution",
        /// What was decided for a runbook, and its executions.
        Runbook = "runbook",
        /// What was decided for a server, and the executions on it.
        Server = "server",
    }
}
