//! The API, one resource per file. A handler reads rows or calls an act of the engine, and shows the outcome.

pub mod acts;
pub mod alerts;
pub mod approvals;
mod asked;
pub mod audit;
pub mod audit_chain;
pub mod blackouts;
pub mod breakers;
pub mod credentials;
pub mod decisions;
pub mod execute;
pub mod executions;
pub mod explain;
mod gaps;
pub mod holds;
pub mod pauses;
pub mod quarantine;
pub mod query;
pub mod record;
pub mod runbooks;
mod seen;
pub mod servers;
pub mod sessions;
pub mod settings;
pub mod statistics;
pub mod stream;
pub mod tokens;
pub mod users;

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use query::WholeList;

use super::error::ApiError;
use crate::engine::Engine;
use crate::id::{AlertId, BatchId, ExecutionId, SessionId, TokenId};
use crate::store::executions::get as execution;
use crate::store::prefix::{self, Named, Prefix};
use crate::store::{Paged, Store};
use crate::web::auth::Person;

pub use asked::Asked;

/// One page of a list, newest first.
#[derive(Serialize, ToSchema, Debug)]
pub struct List<T> {
    pub items: Vec<T>,
    /// `cursor` of the next page; null at the end.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page of rows as they are shown.
    pub fn of<Row, Id: Display>(paged: Paged<Row, Id>, show: impl FnMut(Row) -> T) -> Self {
        let next_cursor = paged.next.as_ref().map(ToString::to_string);
        Self { items: paged.rows.into_iter().map(show).collect(), next_cursor }
    }

    /// All that there is.
    pub fn all(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

/// What goes wrong, in every route.
#[derive(Serialize, ToSchema, Debug)]
pub struct Error {
    pub error: ErrorDetail,
}

/// The inside of an error.
#[derive(Serialize, ToSchema, Debug)]
pub struct ErrorDetail {
    /// `snake_case`; stable.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// A body that says why.
#[derive(Deserialize, ToSchema, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Reason {
    /// 1 to 1,000 characters.
    pub reason: Option<String>,
}

/// The execution whose id is or begins with `text`; what `person` may not see is not there.
pub async fn execution_id(engine: &Engine, person: &Person, text: &str) -> Result<ExecutionId, ApiError> {
    let id = find(&engine.store, "execution", text, prefix::execution).await?;
    if person.rights.is_unlimited() {
        return Ok(id);
    }
    let row = engine.store.read(move |db| execution(db, id)).await?;
    if seen::execution(person, &row) { Ok(id) } else { Err(ApiError::not_found(format!("execution `{text}`"))) }
}

/// The alert whose id is or begins with `text`.
pub async fn alert_id(engine: &Engine, text: &str) -> Result<AlertId, ApiError> {
    find(&engine.store, "alert", text, prefix::alert).await
}

/// The batch approval whose id is or begins with `text`.
pub async fn batch_id(engine: &Engine, text: &str) -> Result<BatchId, ApiError> {
    find(&engine.store, "approval", text, prefix::batch).await
}

/// The session whose id is or begins with `text`.
pub async fn session_id(engine: &Engine, text: &str) -> Result<SessionId, ApiError> {
    find(&engine.store, "session", text, prefix::session).await
}

/// The API token whose id is or begins with `text`.
pub async fn token_id(engine: &Engine, text: &str) -> Result<TokenId, ApiError> {
    find(&engine.store, "token", text, prefix::token).await
}

async fn find<Id: Send + 'static>(
    store: &Store,
    what: &'static str,
    text: &str,
    look: impl FnOnce(&mut crate::store::Db, Prefix) -> Result<Named<Id>, crate::store::StoreError> + Send + 'static,
) -> Result<Id, ApiError> {
    let missing = || ApiError::not_found(format!("{what} `{text}`"));
    let prefix = Prefix::parse(text).ok_or_else(missing)?;
    match store.read(move |db| look(db, prefix)).await? {
        Named::One(id) => Ok(id),
        Named::None => Err(missing()),
        Named::Several => {
            let message = format!("several {what}s have an id that begins with `{text}`; write more of it");
            Err(ApiError::conflict("ambiguous_id", message))
        }
    }
}
