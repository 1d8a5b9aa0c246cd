//! The audit log: what runs did and what people did, one table, append-only.
//!
//! Pure: event kinds, the hash of a payload, and the keyed chain ([`key`], [`chain`], [`verify`]). `store::audit::append` writes an event in the same transaction as the
//! change that it tells of; if it cannot be written, the change does not happen.

pub mod canonical;
pub mod chain;
pub mod key;
pub mod verify;

use serde_json::Value;

use crate::id::{EpisodeId, ExecutionId};
use crate::words::words;

words! {
    /// What happened. The first block is the audit seed's, for executions. A migration puts each word into `audit_event_types`:
    /// the log takes no other.
    EventKind {
        /// A plan was made: the execution exists.
        Planned = "PLANNED",
        /// An attempt's intent is durable; the effect may follow.
        StepStarted = "STEP_STARTED",
        /// An attempt's or step's outcome is known.
        StepFinished = "STEP_FINISHED",
        /// Looking whether the alert is gone has begun.
        VerificationStarted = "VERIFICATION_STARTED",
        /// It is known whether the alert is gone.
        VerificationFinished = "VERIFICATION_FINISHED",
        /// The execution's status changed.
        StatusUpdated = "STATUS_UPDATED",
        /// The execution did what it should.
        Completed = "COMPLETED",
        /// It did not.
        Failed = "FAILED",
        /// All gates were asked.
        Decided = "DECIDED",
        /// A person said yes.
        Approved = "APPROVED",
        /// A person said no.
        Rejected = "REJECTED",
        /// Undoing has begun.
        RollbackStarted = "ROLLBACK_STARTED",
        /// An undo's intent is durable.
        UndoStarted = "UNDO_STARTED",
        /// An undo's outcome is known.
        UndoFinished = "UNDO_FINISHED",
        /// Undoing is over.
        RollbackFinished = "ROLLBACK_FINISHED",
        /// The engine died and cannot tell what became of a step.
        Interrupted = "INTERRUPTED",
        /// A running remote command was found again.
        Reattached = "REATTACHED",
        /// A person asked an execution to stop.
        CancelRequested = "CANCEL_REQUESTED",
        /// A person freed a quarantined target.
        Released = "RELEASED",
        /// A person started a run by hand, or tried to.
        ManualRequested = "MANUAL_REQUESTED",
        /// A person asked to decide an alert again.
        AlertReplayed = "ALERT_REPLAYED",
        /// The kill switch was thrown.
        Paused = "PAUSED",
        /// The kill switch was released.
        Resumed = "RESUMED",
        BlackoutCreated = "BLACKOUT_CREATED",
        BlackoutUpdated = "BLACKOUT_UPDATED",
        BlackoutDeleted = "BLACKOUT_DELETED",
        /// A breaker opened, half-opened or closed, by itself or by a person.
        BreakerChanged = "BREAKER_CHANGED",
        ServerCreated = "SERVER_CREATED",
        ServerUpdated = "SERVER_UPDATED",
        ServerDeleted = "SERVER_DELETED",
        /// What a server is logged in to with was changed; the event names fields, never values.
        CredentialsChanged = "CREDENTIALS_CHANGED",
        /// A connection to a server was tested.
        ServerTested = "SERVER_TESTED",
        /// A master key seals what is new from now on.
        EncryptionKeyAdded = "ENCRYPTION_KEY_ADDED",
        /// Nothing is sealed under a master key any more.
        EncryptionKeyRetired = "ENCRYPTION_KEY_RETIRED",
        /// Secrets were wrapped anew, by the current master key.
        KeysRotated = "KEYS_ROTATED",
        /// Maintenance of a server was switched on or off.
        MaintenanceChanged = "MAINTENANCE_CHANGED",
        /// A runbook's content is new: it got a version.
        RunbookVersioned = "RUNBOOK_VERSIONED",
        /// An operator enabled or disabled a runbook.
        RunbookOverridden = "RUNBOOK_OVERRIDDEN",
        /// The configuration was loaded again, or could not be.
        ConfigReloaded = "CONFIG_RELOADED",
        /// A value of `system_config` changed.
        ConfigChanged = "CONFIG_CHANGED",
        /// The engine started.
        EngineStarted = "ENGINE_STARTED",
        /// The engine stopped in good order.
        EngineStopped = "ENGINE_STOPPED",
        /// A user was added.
        UserCreated = "USER_CREATED",
        /// A user's role, scopes or state changed.
        UserUpdated = "USER_UPDATED",
        /// A user was removed.
        UserDeleted = "USER_DELETED",
        /// A user's password was taken away, for a new one to be chosen.
        UserReset = "USER_RESET",
        /// A one-time token was made, to make the first admin or to choose a password.
        SetupTokenCreated = "SETUP_TOKEN_CREATED",
        /// It was redeemed.
        SetupCompleted = "SETUP_COMPLETED",
        /// A user changed the own password.
        PasswordChanged = "PASSWORD_CHANGED",
        /// A user logged in.
        LoginSucceeded = "LOGIN_SUCCEEDED",
        /// Somebody could not log in.
        LoginFailed = "LOGIN_FAILED",
        /// So many failed that log-ins of this account or address have to wait.
        LoginThrottled = "LOGIN_THROTTLED",
        /// A user logged out.
        LoggedOut = "LOGGED_OUT",
        /// A session was ended by somebody else than by logging out.
        SessionEnded = "SESSION_ENDED",
        /// A user made an API token.
        TokenCreated = "TOKEN_CREATED",
        /// An API token was revoked.
        TokenRevoked = "TOKEN_REVOKED",
        /// From here on the log is chained; what was there before has its place in the chain, too.
        AuditChainStarted = "AUDIT_CHAIN_STARTED",
        /// Somebody had the chain verified.
        AuditVerified = "AUDIT_VERIFIED",
        /// Somebody took a copy of the log.
        AuditExported = "AUDIT_EXPORTED",
        /// Retention took the oldest events away; the chain begins after them.
        AuditPruned = "AUDIT_PRUNED",
        /// Retention took records or outputs away.
        RecordsPruned = "RECORDS_PRUNED",
        /// Records are kept, whatever the retention says.
        LegalHoldSet = "LEGAL_HOLD_SET",
        /// The retention holds again.
        LegalHoldReleased = "LEGAL_HOLD_RELEASED",
        /// Requests without a valid credential or without the right, counted.
        AccessRefused = "ACCESS_REFUSED",
    }
}

