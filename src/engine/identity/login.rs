//! Logging in with name and password.
//!
//! Who does not exist, is disabled, or has no password yet costs the same work and gets the same answer as who mistypes.

use std::time::Duration;

use serde_json::json;

use super::throttle::{Attempt, Turn};
use super::{Kind, Made, Scene, make, passwords};
use crate::audit::EventKind;
use crate::config::Secret;
use crate::engine::Engine;
use crate::id::SessionId;
use crate::limits;
use crate::store::sessions::{self, SessionRow};
use crate::store::users::{self, UserRow};
use crate::store::{Db, SessionKind, StoreError};

/// What somebody shows who wants to log in.
#[derive(Clone, Debug)]
pub struct Login {
    pub name: String,
    pub password: Secret,
    pub kind: SessionKind,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
}

/// Somebody who is logged in now.
pub struct LoggedIn {
    pub user: UserRow,
    pub session: SessionRow,
    /// Shown once.
    pub secret: Secret,
}

/// Why somebody is not.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// 401: which of them is not told.
    #[error("the name or the password is wrong")]
    Wrong,
    /// 429: too many failed.
    #[error("too many log-ins failed; try again in {} s", .0.as_secs() + 1)]
    Wait(Duration),
    /// 503: too many at once.
    #[error(transparent)]
    Busy(#[from] super::TooBusy),
    /// 503 if retryable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Logs somebody in, with a session of a new id.
pub async fn login(engine: &Engine, login: Login) -> Result<LoggedIn, LoginError> {
    let name: String = login.name.trim().chars().take(limits::NAME_CHARS_MAX + 1).collect();
    let scene = Scene::new(engine, login.ip_address.clone());
    let attempt = Attempt::new(&name, login.ip_address.as_deref());
    let found = take_turn(engine, &scene, &attempt, &name).await?;
    let hash = found.as_ref().filter(|user| user.is_active()).and_then(|user| user.password_hash.clone());
    // More than is hashed for anybody is nobody's password.
    let is_too_long = passwords::is_too_long(&login.password);
    let password = if is_too_long { Secret::new(String::new()) } else { login.password.clone() };
    let is_right = engine.passwords.verify(password, hash.clone()).await? && !is_too_long;
    let made = make(Kind::Session)?;
    let done = engine.store.write(move |db| {
        // As it is now: it may have been disabled, or its password changed, while this one was hashed.
        let user = users::by_name(db, &name)?;
        match user.filter(|user| is_right && user.is_active() && user.password_hash == hash) {
            Some(user) => {
                attempt.succeeded(db, scene.now)?;
                open(db, &scene, user, &made, &login).map(Some)
            }
            None => {
                let known = found.map(|user| user.name);
                let resource = ("user", known.as_deref().unwrap_or("unknown"));
                scene.record(db, EventKind::LoginFailed, "anonymous", resource, json!({}))?;
                Ok(None)
            }
        }
    });
    done.await?.ok_or(LoginError::Wrong)
}

/// The user of that name, if there is one, once it is its turn.
async fn take_turn(
    engine: &Engine,
    scene: &Scene,
    attempt: &Attempt,
    name: &str,
) -> Result<Option<UserRow>, LoginError> {
    let (scene, attempt, name) = (scene.clone(), attempt.clone(), name.to_owned());
    let turn = engine.store.write(move |db| {
        let user = users::by_name(db, &name)?;
        let is_known_address = match (&user, &scene.ip_address) {
            (Some(user), Some(address)) => {
                sessions::is_known_address(db, user.id, address, scene.now.minus(limits::KNOWN_ADDRESS_FOR))?
            }
            (None, _) | (_, None) => false,
        };
        let turn = attempt.begin(db, is_known_address, scene.now)?;
        if turn == (Turn::Taken { is_last_free: true }) {
            let resource = ("user", user.as_ref().map_or("unknown", |user| user.name.as_str()));
            scene.record(db, EventKind::LoginThrottled, "anonymous", resource, json!({}))?;
        }
        Ok((turn, user))
    });
    match turn.await? {
        (Turn::Taken { .. }, user) => Ok(user),
        (Turn::Wait(wait), _) => Err(LoginError::Wait(wait)),
    }
}

/// Opens a session for `user`, who has proved to be it.
pub(super) fn open(
    db: &mut Db,
    scene: &Scene,
    user: UserRow,
    made: &Made,
    login: &Login,
) -> Result<LoggedIn, StoreError> {
    let older = sessions::open(db, Some(user.id), scene.now)?;
    for (session, _) in older.iter().skip(limits::SESSIONS_OF_USER_MAX - 1) {
        sessions::end(db, session.id, "engine", scene.now)?;
    }
    let user_agent = login.user_agent.as_ref().map(|text| text.chars().take(200).collect());
    let session = SessionRow {
        id: SessionId::new(),
        user_id: user.id,
        kind: login.kind,
        secret_hash: made.hash.clone(),
        created_at: scene.now,
        seen_at: scene.now,
        ends_at: scene.now.plus(limits::SESSION_MAX),
        ended_at: None,
        ended_by: None,
        ip_address: scene.ip_address.clone(),
        user_agent,
    };
    sessions::insert(db, &session)?;
    let user = UserRow { last_login_at: Some(scene.now), ..user };
    users::update(db, &user)?;
    let payload = json!({ "session": session.id, "kind": session.kind });
    scene.record(db, EventKind::LoginSucceeded, &user.name, ("user", &user.name), payload)?;
    Ok(LoggedIn { user, session, secret: made.text.clone() })
}
