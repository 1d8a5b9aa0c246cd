//! Servers: those of the files and those made here, maintenance, and connection tests.

use std::sync::Arc;

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::credentials::{CredentialsBody, GivenSecret};
use super::{Asked, Error, List, WholeList, seen};
use crate::clock::Timestamp;
use crate::engine::people::credentials::GivenCredentials;
use crate::engine::people::servers as act;
use crate::engine::{Engine, Policy};
use crate::id::ServerId;
use crate::inventory::draft::{Draft, StoredSecrets};
use crate::inventory::server::WinrmTransport;
use crate::inventory::{Auth, Protocol, SecretAt, Server};
use crate::runbook::model::OsType;
use crate::store::executions::ExecutionFilter;
use crate::store::servers::{self, ServerRow};
use crate::store::{ConnectionStatus, Json, ServerOrigin};
use crate::transport::probe::{Check, ProbePart, ProbeState};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// One server. Credentials are never shown, not even the names of their files.
#[derive(Serialize, ToSchema, Debug)]
pub struct ServerView {
    pub id: ServerId,
    pub name: String,
    pub hostname: String,
    pub port: u16,
    pub username: String,
    pub os_type: OsType,
    pub protocol: String,
    /// `key`, `password` or `agent`.
    pub auth_type: String,
    /// Names of the secrets that the database holds, sealed; what they are is never shown.
    pub stored_secrets: Vec<&'static str>,
    /// Logs in with an OpenSSH certificate.
    pub has_certificate: bool,
    /// Name of the server through which this one is reached.
    pub bastion: Option<String>,
    pub winrm_transport: Option<WinrmTransport>,
    pub winrm_use_ssl: Option<bool>,
    pub winrm_cert_validation: Option<bool>,
    pub domain: Option<String>,
    pub host_keys: Vec<String>,
    pub tags: Vec<String>,
    pub group: Option<String>,
    pub environment: Option<String>,
    /// Under maintenance: runs need a person's yes.
    pub is_paused: bool,
    pub paused_by: Option<String>,
    pub paused_at: Option<Timestamp>,
    pub paused_reason: Option<String>,
    /// `file`: read-only here; `api`: made here.
    pub declared_in: ServerOrigin,
    pub last_connection_test: Option<Timestamp>,
    pub last_connection_status: Option<ConnectionStatus>,
    pub last_connection_message: Option<String>,
    /// Part by part: `bastion`, `connection`, `host_key`, `authentication`, `shell`, `sudo`.
    #[schema(value_type = Vec<CheckView>)]
    pub last_connection_checks: Option<Value>,
    pub created_by: String,
    pub created_at: Timestamp,
}

impl ServerView {
    pub(super) fn of(server: &Server, row: ServerRow) -> Self {
        let winrm = match &server.protocol {
            Protocol::Winrm(winrm) => Some(winrm),
            Protocol::Ssh => None,
        };
        Self {
            id: row.id,
            name: server.name.clone(),
            hostname: server.hostname.clone(),
            port: server.port,
            username: server.username.clone(),
            os_type: server.os_type,
            protocol: server.protocol.as_str().to_owned(),
            auth_type: server.auth.as_str().to_owned(),
            stored_secrets: stored_secrets(server),
            has_certificate: matches!(&server.auth, Auth::Key { certificate: Some(_), .. }),
            bastion: server.bastion.clone(),
            winrm_transport: winrm.map(|winrm| winrm.transport),
            winrm_use_ssl: winrm.map(|winrm| winrm.use_ssl),
            winrm_cert_validation: winrm.map(|winrm| winrm.cert_validation),
            domain: winrm.and_then(|winrm| winrm.domain.clone()),
            host_keys: server.host_keys.clone(),
            tags: server.tags.clone(),
            group: server.group.clone(),
            environment: server.environment.clone(),
            is_paused: row.paused_override.unwrap_or(server.is_paused),
            paused_by: row.paused_by,
            paused_at: row.paused_at,
            paused_reason: row.paused_reason,
            declared_in: row.origin,
            last_connection_test: row.last_connection_test,
            last_connection_status: row.last_connection_status,
            last_connection_message: row.last_connection_message,
            last_connection_checks: row.last_connection_checks.map(Json::into_inner),
            created_by: row.created_by,
            created_at: row.created_at,
        }
    }
}

/// The secrets that the database holds, as the API calls them.
fn stored_secrets(server: &Server) -> Vec<&'static str> {
    let (key, passphrase, password) = match &server.auth {
        Auth::Key { key, passphrase, .. } => (Some(key), passphrase.as_ref(), None),
        Auth::Password { password } => (None, None, Some(password)),
        Auth::Agent => (None, None, None),
    };
    [
        ("private_key", key),
        ("passphrase", passphrase),
        ("password", password),
        ("become_password", server.become_password.as_ref()),
    ]
    .into_iter()
    .filter_map(|(name, at)| matches!(at, Some(SecretAt::Stored(_))).then_some(name))
    .collect()
}

