//! Users, as admins see and change them.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{Asked, Error, List, WholeList};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::identity::users::{self as act, Change, NewUser};
use crate::id::UserId;
use crate::rights::{Role, Scope};
use crate::store::users::{self, UserRow};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// Somebody who may log in.
#[derive(Serialize, ToSchema, Debug)]
pub struct UserView {
    pub id: UserId,
    pub name: String,
    pub role: Role,
    /// What the role is narrowed to: `{may, runbooks, groups}`; null = not at all.
    #[schema(value_type = Option<Vec<Object>>)]
    pub scopes: Option<Vec<Scope>>,
    /// `active`, `invited` (has no password yet) or `disabled`.
    pub state: &'static str,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
    pub password_changed_at: Option<Timestamp>,
}

impl From<UserRow> for UserView {
    fn from(row: UserRow) -> Self {
        let state = match (row.disabled_at, &row.password_hash) {
            (Some(_), _) => "disabled",
            (None, None) => "invited",
            (None, Some(_)) => "active",
        };
        Self {
            id: row.id,
            name: row.name,
            role: row.role,
            scopes: row.scopes.map(|scopes| scopes.0),
            state,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            last_login_at: row.last_login_at,
            password_changed_at: row.password_changed_at,
        }
    }
}

/// A user with the token by which that user chooses a password.
#[derive(Serialize, ToSchema)]
pub struct InvitedView {
    pub user: UserView,
    /// Shown once; for `POST setup`.
    pub setup_token: String,
}

/// Somebody to be added.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    pub name: String,
    pub role: Role,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub scopes: Option<Vec<Scope>>,
}

/// What changes; what is left out stays.
#[derive(Deserialize, ToSchema, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    pub role: Option<Role>,
    /// Null takes the narrowing away.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub scopes: Option<Option<Vec<Scope>>>,
    pub disabled: Option<bool>,
}

/// Tells null from what is left out.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Vec<Scope>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Users, by name
#[utoipa::path(tag = "users", params(WholeList), responses((status = 200, body = List<UserView>)))]
#[get("/api/v1/users")]
pub async fn list(engine: web::Data<Engine>, query: Asked<WholeList>) -> Result<HttpResponse, ApiError> {
    let rows = engine.store.read(users::list).await?;
    let (rows, next_cursor) = query.cut(rows, |row| row.name.clone())?;
    let items = rows.into_iter().map(UserView::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// One user
#[utoipa::path(tag = "users", params(("name" = String, Path)), responses((status = 200, body = UserView), (status = 404, body = Error)))]
#[get("/api/v1/users/{name}")]
pub async fn show(engine: web::Data<Engine>, name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let name = name.into_inner();
    let missing = ApiError::not_found(format!("user `{name}`"));
    let found = engine.store.read(move |db| users::by_name(db, &name)).await?;
    let row = found.filter(|row| row.removed_at.is_none()).ok_or(missing)?;
    Ok(HttpResponse::Ok().json(UserView::from(row)))
}

/// Add a user, who chooses a password with the set-up token that is answered
#[utoipa::path(tag = "users", request_body = UserBody,
    responses((status = 201, body = InvitedView), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/users")]
pub async fn create(
    engine: web::Data<Engine>,
    person: Person,
    Body(body): Body<UserBody>,
) -> Result<HttpResponse, ApiError> {
    let new = NewUser { name: body.name, role: body.role, scopes: body.scopes };
    let (user, token) = act::create(&engine, new, &person).await?;
    let view = InvitedView { user: user.into(), setup_token: token.expose().to_owned() };
    Ok(HttpResponse::Created().insert_header(("Cache-Control", "no-store")).json(view))
}

/// Change a user's role, scopes or state; it holds from the next request on
#[utoipa::path(tag = "users", params(("name" = String, Path)), request_body = UserChange,
    responses((status = 200, body = UserView), (status = 404, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[patch("/api/v1/users/{name}")]
pub async fn change(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
    Body(body): Body<UserChange>,
) -> Result<HttpResponse, ApiError> {
    let change = Change { role: body.role, scopes: body.scopes, is_disabled: body.disabled };
    let user = act::update(&engine, name.into_inner(), change, &person).await?;
    Ok(HttpResponse::Ok().json(UserView::from(user)))
}

/// Take a user away for good; the name stays taken
#[utoipa::path(tag = "users", params(("name" = String, Path)), responses((status = 204), (status = 404, body = Error), (status = 409, body = Error)))]
#[delete("/api/v1/users/{name}")]
pub async fn remove(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    act::remove(&engine, name.into_inner(), &person).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Take a user's password away; a new one is chosen with the set-up token that is answered
#[utoipa::path(tag = "users", params(("name" = String, Path)), responses((status = 200, body = InvitedView), (status = 404, body = Error)))]
#[post("/api/v1/users/{name}/reset")]
pub async fn reset(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let (user, token) = act::reset(&engine, name.into_inner(), &person).await?;
    let view = InvitedView { user: user.into(), setup_token: token.expose().to_owned() };
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(view))
}