/// An event before it is written.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub kind: EventKind,
    /// Who: a token's name, `engine`, `auto`.
    pub actor: String,
    /// What kind of thing it is about: `execution`, `server`, `blackout`, …
    pub resource_type: &'static str,
    /// Which: an id or a name.
    pub resource_id: String,
    pub execution: Option<ExecutionId>,
    pub episode: Option<EpisodeId>,
    /// Address of the person's client.
    pub ip_address: Option<String>,
    /// No secret ever stands here: hashes and references only.
    pub payload: Value,
}

impl NewEvent {
    /// An event of an execution, by the engine.
    pub fn of_execution(kind: EventKind, execution: ExecutionId, episode: Option<EpisodeId>, payload: Value) -> Self {
        Self {
            kind,
            actor: "engine".to_owned(),
            resource_type: "execution",
            resource_id: execution.to_string(),
            execution: Some(execution),
            episode,
            ip_address: None,
            payload,
        }
    }

    /// An event about a thing that a person or the engine changed.
    pub fn of(
        kind: EventKind,
        actor: impl Into<String>,
        resource_type: &'static str,
        resource_id: impl Into<String>,
        payload: Value,
    ) -> Self {
        Self {
            kind,
            actor: actor.into(),
            resource_type,
            resource_id: resource_id.into(),
            execution: None,
            episode: None,
            ip_address: None,
            payload,
        }
    }

    /// The same event, by this person.
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}
