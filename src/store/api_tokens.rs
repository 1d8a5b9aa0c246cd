//! API tokens of users: hashes only.

use diesel::prelude::*;

use super::schema::{api_tokens, users};
use super::users::UserRow;
use super::{Db, Json, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::{TokenId, UserId};
use crate::rights::{Role, Scope};

/// One API token.
#[derive(Queryable, Selectable, Insertable, Clone)]
#[diesel(table_name = api_tokens)]
pub struct TokenRow {
    pub id: TokenId,
    pub user_id: UserId,
    /// Unique among its owner's that are not revoked.
    pub name: String,
    /// Its first characters, by which a person knows it again.
    pub prefix: String,
    /// SHA-256, hex, of 256 random bits: nothing to guess, so nothing to slow down.
    pub token_hash: String,
    /// A ceiling: what it may is never more than what its owner may now.
    pub role: Role,
    pub scopes: Option<Json<Vec<Scope>>>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    pub last_used_from: Option<String>,
    pub revoked_at: Option<Timestamp>,
    pub revoked_by: Option<String>,
}

impl TokenRow {
    /// The scopes as a slice, if there are any.
    pub fn scopes(&self) -> Option<&[Scope]> {
        self.scopes.as_ref().map(|scopes| scopes.0.as_slice())
    }
}

/// Stores a new token; a name that its owner uses already is a conflict.
pub fn insert(db: &mut Db, row: &TokenRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(api_tokens::table).values(row).execute(c))?;
    Ok(())
}

/// The token of that hash with its owner, whatever became of them.
pub fn by_hash(db: &mut Db, hash: &str) -> Result<Option<(TokenRow, UserRow)>, StoreError> {
    Ok(each_backend!(db, c => api_tokens::table
        .inner_join(users::table)
        .filter(api_tokens::token_hash.eq(hash))
        .select((TokenRow::as_select(), UserRow::as_select()))
        .first(c)
        .optional())?)
}

/// One token with its owner.
pub fn get(db: &mut Db, id: TokenId) -> Result<(TokenRow, UserRow), StoreError> {
    Ok(each_backend!(db, c => api_tokens::table
        .inner_join(users::table)
        .filter(api_tokens::id.eq(id))
        .select((TokenRow::as_select(), UserRow::as_select()))
        .first(c))?)
}

/// Tokens with their owners, newest first; of one user or of all.
pub fn list(db: &mut Db, of: Option<UserId>) -> Result<Vec<(TokenRow, UserRow)>, StoreError> {
    Ok(each_backend!(db, c: B => {
        let mut query = api_tokens::table
            .inner_join(users::table)
            .select((TokenRow::as_select(), UserRow::as_select()))
            .into_boxed::<B>();
        if let Some(user) = of {
            query = query.filter(api_tokens::user_id.eq(user));
        }
        query.order(api_tokens::id.desc()).load(c)
    })?)
}

/// Notes a use.
pub fn used(db: &mut Db, id: TokenId, from: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::update(api_tokens::table.find(id))
        .set((api_tokens::last_used_at.eq(now), api_tokens::last_used_from.eq(from)))
        .execute(c))?;
    Ok(())
}

/// Revokes a token; `false` if it was revoked before.
pub fn revoke(db: &mut Db, id: TokenId, by: &str, now: Timestamp) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => diesel::update(api_tokens::table.find(id))
        .filter(api_tokens::revoked_at.is_null())
        .set((api_tokens::revoked_at.eq(now), api_tokens::revoked_by.eq(by)))
        .execute(c))?;
    Ok(found == 1)
}

/// Revokes all tokens of a user; answers how many.
pub fn revoke_all(db: &mut Db, user: UserId, by: &str, now: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => diesel::update(api_tokens::table)
        .filter(api_tokens::user_id.eq(user))
        .filter(api_tokens::revoked_at.is_null())
        .set((api_tokens::revoked_at.eq(now), api_tokens::revoked_by.eq(by)))
        .execute(c))?)
}

/// How many tokens of a user can be used.
pub fn usable(db: &mut Db, user: UserId, now: Timestamp) -> Result<i64, StoreError> {
    Ok(each_backend!(db, c => api_tokens::table
        .filter(api_tokens::user_id.eq(user))
        .filter(api_tokens::revoked_at.is_null())
        .filter(api_tokens::expires_at.gt(now))
        .count()
        .get_result(c))?)
}
