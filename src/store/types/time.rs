//! Times as `timestamptz` or 27 characters.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::{Sqlite, SqliteValue};

use super::bind::{bind, read};
use super::sql::SqlTs;
use crate::clock::Timestamp;

bind!(Timestamp as SqlTs);
read!(Timestamp);

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
const PG_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// 0001-01-01T00:00:00Z in microseconds since 1970.
const FIRST_MICROS: i64 = -62_135_596_800_000_000;
/// The last microsecond of the year 9999: what comes later has no fixed-width text.
const LAST_MICROS: i64 = 253_402_300_799_999_999;

/// Microseconds since 1970, inside the years 1 to 9999.
fn kept_micros(time: Timestamp) -> i64 {
    time.utc().timestamp_micros().clamp(FIRST_MICROS, LAST_MICROS)
}

impl ToSql<SqlTs, Pg> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let micros = kept_micros(*self) - PG_EPOCH_MICROS;
        ToSql::<BigInt, Pg>::to_sql(&micros, &mut out.reborrow())
    }
}

impl ToSql<SqlTs, Sqlite> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        let time = DateTime::<Utc>::from_timestamp_micros(kept_micros(*self)).unwrap_or_default();
        out.set_value(Timestamp::new(time).to_string());
        Ok(IsNull::No)
    }
}

impl FromSql<SqlTs, Pg> for Timestamp {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<BigInt, Pg>>::from_sql(value)?;
        DateTime::<Utc>::from_timestamp_micros(PG_EPOCH_MICROS)
            .and_then(|epoch| epoch.checked_add_signed(TimeDelta::microseconds(micros)))
            .map(Timestamp::new)
            .ok_or_else(|| format!("{micros} µs since 2000 is not a time").into())
    }
}

impl FromSql<SqlTs, Sqlite> for Timestamp {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        text.parse().map_err(|error| format!("`{text}` is not a time: {error}").into())
    }
}
