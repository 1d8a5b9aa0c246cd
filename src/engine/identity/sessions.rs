//! The end of sessions.

use serde_json::json;

use super::{Person, Shown, act};
use crate::audit::EventKind;
use crate::engine::Engine;
use crate::engine::acts::ActError;
use crate::id::SessionId;
use crate::rights::Role;
use crate::store::sessions;

/// Ends the session that the person has shown.
pub async fn log_out(engine: &Engine, by: &Person) -> Result<(), ActError> {
    let Some(Shown::Session(id)) = by.account.map(|account| account.shown) else {
        let message = "a token is not logged in; revoke it instead (`douse tokens revoke`)".to_owned();
        return Err(ActError::Conflict(message));
    };
    act(engine, by, move |db, scene, by| {
        if sessions::end(db, id, &by.name, scene.now)? {
            let payload = json!({ "session": id });
            scene.record(db, EventKind::LoggedOut, &by.name, ("user", &by.name), payload)?;
        }
        Ok(Ok(()))
    })
    .await
}

/// Ends a session of the person's own; an admin ends anybody's.
pub async fn end_session(engine: &Engine, id: SessionId, by: &Person) -> Result<(), ActError> {
    act(engine, by, move |db, scene, by| {
        let (_, user) = sessions::get(db, id)?;
        let is_own = by.account.is_some_and(|account| account.user == user.id);
        if !is_own && !by.role.covers(Role::Admin) {
            // That there is such a session is nobody else's business.
            return Ok(Err(ActError::NotFound));
        }
        if sessions::end(db, id, &by.name, scene.now)? {
            let payload = json!({ "session": id });
            scene.record(db, EventKind::SessionEnded, &by.name, ("user", &user.name), payload)?;
        }
        Ok(Ok(()))
    })
    .await
}
