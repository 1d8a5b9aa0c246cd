//! One-time tokens: the first admin, and passwords that only their owners know.
//!
//! There is no account and no secret by default: whoever can read what the engine prints at its first start makes the first
//! admin.

use serde_json::json;

use super::throttle::{Attempt, Turn};
use super::{Kind, LoginError, Scene, make, me, passwords, secret};
use crate::audit::EventKind;
use crate::config::Secret;
use crate::engine::Engine;
use crate::engine::acts::ActError;
use crate::id::SetupTokenId;
use crate::limits;
use crate::rights::Role;
use crate::store::setup_tokens::{self, SetupTokenRow};
use crate::store::users::{self, UserRow};
use crate::store::{Db, StoreError};

/// What somebody shows who redeems a token.
#[derive(Clone, Debug)]
pub struct Setup {
    pub token: Secret,
    /// Needed for the first admin; else it must be the token's owner, if it is given.
    pub name: Option<String>,
    pub password: Secret,
    pub ip_address: Option<String>,
}

/// Why a token was not redeemed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The token is wrong, used up or too old, or too many were.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The name or the password cannot be taken. The token stays good.
    #[error(transparent)]
    Act(#[from] ActError),
}

impl From<StoreError> for SetupError {
    fn from(error: StoreError) -> Self {
        Self::Login(error.into())
    }
}

/// At a start: a token for the first admin, if this is the first start, or if nobody could do an admin's work otherwise.
pub async fn begin(engine: &Engine) -> Result<Option<Secret>, StoreError> {
    let scene = Scene::new(engine, None);
    let has_configured = has_configured_admin(engine);
    let made = make(Kind::Setup)?;
    engine
        .store
        .write(move |db| {
            crate::store::lock_decisions(db)?;
            let is_needed = if users::is_empty(db)? {
                !setup_tokens::has_begun(db)? || !has_configured
            } else {
                !has_configured && users::active(db, Role::Admin)? == 0
            };
            if !is_needed {
                return Ok(None);
            }
            insert(db, &scene, &made, None, "engine")?;
            Ok(Some(made.text))
        })
        .await
}

/// Whether the configuration has a token that may do everything.
pub(super) fn has_configured_admin(engine: &Engine) -> bool {
    engine.policy().config.tokens.iter().any(|token| token.role == Role::Admin && token.scopes.is_none())
}

/// Stores a token, for a user or for the first admin.
pub(super) fn insert(
    db: &mut Db,
    scene: &Scene,
    made: &super::Made,
    user: Option<&UserRow>,
    by: &str,
) -> Result<(), StoreError> {
    let row = SetupTokenRow {
        id: SetupTokenId::new(),
        token_hash: made.hash.clone(),
        user_id: user.map(|user| user.id),
        created_by: by.to_owned(),
        created_at: scene.now,
        expires_at: scene.now.plus(limits::SETUP_TOKEN_FOR),
        used_at: None,
    };
    setup_tokens::insert(db, &row)?;
    let of = user.map_or("first admin", |user| user.name.as_str());
    let payload = json!({ "for": of, "expiresAt": row.expires_at });
    scene.record(db, EventKind::SetupTokenCreated, by, ("setup_token", &row.id.to_string()), payload)
}

/// Redeems a token: makes the first admin, or gives its owner the password. All other sessions of that user end.
pub async fn redeem(engine: &Engine, setup: Setup) -> Result<UserRow, SetupError> {
    let scene = Scene::new(engine, setup.ip_address.clone());
    // A token has too many bits to be guessed; this keeps whoever tries from asking the database all day.
    let attempt = Attempt::new("set-up", setup.ip_address.as_deref());
    let hash = secret::hash(setup.token.expose());
    let found = {
        let (attempt, scene, hash) = (attempt.clone(), scene.clone(), hash.clone());
        let read = engine.store.write(move |db| {
            let token = usable(db, &hash, &scene)?;
            // Whoever has the token does not wait for the failures of those who have not.
            let turn = attempt.begin(db, token.is_some(), scene.now)?;
            let user = match token.as_ref().and_then(|token| token.user_id) {
                Some(id) => Some(users::get(db, id)?),
                None => None,
            };
            Ok((turn, token, user))
        });
        match read.await? {
            (Turn::Wait(wait), ..) => return Err(LoginError::Wait(wait).into()),
            (Turn::Taken { .. }, Some(token), user) => (token, user),
            (Turn::Taken { .. }, None, _) => return Err(LoginError::Wrong.into()),
        }
    };
    let (token, user) = found;
    let name = chosen(engine, user.as_ref(), setup.name.as_deref())?;
    if let Some(flaw) = passwords::flaw(&setup.password, &name) {
        return Err(ActError::Invalid(flaw).into());
    }
    let password = engine.passwords.hash(setup.password).await.map_err(LoginError::from)?;
    let done = engine.store.write(move |db| {
        if usable(db, &hash, &scene)?.is_none() || !setup_tokens::take(db, token.id, scene.now)? {
            return Ok(Err(SetupError::Login(LoginError::Wrong)));
        }
        attempt.succeeded(db, scene.now)?;
        let user = match token.user_id {
            Some(id) => Some(users::get(db, id)?),
            None => None,
        };
        let user = match user {
            Some(user) if user.removed_at.is_some() => return Ok(Err(SetupError::Login(LoginError::Wrong))),
            Some(user) => user,
            None => {
                // One first admin: the other tokens are void, also those of other replicas.
                setup_tokens::void(db, None, scene.now)?;
                match first_admin(db, &scene, &name)? {
                    Some(user) => user,
                    None => {
                        let message = format!("there is or was a user called `{name}`; choose another name");
                        return Err(StoreError::Conflict(message));
                    }
                }
            }
        };
        let user = me::set_password(db, &scene, user, password, &name)?;
        let payload = json!({ "setupToken": token.id, "role": user.role });
        scene.record(db, EventKind::SetupCompleted, &name, ("user", &name), payload)?;
        Ok(Ok(user))
    });
    done.await?
}

fn usable(db: &mut Db, hash: &str, scene: &Scene) -> Result<Option<SetupTokenRow>, StoreError> {
    let token = setup_tokens::by_hash(db, hash)?;
    Ok(token.filter(|token| token.used_at.is_none() && token.expires_at > scene.now))
}

/// The name that the password will be for.
fn chosen(engine: &Engine, user: Option<&UserRow>, given: Option<&str>) -> Result<String, ActError> {
    match (user, given) {
        (Some(user), Some(given)) if given != user.name => {
            Err(ActError::Invalid(format!("this set-up token is for `{}`", user.name)))
        }
        (Some(user), _) => Ok(user.name.clone()),
        (None, None) => Err(ActError::Invalid("`name` is needed: the first admin's".to_owned())),
        (None, Some(given)) => {
            super::users::free(engine, given)?;
            Ok(given.to_owned())
        }
    }
}

/// `None`: the name is taken.
fn first_admin(db: &mut Db, scene: &Scene, name: &str) -> Result<Option<UserRow>, StoreError> {
    if users::by_name(db, name)?.is_some() {
        return Ok(None);
    }
    let user = UserRow::new(name.to_owned(), Role::Admin, None, name.to_owned(), scene.now);
    users::insert(db, &user)?;
    let payload = json!({ "name": name, "role": user.role, "scopes": null });
    scene.record(db, EventKind::UserCreated, name, ("user", name), payload)?;
    Ok(Some(user))
}
