//! How ids, times, JSON, text and words are kept: native types on PostgreSQL, TEXT on SQLite.
//!
//! What PostgreSQL would refuse is made harmless: `U+0000` becomes `U+FFFD`, in JSON here, in text by `cleaned!` where
//! text from outside is stored; a time outside the years 1 to 9999 becomes the nearest inside.

mod bind;
mod id;
mod json;
mod prepared;
mod text;
mod time;
mod word;

pub use json::Json;
pub(super) use json::without_nul_json;
pub(super) use prepared::{prepared, prepared_read};
pub(super) use text::{HoldsText, cleaned};
pub(super) use word::word;

/// The SQL types that `schema.rs` is written in.
pub mod sql {
    use diesel::query_builder::QueryId;
    pub use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text};
    use diesel::sql_types::{SqlOrd, SqlType};

    /// An id: `uuid` on PostgreSQL.
    #[derive(SqlType, QueryId, Default, Clone, Copy, Debug)]
    #[diesel(postgres_type(oid = 2950, array_oid = 2951), sqlite_type(name = "Text"))]
    pub struct SqlId;

    /// A moment: `timestamptz` on PostgreSQL, fixed-width RFC 3339 in UTC on SQLite, so that text order is time order.
    #[derive(SqlType, QueryId, Default, Clone, Copy, Debug)]
    #[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Text"))]
    pub struct SqlTs;

    /// JSON: `jsonb` on PostgreSQL.
    #[derive(SqlType, QueryId, Default, Clone, Copy, Debug)]
    #[diesel(postgres_type(oid = 3802, array_oid = 3807), sqlite_type(name = "Text"))]
    pub struct SqlJson;

    impl SqlOrd for SqlId {}
    impl SqlOrd for SqlTs {}
}
