//! Ids as `uuid` or 36 characters.

use std::io::Write;

use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use diesel::sqlite::{Sqlite, SqliteValue};
use uuid::Uuid;

use super::bind::{bind, read};
use super::sql::SqlId;
use crate::id::*;

macro_rules! ids {
    ($($id:ident),+ $(,)?) => { $(
        bind!($id as SqlId);
        read!($id);

        impl ToSql<SqlId, Pg> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.0.as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<SqlId, Sqlite> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.to_string());
                Ok(IsNull::No)
            }
        }

        impl FromSql<SqlId, Pg> for $id {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(Self(Uuid::from_slice(value.as_bytes())?))
            }
        }

        impl FromSql<SqlId, Sqlite> for $id {
            fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
                let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
                Ok(text.parse()?)
            }
        }
    )+ };
}

ids!(
    DeliveryId,
    AlertId,
    EpisodeId,
    DecisionId,
    RunbookId,
    ServerId,
    ExecutionId,
    StepRunId,
    AttemptId,
    BlackoutId,
    PauseId,
    BatchId,
    AuditEventId,
    HoldId,
    ReplicaId,
    UserId,
    TokenId,
    SessionId,
    SetupTokenId,
);
