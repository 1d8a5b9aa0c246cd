//! Idempotency keys: the answer that a request got, so that the same request gets the same answer again.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::idempotency_keys;
use super::{Db, Json, StoreError, each_backend};
use crate::clock::Timestamp;

/// The answer that a key got.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = idempotency_keys, treat_none_as_default_value = false)]
pub struct KeyRow {
    pub key: String,
    pub token: String,
    pub request_hash: String,
    pub status: i32,
    pub location: Option<String>,
    pub body: Json<Value>,
    pub created_at: Timestamp,
}

/// The answer that `token` got for `key`.
pub fn get(db: &mut Db, key: &str, token: &str) -> Result<Option<KeyRow>, StoreError> {
    Ok(each_backend!(db, c => idempotency_keys::table
        .find((key, token))
        .select(KeyRow::as_select())
        .first(c)
        .optional())?)
}

/// Stores an answer, in the transaction of what it tells of; a known key is a conflict.
pub fn insert(db: &mut Db, row: &KeyRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(idempotency_keys::table).values(row).execute(c))?;
    Ok(())
}

/// Forgets answers older than `before`.
pub fn prune(db: &mut Db, before: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => diesel::delete(idempotency_keys::table)
        .filter(idempotency_keys::created_at.lt(before))
        .execute(c))?)
}
