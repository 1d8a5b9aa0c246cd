//! What admins do to users.

use serde_json::json;

use super::{Kind, Person, Scene, act, make, name, setup};
use crate::audit::EventKind;
use crate::config::Secret;
use crate::engine::Engine;
use crate::engine::acts::ActError;
use crate::rights::{self, Role, Scope};
use crate::store::users::{self, UserRow};
use crate::store::{Db, Json, StoreError, api_tokens, lock_decisions, sessions, setup_tokens};

/// Somebody who shall be able to log in.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub name: String,
    pub role: Role,
    pub scopes: Option<Vec<Scope>>,
}

/// What changes of a user; `None` leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub role: Option<Role>,
    pub scopes: Option<Option<Vec<Scope>>>,
    pub is_disabled: Option<bool>,
}

/// Adds a user; the token, shown once, lets that user choose a password.
pub async fn create(engine: &Engine, new: NewUser, by: &Person) -> Result<(UserRow, Secret), ActError> {
    free(engine, &new.name)?;
    checked(new.scopes.as_deref())?;
    let made = make(Kind::Setup)?;
    act(engine, by, move |db, scene, by| {
        if users::by_name(db, &new.name)?.is_some() {
            let message = format!("there is or was a user called `{}`: a name is never given to another", new.name);
            return Ok(Err(ActError::Conflict(message)));
        }
        let user = UserRow::new(new.name, new.role, new.scopes, by.name.clone(), scene.now);
        users::insert(db, &user)?;
        if user.role == Role::Admin {
            // What was printed for the first admin is not needed any more.
            setup_tokens::void(db, None, scene.now)?;
        }
        let payload = json!({ "name": user.name, "role": user.role, "scopes": user.scopes });
        scene.record(db, EventKind::UserCreated, &by.name, ("user", &user.name), payload)?;
        setup::insert(db, scene, &made, Some(&user), &by.name)?;
        Ok(Ok((user, made.text)))
    })
    .await
}

/// Changes a user's role, scopes or state. It holds from the next request on; disabling ends all sessions.
pub async fn update(engine: &Engine, name: String, change: Change, by: &Person) -> Result<UserRow, ActError> {
    checked(change.scopes.as_ref().and_then(|scopes| scopes.as_deref()))?;
    let has_configured = setup::has_configured_admin(engine);
    act(engine, by, move |db, scene, by| {
        lock_decisions(db)?;
        let Some(before) = known(db, &name)? else { return Ok(Err(ActError::NotFound)) };
        let disabled_at = match change.is_disabled {
            Some(true) => before.disabled_at.or(Some(scene.now)),
            Some(false) => None,
            None => before.disabled_at,
        };
        let user = UserRow {
            role: change.role.unwrap_or(before.role),
            scopes: change.scopes.map_or_else(|| before.scopes.clone(), |scopes| scopes.map(Json)),
            disabled_at,
            updated_at: scene.now,
            ..before.clone()
        };
        users::update(db, &user)?;
        if is_admin(&before) && is_locked_out(db, has_configured)? {
            // Taken back with all of this transaction.
            return Err(StoreError::GivenUp(LAST_ADMIN.to_owned()));
        }
        if before.disabled_at.is_none() && user.disabled_at.is_some() {
            sessions::end_all(db, user.id, &by.name, scene.now)?;
        }
        let told = |user: &UserRow| {
            json!({ "role": user.role, "scopes": user.scopes, "isDisabled": user.disabled_at.is_some() })
        };
        let payload = json!({ "from": told(&before), "to": told(&user) });
        scene.record(db, EventKind::UserUpdated, &by.name, ("user", &user.name), payload)?;
        Ok(Ok(user))
    })
    .await
    .map_err(given_up)
}

/// Takes a user away for good, with all sessions and tokens. The name stays taken.
pub async fn remove(engine: &Engine, name: String, by: &Person) -> Result<(), ActError> {
    let has_configured = setup::has_configured_admin(engine);
    act(engine, by, move |db, scene, by| {
        lock_decisions(db)?;
        let Some(before) = known(db, &name)? else { return Ok(Err(ActError::NotFound)) };
        let was_admin = is_admin(&before);
        let user = close(db, scene, before, &by.name)?;
        users::update(db, &UserRow { removed_at: Some(scene.now), ..user.clone() })?;
        api_tokens::revoke_all(db, user.id, &by.name, scene.now)?;
        if was_admin && is_locked_out(db, has_configured)? {
            return Err(StoreError::GivenUp(LAST_ADMIN.to_owned()));
        }
        scene.record(db, EventKind::UserDeleted, &by.name, ("user", &name), json!({ "role": user.role }))?;
        Ok(Ok(()))
    })
    .await
    .map_err(given_up)
}

/// Takes a user's password away and ends all sessions; the token, shown once, lets that user choose another.
pub async fn reset(engine: &Engine, name: String, by: &Person) -> Result<(UserRow, Secret), ActError> {
    let made = make(Kind::Setup)?;
    act(engine, by, move |db, scene, by| {
        let Some(before) = known(db, &name)? else { return Ok(Err(ActError::NotFound)) };
        let user = close(db, scene, before, &by.name)?;
        scene.record(db, EventKind::UserReset, &by.name, ("user", &name), json!({}))?;
        setup::insert(db, scene, &made, Some(&user), &by.name)?;
        Ok(Ok((user, made.text)))
    })
    .await
}

/// The user without a password, and without anything that it opened.
fn close(db: &mut Db, scene: &Scene, before: UserRow, by: &str) -> Result<UserRow, StoreError> {
    let user = UserRow { password_hash: None, updated_at: scene.now, ..before };
    users::update(db, &user)?;
    sessions::end_all(db, user.id, by, scene.now)?;
    setup_tokens::void(db, Some(user.id), scene.now)?;
    Ok(user)
}

fn known(db: &mut Db, name: &str) -> Result<Option<UserRow>, StoreError> {
    Ok(users::by_name(db, name)?.filter(|user| user.removed_at.is_none()))
}

const LAST_ADMIN: &str =
    "this is the last admin, and the configuration has no admin's token: nobody could take that back";

fn is_admin(user: &UserRow) -> bool {
    user.role == Role::Admin && user.is_active()
}

/// Nobody is left who could make anybody an admin.
fn is_locked_out(db: &mut Db, has_configured: bool) -> Result<bool, StoreError> {
    Ok(!has_configured && users::active(db, Role::Admin)? == 0)
}

fn given_up(error: ActError) -> ActError {
    match error {
        ActError::Store(StoreError::GivenUp(message)) => ActError::Conflict(message),
        other => other,
    }
}

/// A name that a user may have: plain, and no token's of the configuration, for whom a user would be taken in the records.
pub(super) fn free(engine: &Engine, name: &str) -> Result<(), ActError> {
    if let Some(flaw) = name::flaw_of_user(name) {
        return Err(ActError::Invalid(flaw));
    }
    if engine.policy().config.tokens.iter().any(|token| token.name.eq_ignore_ascii_case(name)) {
        return Err(ActError::Conflict(format!(
            "a token of the configuration is called `{name}`; choose another name"
        )));
    }
    Ok(())
}

fn checked(scopes: Option<&[Scope]>) -> Result<(), ActError> {
    scopes.and_then(rights::flaw).map_or(Ok(()), |flaw| Err(ActError::Invalid(flaw)))
}
