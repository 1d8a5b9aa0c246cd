//! API tokens: what users give to their programs.

use std::time::Duration;

use serde_json::json;

use super::{Account, Kind, Person, Shown, act, make, name};
use crate::audit::EventKind;
use crate::config::Secret;
use crate::engine::Engine;
use crate::engine::acts::ActError;
use crate::id::TokenId;
use crate::limits;
use crate::rights::{self, Role, Scope};
use crate::store::api_tokens::{self, TokenRow};
use crate::store::{Json, StoreError};

/// What somebody wants a token for.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: String,
    /// At most the maker's own, which it is if it is left out.
    pub role: Option<Role>,
    pub scopes: Option<Vec<Scope>>,
    pub expires_in: Option<Duration>,
}

/// Makes a token for whoever is logged in; it is shown once. A token makes no tokens: a leaked one cannot outlive itself.
pub async fn mint(engine: &Engine, new: NewToken, by: &Person) -> Result<(TokenRow, Secret), ActError> {
    let Some(Account { user, shown: Shown::Session(_) }) = by.account else {
        let message = "only who is logged in makes tokens (`douse login`); a token makes none".to_owned();
        return Err(ActError::Forbidden(message));
    };
    if let Some(flaw) = name::flaw_of_token(&new.name).or_else(|| new.scopes.as_deref().and_then(rights::flaw)) {
        return Err(ActError::Invalid(flaw));
    }
    let role = new.role.unwrap_or(by.role);
    if !by.role.covers(role) {
        return Err(ActError::Forbidden(format!("{} is {}, and cannot make a token for {role}", by.name, by.role)));
    }
    let lives = new.expires_in.unwrap_or(limits::TOKEN_FOR);
    if lives.is_zero() || lives > limits::TOKEN_FOR_MAX {
        let days = limits::TOKEN_FOR_MAX.as_secs() / (24 * 3_600);
        return Err(ActError::Invalid(format!("a token lives for more than nothing and at most {days} days")));
    }
    let made = make(Kind::Token)?;
    let minted = act(engine, by, move |db, scene, by| {
        if api_tokens::usable(db, user, scene.now)? >= limits::TOKENS_OF_USER_MAX {
            let message = format!("{} has {} tokens; revoke one first", by.name, limits::TOKENS_OF_USER_MAX);
            return Ok(Err(ActError::Conflict(message)));
        }
        let token = TokenRow {
            id: TokenId::new(),
            user_id: user,
            name: new.name,
            prefix: made.prefix,
            token_hash: made.hash,
            role,
            scopes: new.scopes.map(Json),
            created_at: scene.now,
            expires_at: scene.now.plus(lives),
            last_used_at: None,
            last_used_from: None,
            revoked_at: None,
            revoked_by: None,
        };
        api_tokens::insert(db, &token)?;
        let payload = json!({
            "name": token.name, "prefix": token.prefix, "role": token.role, "scopes": token.scopes,
            "expiresAt": token.expires_at,
        });
        scene.record(db, EventKind::TokenCreated, &by.name, ("token", &token.id.to_string()), payload)?;
        Ok(Ok((token, made.text)))
    });
    minted.await.map_err(|error| match error {
        ActError::Store(StoreError::Conflict(_)) => {
            ActError::Conflict("you have a token of that name; revoke it, or choose another name".to_owned())
        }
        other => other,
    })
}

/// Revokes a token of the person's own, also the one that is shown; an admin revokes anybody's.
pub async fn revoke(engine: &Engine, id: TokenId, by: &Person) -> Result<(), ActError> {
    act(engine, by, move |db, scene, by| {
        let (token, owner) = api_tokens::get(db, id)?;
        let is_own = by.account.is_some_and(|account| {
            account.user == owner.id
                && (matches!(account.shown, Shown::Session(_)) || account.shown == Shown::Token(id))
        });
        if !is_own && !by.role.covers(Role::Admin) {
            return Ok(Err(ActError::NotFound));
        }
        if api_tokens::revoke(db, id, &by.name, scene.now)? {
            let payload = json!({ "name": token.name, "prefix": token.prefix, "owner": owner.name });
            scene.record(db, EventKind::TokenRevoked, &by.name, ("token", &id.to_string()), payload)?;
        }
        Ok(Ok(()))
    })
    .await
}
