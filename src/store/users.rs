//! Who may log in.

use diesel::prelude::*;

use super::schema::users;
use super::{Db, Json, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::UserId;
use crate::rights::{Role, Scope};

/// Somebody who may log in. Not `Debug`: nothing of a password is ever printed, not even its hash.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone)]
#[diesel(table_name = users, treat_none_as_null = true)]
pub struct UserRow {
    pub id: UserId,
    pub name: String,
    pub role: Role,
    /// What the role is narrowed to; `None` = not at all.
    pub scopes: Option<Json<Vec<Scope>>>,
    /// A PHC string; `None` = no password can be right.
    pub password_hash: Option<String>,
    pub password_changed_at: Option<Timestamp>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
    /// Gone for good; the row keeps the name from being given to another.
    pub removed_at: Option<Timestamp>,
}

impl UserRow {
    /// A user without a password, who can do nothing until one is chosen.
    pub fn new(name: String, role: Role, scopes: Option<Vec<Scope>>, created_by: String, now: Timestamp) -> Self {
        Self {
            id: UserId::new(),
            name,
            role,
            scopes: scopes.map(Json),
            password_hash: None,
            password_changed_at: None,
            created_by,
            created_at: now,
            updated_at: now,
            last_login_at: None,
            disabled_at: None,
            removed_at: None,
        }
    }

    /// May log in, and use tokens.
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none() && self.removed_at.is_none()
    }

    /// The scopes as a slice, if there are any.
    pub fn scopes(&self) -> Option<&[Scope]> {
        self.scopes.as_ref().map(|scopes| scopes.0.as_slice())
    }
}

/// Stores a new user; a known name is a conflict, also one of a removed user.
pub fn insert(db: &mut Db, row: &UserRow) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::insert_into(users::table).values(row).execute(c))?;
    Ok(())
}

/// Writes all columns of a known user.
pub fn update(db: &mut Db, row: &UserRow) -> Result<(), StoreError> {
    let found = each_backend!(db, c => diesel::update(users::table.find(row.id)).set(row).execute(c))?;
    if found == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// One user, removed or not.
pub fn get(db: &mut Db, id: UserId) -> Result<UserRow, StoreError> {
    Ok(each_backend!(db, c => users::table.find(id).select(UserRow::as_select()).first(c))?)
}

/// The user of that name, removed or not.
pub fn by_name(db: &mut Db, name: &str) -> Result<Option<UserRow>, StoreError> {
    // PostgreSQL takes no such text, and nobody has such a name.
    if name.contains('\0') {
        return Ok(None);
    }
    Ok(each_backend!(db, c => users::table
        .filter(users::name.eq(name))
        .select(UserRow::as_select())
        .first(c)
        .optional())?)
}

/// All users that were not removed, by name.
pub fn list(db: &mut Db) -> Result<Vec<UserRow>, StoreError> {
    Ok(each_backend!(db, c => users::table
        .filter(users::removed_at.is_null())
        .order(users::name)
        .select(UserRow::as_select())
        .load(c))?)
}

/// How many users of `role` may log in.
pub fn active(db: &mut Db, role: Role) -> Result<i64, StoreError> {
    Ok(each_backend!(db, c => users::table
        .filter(users::role.eq(role))
        .filter(users::disabled_at.is_null())
        .filter(users::removed_at.is_null())
        .count()
        .get_result(c))?)
}

/// Whether there is or was any user.
pub fn is_empty(db: &mut Db) -> Result<bool, StoreError> {
    let count: i64 = each_backend!(db, c => users::table.count().get_result(c))?;
    Ok(count == 0)
}
