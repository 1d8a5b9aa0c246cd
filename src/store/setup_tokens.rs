//! One-time tokens: to make the first admin, or for a user to choose a password.

use diesel::prelude::*;

use super::schema::setup_tokens;
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::{SetupTokenId, UserId};

/// One set-up token.
#[derive(Queryable, Selectable, Insertable, Clone)]
#[diesel(table_name = setup_tokens)]
pub struct SetupTokenRow {
    pub id: SetupTokenId,
    /// SHA-256, hex, of 256 random bits.
    pub token_hash: String,
    /// Whose password it lets choose; `None` = it makes the first admin.
    pub user_id: Option<UserId>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

/// Stores a new token.
pub fn insert(db: &mut Db, row: &SetupTokenRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(setup_tokens::table).values(row).execute(c))?;
    Ok(())
}

/// The token of that hash, whatever became of it.
pub fn by_hash(db: &mut Db, hash: &str) -> Result<Option<SetupTokenRow>, StoreError> {
    Ok(each_backend!(db, c => setup_tokens::table
        .filter(setup_tokens::token_hash.eq(hash))
        .select(SetupTokenRow::as_select())
        .first(c)
        .optional())?)
}

/// Uses a token up; `false` if somebody was faster.
pub fn take(db: &mut Db, id: SetupTokenId, now: Timestamp) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => diesel::update(setup_tokens::table.find(id))
        .filter(setup_tokens::used_at.is_null())
        .set(setup_tokens::used_at.eq(now))
        .execute(c))?;
    Ok(found == 1)
}

/// Uses up all tokens of a user, or, without one, those that make the first admin.
pub fn void(db: &mut Db, of: Option<UserId>, now: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => {
        let unused = diesel::update(setup_tokens::table).filter(setup_tokens::used_at.is_null());
        match of {
            Some(user) => {
                unused.filter(setup_tokens::user_id.eq(user)).set(setup_tokens::used_at.eq(now)).execute(c)
            }
            None => unused.filter(setup_tokens::user_id.is_null()).set(setup_tokens::used_at.eq(now)).execute(c),
        }
    })?)
}

/// Whether a token for the first admin was ever made.
pub fn has_begun(db: &mut Db) -> Result<bool, StoreError> {
    let count: i64 = each_backend!(db, c => setup_tokens::table
        .filter(setup_tokens::user_id.is_null())
        .count()
        .get_result(c))?;
    Ok(count > 0)
}
