//! How our own types look in the OpenAPI document: ids, times and words are strings.

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::alert::AlertStatus;
use crate::alert::episode::EpisodeState;
use crate::clock::Timestamp;
use crate::config::EngineMode;
use crate::execution::{Origin, Phase, RollbackState, Status, StepStatus, Verification};
use crate::id::{
    AlertId, AuditEventId, BatchId, BlackoutId, DecisionId, DeliveryId, EpisodeId, ExecutionId, HoldId, PauseId,
    ServerId, SessionId, StepRunId, TokenId, UserId,
};
use crate::inventory::server::WinrmTransport;
use crate::rights::{Act, Role};
use crate::runbook::model::{Mode, OsType, Risk, RunbookStatus};
use crate::store::{
    AuthType, CircuitState, ConnectionStatus, DecisionVerdict, HoldScope, PauseScope, ServerOrigin, SessionKind, Stream,
};
use crate::transport::probe::{ProbePart, ProbeState};

fn text(format: KnownFormat) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format))).into()
}

macro_rules! ids {
    ($($name:ident),+ $(,)?) => { $(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                text(KnownFormat::Uuid)
            }
        }
        impl ToSchema for $name {}
    )+ };
}

macro_rules! words {
    ($($name:ident),+ $(,)?) => { $(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = $name::ALL.iter().map(|word| word.as_str());
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
            }
        }
        impl ToSchema for $name {}
    )+ };
}

ids!(
    AlertId,
    AuditEventId,
    BatchId,
    BlackoutId,
    DecisionId,
    DeliveryId,
    EpisodeId,
    ExecutionId,
    HoldId,
    PauseId,
    ServerId,
    SessionId,
    StepRunId,
    TokenId,
    UserId,
);
words!(
    Act,
    AlertStatus,
    AuthType,
    CircuitState,
    ConnectionStatus,
    DecisionVerdict,
    EngineMode,
    EpisodeState,
    HoldScope,
    Mode,
    Origin,
    OsType,
    PauseScope,
    Phase,
    ProbePart,
    ProbeState,
    Risk,
    Role,
    RollbackState,
    RunbookStatus,
    ServerOrigin,
    SessionKind,
    Status,
    StepStatus,
    Stream,
    Verification,
    WinrmTransport,
);

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        text(KnownFormat::DateTime)
    }
}
impl ToSchema for Timestamp {}
