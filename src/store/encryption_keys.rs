//! The master keys that the database knows, each with a canary that only it opens. The keys themselves are never here.

use diesel::prelude::*;

use super::schema::encryption_keys;
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;

/// A master key as the database knows it.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = encryption_keys)]
pub struct KeyRow {
    pub key_id: String,
    /// An envelope around a known text.
    pub canary: String,
    pub created_at: Timestamp,
    /// Nothing is sealed under it any more, and the keyring may do without it.
    pub retired_at: Option<Timestamp>,
}

/// Notes a new key.
pub fn insert(db: &mut Db, row: &KeyRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(encryption_keys::table).values(row).execute(c))?;
    Ok(())
}

/// All keys, the oldest first.
pub fn list(db: &mut Db) -> Result<Vec<KeyRow>, StoreError> {
    Ok(each_backend!(db, c => encryption_keys::table
        .order((encryption_keys::created_at, encryption_keys::key_id))
        .select(KeyRow::as_select())
        .load(c))?)
}

/// Marks a key as not needed any more, or (`None`) as needed again.
pub fn set_retired(db: &mut Db, key_id: &str, at: Option<Timestamp>) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::update(encryption_keys::table.find(key_id))
        .set(encryption_keys::retired_at.eq(at))
        .execute(c))?;
    Ok(())
}