/// A server to add, or what a server becomes.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct ServerBody {
    pub name: String,
    pub hostname: String,
    /// Default: 22.
    pub port: Option<u16>,
    pub username: Option<String>,
    /// `linux` (default) or `windows`.
    pub os_type: Option<String>,
    pub protocol: Option<String>,
    /// `key`, `password` or `agent`.
    pub auth_type: Option<String>,
    /// Name of a file in the folder `credentials` beside the configuration; write-only, as all `…_file`.
    pub key_file: Option<String>,
    pub passphrase_file: Option<String>,
    pub certificate_file: Option<String>,
    pub password_file: Option<String>,
    pub become_password_file: Option<String>,
    /// Kept sealed, never shown; where one is not named, what is stored stays, and `null` takes it away.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub private_key: GivenSecret,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub passphrase: GivenSecret,
    /// OpenSSH's, of the key.
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
    /// Name of the server through which this one is reached.
    pub bastion: Option<String>,
    /// `kerberos`, `ntlm` (default) or `certificate`; for `protocol: winrm`, over which nothing can be run yet.
    pub winrm_transport: Option<String>,
    pub winrm_use_ssl: Option<bool>,
    pub winrm_cert_validation: Option<bool>,
    pub domain: Option<String>,
    /// Lines as in `known_hosts`, without the host.
    #[serde(default, alias = "host_key")]
    pub host_keys: Vec<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub group: Option<String>,
    pub environment: Option<String>,
    #[serde(default)]
    pub is_paused: bool,
}

impl ServerBody {
    /// The credentials, and everything else.
    fn parts(self) -> (GivenCredentials, Draft) {
        let Self { private_key, passphrase, certificate, password, become_password, .. } = &self;
        let credentials = CredentialsBody {
            private_key: private_key.clone(),
            passphrase: passphrase.clone(),
            certificate: certificate.clone(),
            password: password.clone(),
            become_password: become_password.clone(),
        };
        (credentials.into(), self.draft())
    }

    fn draft(self) -> Draft {
        let body = self;
        Draft {
            name: Some(body.name),
            hostname: Some(body.hostname),
            port: body.port.map(|port| port.to_string()),
            username: body.username,
            os_type: body.os_type,
            protocol: body.protocol,
            auth_type: body.auth_type,
            key_file: body.key_file,
            passphrase_file: body.passphrase_file,
            certificate_file: body.certificate_file,
            password_file: body.password_file,
            become_password_file: body.become_password_file,
            host_key: body.host_keys,
            tags: body.tags,
            group: body.group,
            environment: body.environment,
            bastion: body.bastion,
            stored: StoredSecrets::default(),
            winrm_transport: body.winrm_transport,
            winrm_use_ssl: body.winrm_use_ssl,
            winrm_cert_validation: body.winrm_cert_validation,
            domain: body.domain,
            is_paused: body.is_paused,
        }
    }
}

/// Maintenance on or off.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    pub is_paused: bool,
    pub reason: Option<String>,
}

/// How a connection test went.
#[derive(Serialize, ToSchema, Debug)]
pub struct TestView {
    pub name: String,
    pub status: ConnectionStatus,
    /// What failed, or that all is well.
    pub message: String,
    /// In the order in which one needs the other.
    pub checks: Vec<CheckView>,
}

/// One part of a connection test.
#[derive(Serialize, ToSchema, Debug)]
pub struct CheckView {
    pub part: ProbePart,
    pub state: ProbeState,
    /// Empty when there is nothing to say.
    pub message: String,
}

