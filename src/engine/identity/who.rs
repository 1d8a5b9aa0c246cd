//! Who stands behind a credential, as of now: a demotion, a disabled account, a revoked token hold from the next request on.

use super::secret::hash;
use super::{Account, Kind, Person, Shown, rights_of};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::limits;
use crate::store::api_tokens::{self, TokenRow};
use crate::store::sessions::{self, SessionRow};
use crate::store::users::UserRow;
use crate::store::{SessionKind, StoreError};

/// How a secret came. What a browser sends by itself is not taken from a header, nor the other way round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// `Authorization: Bearer`.
    Bearer,
    /// The cookie.
    Cookie,
}

/// The person whom `secret` belongs to, if it is good.
pub async fn recognise(
    engine: &Engine,
    secret: &str,
    channel: Channel,
    ip_address: Option<String>,
) -> Result<Option<Person>, StoreError> {
    let now = engine.clock.now();
    let hash = hash(secret);
    match (Kind::of(secret), channel) {
        (Some(Kind::Token), Channel::Bearer) => {
            let found = engine.store.read(move |db| api_tokens::by_hash(db, &hash)).await?;
            let Some((token, owner)) = found.filter(|(token, owner)| is_usable(token, owner, now)) else {
                return Ok(None);
            };
            note_token(engine, &token, ip_address.as_deref(), now).await;
            Ok(Some(of_token(engine, &token, &owner, ip_address)))
        }
        (Some(Kind::Session), _) => {
            let found = engine.store.read(move |db| sessions::by_hash(db, &hash)).await?;
            let found = found.filter(|(session, user)| is_open(session, user, now) && channel == of_kind(session.kind));
            let Some((session, user)) = found else { return Ok(None) };
            note_session(engine, &session, now).await;
            let shown = Shown::Session(session.id);
            Ok(Some(Person {
                rights: rights_of(engine, &user, user.role),
                role: user.role,
                ip_address,
                account: Some(Account { user: user.id, shown }),
                name: user.name,
            }))
        }
        (Some(Kind::Token), Channel::Cookie) | (Some(Kind::Setup) | None, _) => Ok(None),
    }
}

fn of_kind(kind: SessionKind) -> Channel {
    match kind {
        SessionKind::Browser => Channel::Cookie,
        SessionKind::CommandLine => Channel::Bearer,
    }
}

fn is_usable(token: &TokenRow, owner: &UserRow, now: Timestamp) -> bool {
    token.revoked_at.is_none() && token.expires_at > now && owner.is_active()
}

fn is_open(session: &SessionRow, user: &UserRow, now: Timestamp) -> bool {
    let is_idle = now.since(session.seen_at) >= limits::SESSION_IDLE_MAX;
    session.ended_at.is_none() && session.ends_at > now && !is_idle && user.is_active()
}

/// The owner, as far as the token reaches: never further than the owner reaches now.
fn of_token(engine: &Engine, token: &TokenRow, owner: &UserRow, ip_address: Option<String>) -> Person {
    let role = token.role.and(owner.role);
    let rights = rights_of(engine, owner, role);
    let rights = match token.scopes() {
        Some(scopes) => rights.narrowed_by(scopes),
        None => rights,
    };
    let account = Account { user: owner.id, shown: Shown::Token(token.id) };
    Person { name: owner.name.clone(), role, rights, ip_address, account: Some(account) }
}

/// A use that cannot be noted is no reason to refuse it: the disk may be full, and somebody has come to look.
async fn note_token(engine: &Engine, token: &TokenRow, from: Option<&str>, now: Timestamp) {
    if token.last_used_at.is_some_and(|last| now.since(last) < limits::USE_NOTED_EVERY) {
        return;
    }
    let (id, from) = (token.id, from.map(str::to_owned));
    if let Err(error) = engine.store.write(move |db| api_tokens::used(db, id, from.as_deref(), now)).await {
        tracing::warn!(%error, "the use of a token was not noted");
    }
}

async fn note_session(engine: &Engine, session: &SessionRow, now: Timestamp) {
    if now.since(session.seen_at) < limits::USE_NOTED_EVERY {
        return;
    }
    let id = session.id;
    if let Err(error) = engine.store.write(move |db| sessions::seen(db, id, now)).await {
        tracing::warn!(%error, "the use of a session was not noted");
    }
}
