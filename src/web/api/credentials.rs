//! Credentials of servers and the master keys that seal them: written, never read.

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::servers::{ServerView, find};
use super::{Asked, Error, List, WholeList, seen};
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::engine::people::credentials::{self as act, Given, GivenCredentials};
use crate::engine::{Engine, keys};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// A secret in a body: a text, `null` to take it away. What is wrong with it is told without showing it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GivenSecret(pub Given<Secret>);

impl<'de> Deserialize<'de> for GivenSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self(Given::Removed)),
            Value::String(text) => Ok(Self(Given::Set(Secret::new(text)))),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err(serde::de::Error::custom("a secret must be a text, or null to take it away"))
            }
        }
    }
}

/// What a server is logged in to with. What is not named stays; `null` takes it away. Never shown by any route.
#[derive(Deserialize, ToSchema, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct CredentialsBody {
    /// A private key in OpenSSH's format or PEM. A new key brings its own passphrase and certificate, or none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub private_key: GivenSecret,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub passphrase: GivenSecret,
    /// The line of `id_ed25519-cert.pub`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub certificate: GivenSecret,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub password: GivenSecret,
    /// sudo's.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub become_password: GivenSecret,
}

impl From<CredentialsBody> for GivenCredentials {
    fn from(body: CredentialsBody) -> Self {
        let certificate = match body.certificate.0 {
            Given::Kept => Given::Kept,
            Given::Removed => Given::Removed,
            Given::Set(text) => Given::Set(text.expose().to_owned()),
        };
        Self {
            private_key: body.private_key.0,
            passphrase: body.passphrase.0,
            password: body.password.0,
            become_password: body.become_password.0,
            certificate,
        }
    }
}

/// What somebody with scopes may not do.
const KEYS: &str = "to see or rotate master keys, which every server's secrets are under";

/// A master key; the key itself is in its file only.
#[derive(Serialize, ToSchema, Debug)]
pub struct KeyView {
    pub key_id: String,
    /// It seals what is new.
    pub is_current: bool,
    /// The engine has it.
    pub is_held: bool,
    /// Servers whose secrets are sealed under it.
    pub servers: i64,
    pub created_at: Timestamp,
    /// Nothing is sealed under it any more since then: its line may go.
    pub retired_at: Option<Timestamp>,
}

/// How much one call shall rotate.
#[derive(Deserialize, ToSchema, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    /// Servers at most; default and most are 500.
    pub limit: Option<usize>,
}

/// What one call has rotated; call again until nothing remains.
#[derive(Serialize, ToSchema, Debug)]
pub struct RotateView {
    pub key_id: String,
    pub rotated: usize,
    pub remaining: i64,
    /// Keys that the key file may do without from now on.
    pub retired: Vec<String>,
    /// What does not open, and stays as it is.
    pub broken: Vec<String>,
}

/// Change what a server is logged in to with
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")), request_body = CredentialsBody,
    responses((status = 200, body = ServerView), (status = 404, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[put("/api/v1/servers/{id}/credentials")]
pub async fn set(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<CredentialsBody>,
) -> Result<HttpResponse, ApiError> {
    change(&engine, &id, body.into(), &person).await
}

/// Take everything away that the database holds to log in to a server
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")),
    responses((status = 200, body = ServerView), (status = 404, body = Error), (status = 409, body = Error)))]
#[delete("/api/v1/servers/{id}/credentials")]
pub async fn remove(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let all = GivenCredentials {
        private_key: Given::Removed,
        passphrase: Given::Removed,
        password: Given::Removed,
        become_password: Given::Removed,
        certificate: Given::Removed,
    };
    change(&engine, &id, all, &person).await
}

async fn change(engine: &Engine, id: &str, given: GivenCredentials, person: &Person) -> Result<HttpResponse, ApiError> {
    let (server, _) = find(engine, person, id).await?;
    let row = act::set(engine, server.name.clone(), given, person).await?;
    let (server, row) = find(engine, person, &row.name).await?;
    Ok(HttpResponse::Ok().json(ServerView::of(&server, row)))
}

/// The master keys that the database knows, the oldest first
#[utoipa::path(tag = "keys", params(WholeList), responses((status = 200, body = List<KeyView>)))]
#[get("/api/v1/keys")]
pub async fn list_keys(
    engine: web::Data<Engine>,
    query: Asked<WholeList>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    seen::unlimited(&person, KEYS)?;
    let view = |key: keys::KeyState| KeyView {
        key_id: key.key_id,
        is_current: key.is_current,
        is_held: key.is_held,
        servers: key.servers,
        created_at: key.created_at,
        retired_at: key.retired_at,
    };
    let known = keys::list(&engine).await?.into_iter().map(view).collect();
    let (items, next_cursor) = query.cut(known, |view: &KeyView| view.key_id.clone())?;
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// Wrap secrets anew, by the current master key: one batch
#[utoipa::path(tag = "keys", request_body = RotateBody, responses((status = 200, body = RotateView), (status = 409, body = Error)))]
#[post("/api/v1/keys/rotate")]
pub async fn rotate_keys(
    engine: web::Data<Engine>,
    person: Person,
    Body(body): Body<RotateBody>,
) -> Result<HttpResponse, ApiError> {
    seen::unlimited(&person, KEYS)?;
    let done = keys::rotate(&engine, body.limit.unwrap_or(usize::MAX), &person).await?;
    let keys::Rotated { key_id, rotated, remaining, retired, broken } = done;
    Ok(HttpResponse::Ok().json(RotateView { key_id, rotated, remaining, retired, broken }))
}