/// Servers, by name
#[utoipa::path(tag = "servers", params(WholeList), responses((status = 200, body = List<ServerView>)))]
#[get("/api/v1/servers")]
pub async fn list(
    engine: web::Data<Engine>,
    query: Asked<WholeList>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let policy = engine.policy();
    let rows = engine.store.read(servers::list).await?;
    let known: Vec<ServerView> = rows
        .into_iter()
        .filter_map(|row| policy.servers.get(&row.name).map(|server| (server, row)))
        .filter(|(server, _)| seen::server(&person, server))
        .map(|(server, row)| ServerView::of(server, row))
        .collect();
    let (items, next_cursor) = query.cut(known, |view| view.name.clone())?;
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// One server
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")), responses((status = 200, body = ServerView), (status = 404, body = Error)))]
#[get("/api/v1/servers/{id}")]
pub async fn show(engine: web::Data<Engine>, id: web::Path<String>, person: Person) -> Result<HttpResponse, ApiError> {
    let (server, row) = find(&engine, &person, &id).await?;
    Ok(HttpResponse::Ok().json(ServerView::of(&server, row)))
}

/// Add a server
#[utoipa::path(tag = "servers", request_body = ServerBody,
    responses((status = 201, body = ServerView), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/servers")]
pub async fn create(
    engine: web::Data<Engine>,
    person: Person,
    Body(body): Body<ServerBody>,
) -> Result<HttpResponse, ApiError> {
    let (given, draft) = body.parts();
    let row = act::put(&engine, draft, given, None, &person).await?;
    let (server, row) = find(&engine, &person, &row.name).await?;
    let location = format!("/api/v1/servers/{}", row.id);
    Ok(HttpResponse::Created().insert_header(("Location", location)).json(ServerView::of(&server, row)))
}

/// Replace all of a server that was made here
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")), request_body = ServerBody,
    responses((status = 200, body = ServerView), (status = 404, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[put("/api/v1/servers/{id}")]
pub async fn replace(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<ServerBody>,
) -> Result<HttpResponse, ApiError> {
    let (server, _) = find(&engine, &person, &id).await?;
    let (given, draft) = body.parts();
    let row = act::put(&engine, draft, given, Some(server.name.clone()), &person).await?;
    let (server, row) = find(&engine, &person, &row.name).await?;
    Ok(HttpResponse::Ok().json(ServerView::of(&server, row)))
}

/// Remove a server that was made here
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")),
    responses((status = 204), (status = 404, body = Error), (status = 409, body = Error)))]
#[delete("/api/v1/servers/{id}")]
pub async fn remove(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let (server, _) = find(&engine, &person, &id).await?;
    act::remove(&engine, server.name.clone(), &person).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Log in and run `true`, also as root: says which part fails
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")), responses((status = 200, body = TestView), (status = 404, body = Error)))]
#[post("/api/v1/servers/{id}/test")]
pub async fn test(engine: web::Data<Engine>, id: web::Path<String>, person: Person) -> Result<HttpResponse, ApiError> {
    let (server, _) = find(&engine, &person, &id).await?;
    let (status, probe) = act::test(&engine, &server, &person).await?;
    let message = probe.summary();
    let view = |Check { part, state, message }| CheckView { part, state, message };
    let checks = probe.checks.into_iter().map(view).collect();
    Ok(HttpResponse::Ok().json(TestView { name: server.name.clone(), status, message, checks }))
}

/// Put a server under maintenance, or take it out
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")), request_body = Maintenance,
    responses((status = 200, body = ServerView), (status = 404, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/servers/{id}/maintenance")]
pub async fn maintenance(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Maintenance>,
) -> Result<HttpResponse, ApiError> {
    maintain(&engine, &id, body.is_paused, body.reason, &person).await
}

/// Put a server under maintenance
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")), request_body = super::Reason, responses((status = 200, body = ServerView), (status = 404, body = Error)))]
#[post("/api/v1/servers/{id}/pause")]
pub async fn pause(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<super::Reason>,
) -> Result<HttpResponse, ApiError> {
    maintain(&engine, &id, true, body.reason, &person).await
}

/// Take a server out of maintenance
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id")), request_body = super::Reason, responses((status = 200, body = ServerView), (status = 404, body = Error)))]
#[post("/api/v1/servers/{id}/unpause")]
pub async fn unpause(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<super::Reason>,
) -> Result<HttpResponse, ApiError> {
    maintain(&engine, &id, false, body.reason, &person).await
}

/// Executions on a server, newest first
#[utoipa::path(tag = "servers", params(("id" = String, Path, description = "name or id"), WholeList),
    responses((status = 200, body = List<super::executions::ExecutionView>), (status = 404, body = Error)))]
#[get("/api/v1/servers/{id}/executions")]
pub async fn executions(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    query: Asked<WholeList>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let (server, _) = find(&engine, &person, &id).await?;
    let filter = ExecutionFilter { server: Some(server.name.clone()), ..ExecutionFilter::default() };
    super::executions::answer(&engine, &person, filter, query.limit, query.cursor.as_deref()).await
}

async fn maintain(
    engine: &Engine,
    id: &str,
    is_paused: bool,
    reason: Option<String>,
    person: &Person,
) -> Result<HttpResponse, ApiError> {
    let (server, _) = find(engine, person, id).await?;
    let row = act::set_maintenance(engine, server.name.clone(), is_paused, reason, person).await?;
    Ok(HttpResponse::Ok().json(ServerView::of(&server, row)))
}

/// The server called `text`, or with that id; what `person` may not see is not there.
pub(super) async fn find(engine: &Engine, person: &Person, text: &str) -> Result<(Arc<Server>, ServerRow), ApiError> {
    let missing = || ApiError::not_found(format!("server `{text}`"));
    let policy: Arc<Policy> = engine.policy();
    let rows = engine.store.read(servers::list).await?;
    let id = text.parse::<ServerId>().ok();
    let is_meant = |row: &ServerRow| row.name.eq_ignore_ascii_case(text) || id == Some(row.id);
    let row = rows.into_iter().find(is_meant).ok_or_else(missing)?;
    let server = policy.servers.get(&row.name).filter(|server| seen::server(person, server));
    let server = server.cloned().ok_or_else(missing)?;
    Ok((server, row))
}
