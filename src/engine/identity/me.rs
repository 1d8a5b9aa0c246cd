//! What users do to their own account.

use serde_json::json;

use super::throttle::{Attempt, Turn};
use super::{Account, Kind, LoggedIn, Login, LoginError, Person, Scene, Shown, make, passwords};
use crate::audit::EventKind;
use crate::config::Secret;
use crate::engine::Engine;
use crate::engine::acts::ActError;
use crate::store::users::{self, UserRow};
use crate::store::{Db, StoreError, sessions, setup_tokens};

/// Changes the person's own password. All sessions end; the one that asked goes on as a new one, which is answered.
pub async fn change_password(
    engine: &Engine,
    by: &Person,
    current: Secret,
    new: Secret,
    user_agent: Option<String>,
) -> Result<Result<LoggedIn, LoginError>, ActError> {
    let Some(Account { user: id, shown: Shown::Session(session) }) = by.account else {
        let message = "only who is logged in changes a password; a token does not".to_owned();
        return Err(ActError::Forbidden(message));
    };
    if let Some(flaw) = passwords::flaw(&new, &by.name) {
        return Err(ActError::Invalid(flaw));
    }
    let scene = Scene::new(engine, by.ip_address.clone());
    // Whoever found an open browser must not find the password by trying.
    let attempt = Attempt::new(&by.name, by.ip_address.as_deref());
    let (turn, now) = (attempt.clone(), scene.now);
    let read = engine.store.write(move |db| Ok((turn.begin(db, true, now)?, users::get(db, id)?)));
    let (turn, user) = read.await?;
    if let Turn::Wait(wait) = turn {
        return Ok(Err(LoginError::Wait(wait)));
    }
    let hash = user.password_hash.clone();
    let verified =
        if passwords::is_too_long(&current) { Ok(false) } else { engine.passwords.verify(current, hash.clone()).await };
    match verified {
        Ok(true) => {}
        Ok(false) => return Ok(Err(LoginError::Wrong)),
        Err(busy) => return Ok(Err(busy.into())),
    }
    let hashed = match engine.passwords.hash(new).await {
        Ok(hashed) => hashed,
        Err(busy) => return Ok(Err(busy.into())),
    };
    let made = make(Kind::Session)?;
    let (name, ip_address) = (by.name.clone(), by.ip_address.clone());
    let done = engine.store.write(move |db| {
        let user = users::get(db, id)?;
        if user.password_hash != hash || !user.is_active() {
            return Ok(Err(LoginError::Wrong));
        }
        let kind = sessions::get(db, session)?.0.kind;
        attempt.succeeded(db, scene.now)?;
        let user = set_password(db, &scene, user, hashed, &name)?;
        scene.record(db, EventKind::PasswordChanged, &name, ("user", &name), json!({}))?;
        let login = Login { name, password: Secret::new(String::new()), kind, ip_address, user_agent };
        super::login::open(db, &scene, user, &made, &login).map(Ok)
    });
    Ok(done.await?)
}

/// Gives `user` another password, and ends all that the old one opened: sessions, and unused set-up tokens.
pub(super) fn set_password(
    db: &mut Db,
    scene: &Scene,
    user: UserRow,
    hash: String,
    by: &str,
) -> Result<UserRow, StoreError> {
    let user =
        UserRow { password_hash: Some(hash), password_changed_at: Some(scene.now), updated_at: scene.now, ..user };
    users::update(db, &user)?;
    sessions::end_all(db, user.id, by, scene.now)?;
    setup_tokens::void(db, Some(user.id), scene.now)?;
    Ok(user)
}
