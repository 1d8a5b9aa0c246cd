//! What is configured, and what may be changed while the engine runs.

use actix_web::{HttpResponse, get, put, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Error;
use crate::config::EngineMode;
use crate::engine::Engine;
use crate::engine::people::settings as act;
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// The settings in force; no secret is among them.
#[derive(Serialize, ToSchema, Debug)]
pub struct SettingsView {
    pub version: String,
    pub policy_version: String,
    /// `sqlite` or `postgres`.
    pub storage: String,
    pub external_url: String,
    pub timezone: String,
    /// In force now.
    pub mode: EngineMode,
    /// As the configuration says.
    pub configured_mode: EngineMode,
    /// Durations as `{secs, nanos}`; null is switched off.
    #[schema(value_type = Object)]
    pub limits: Value,
    pub sources: Vec<SourceView>,
    pub runbooks: usize,
    pub servers: usize,
}

/// One source of webhooks.
#[derive(Serialize, ToSchema, Debug)]
pub struct SourceView {
    pub name: String,
    pub insecure_no_auth: bool,
    pub alertmanager_url: Option<String>,
}

/// The new value; null goes back to the configuration's.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct SettingBody {
    #[schema(value_type = Object)]
    pub value: Value,
}

/// The settings in force
#[utoipa::path(tag = "config", responses((status = 200, body = SettingsView)))]
#[get("/api/v1/config")]
pub async fn show(engine: web::Data<Engine>) -> Result<HttpResponse, ApiError> {
    settings(&engine).await
}

/// Change a setting while the engine runs: `mode`, `enforce` or `observe`
#[utoipa::path(tag = "config", params(("key" = String, Path, description = "`mode`")), request_body = SettingBody,
    responses((status = 200, body = SettingsView), (status = 404, body = Error), (status = 422, body = Error)))]
#[put("/api/v1/config/{key}")]
pub async fn set(
    engine: web::Data<Engine>,
    key: web::Path<String>,
    person: Person,
    Body(body): Body<SettingBody>,
) -> Result<HttpResponse, ApiError> {
    if *key != "mode" {
        return Err(ApiError::not_found(format!("setting `{key}` that may be changed here; `mode` may")));
    }
    let mode: Option<EngineMode> = serde_json::from_value(body.value)
        .map_err(|_| ApiError::invalid("invalid_body", "`value` must be enforce, observe or null"))?;
    act::set_mode(&engine, mode, &person).await?;
    settings(&engine).await
}

async fn settings(engine: &Engine) -> Result<HttpResponse, ApiError> {
    let policy = engine.policy();
    let configured_mode = policy.config.global.mode;
    let mode = engine.store.read(move |db| act::mode(db, configured_mode)).await?;
    let sources = policy.config.sources.iter().map(|source| SourceView {
        name: source.name.clone(),
        insecure_no_auth: source.insecure_no_auth,
        alertmanager_url: source.alertmanager_url.clone(),
    });
    Ok(HttpResponse::Ok().json(SettingsView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        policy_version: policy.version.clone(),
        storage: engine.store.engine().to_owned(),
        external_url: policy.config.global.external_url.clone(),
        timezone: policy.config.global.timezone.name().to_owned(),
        mode,
        configured_mode,
        limits: json!(policy.config.limits),
        sources: sources.collect(),
        runbooks: policy.runbooks.len(),
        servers: policy.servers.len(),
    }))
}
