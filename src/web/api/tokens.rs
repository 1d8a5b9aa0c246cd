//! API tokens: one's own, and all for who may see them.

use actix_web::{HttpResponse, delete, get, post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::OwnerQuery;
use super::sessions::owner;
use super::{Asked, Error, List, token_id};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::identity::tokens::{self as act, NewToken};
use crate::id::TokenId;
use crate::rights::{Role, Scope};
use crate::store::api_tokens::{self, TokenRow};
use crate::store::users::UserRow;
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// An API token, without its secret.
#[derive(Serialize, ToSchema, Debug)]
pub struct TokenView {
    pub id: TokenId,
    pub name: String,
    pub owner: String,
    /// Its first characters.
    pub prefix: String,
    /// A ceiling: never more than its owner may now.
    pub role: Role,
    #[schema(value_type = Option<Vec<Object>>)]
    pub scopes: Option<Vec<Scope>>,
    /// `active`, `expired`, `revoked`, or `disabled` with its owner.
    pub state: &'static str,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// To about a minute.
    pub last_used_at: Option<Timestamp>,
    pub last_used_from: Option<String>,
}

impl TokenView {
    fn new(token: TokenRow, owner: &UserRow, now: Timestamp) -> Self {
        let state = match () {
            () if token.revoked_at.is_some() => "revoked",
            () if token.expires_at <= now => "expired",
            () if !owner.is_active() => "disabled",
            () => "active",
        };
        Self {
            id: token.id,
            name: token.name,
            owner: owner.name.clone(),
            prefix: token.prefix,
            role: token.role,
            scopes: token.scopes.map(|scopes| scopes.0),
            state,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            last_used_from: token.last_used_from,
        }
    }
}

/// A token that was made, with its secret.
#[derive(Serialize, ToSchema)]
pub struct MintedView {
    #[serde(flatten)]
    pub view: TokenView,
    /// Shown once.
    pub token: String,
}

/// What a token is wanted for.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    pub name: String,
    /// At most one's own, which it is when it is left out.
    #[serde(default)]
    pub role: Option<Role>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub scopes: Option<Vec<Scope>>,
    /// `90d` when it is left out.
    #[serde(default)]
    pub expires_in: Option<String>,
}

/// One's own tokens, newest first; with `owner` another's, for auditors and admins
#[utoipa::path(tag = "tokens", params(OwnerQuery), responses((status = 200, body = List<TokenView>), (status = 403, body = Error)))]
#[get("/api/v1/tokens")]
pub async fn list(
    engine: web::Data<Engine>,
    query: Asked<OwnerQuery>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let (whole, of) = owner(&engine, query.into_inner(), &person).await?;
    let now = engine.clock.now();
    let rows = engine.store.read(move |db| api_tokens::list(db, of)).await?;
    let (rows, next_cursor) = whole.cut(rows, |(token, _)| token.id.to_string())?;
    let items = rows.into_iter().map(|(token, owner)| TokenView::new(token, &owner, now)).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// Make a token; who is logged in may, a token may not
#[utoipa::path(tag = "tokens", request_body = TokenBody,
    responses((status = 201, body = MintedView), (status = 403, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/tokens")]
pub async fn create(
    engine: web::Data<Engine>,
    person: Person,
    Body(body): Body<TokenBody>,
) -> Result<HttpResponse, ApiError> {
    let expires_in = match body.expires_in.as_deref().map(humantime::parse_duration) {
        Some(Ok(duration)) => Some(duration),
        None => None,
        Some(Err(error)) => {
            let message = format!("`expires_in` must be a duration with its unit, as in 30d: {error}");
            return Err(ApiError::invalid("invalid_body", message));
        }
    };
    let new = NewToken { name: body.name, role: body.role, scopes: body.scopes, expires_in };
    let (token, secret) = act::mint(&engine, new, &person).await?;
    let (id, now) = (token.id, engine.clock.now());
    let (token, owner) = engine.store.read(move |db| api_tokens::get(db, id)).await?;
    let view = MintedView { view: TokenView::new(token, &owner, now), token: secret.expose().to_owned() };
    Ok(HttpResponse::Created().insert_header(("Cache-Control", "no-store")).json(view))
}

/// Revoke a token of one's own; an admin revokes anybody's
#[utoipa::path(tag = "tokens", params(("id" = String, Path)), responses((status = 204), (status = 404, body = Error)))]
#[delete("/api/v1/tokens/{id}")]
pub async fn revoke(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let id = token_id(&engine, &id).await?;
    act::revoke(&engine, id, &person).await?;
    Ok(HttpResponse::NoContent().finish())
}
