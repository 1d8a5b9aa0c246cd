//! The engine's own pages: `/-/healthy`, `/-/ready`, `/-/reload`, `/metrics`.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use serde_json::json;

use super::api::Error;
use super::auth::Person;
use super::error::ApiError;
use crate::engine::{Engine, ReloadError};
use crate::limits;
use crate::store::system_config;

/// The row that readiness is proved with; a leading dot hides it from the API.
pub const PROBE_KEY: &str = ".probe";

/// The process answers; never depends on the database
#[utoipa::path(tag = "engine", security(()), responses((status = 200, description = "it does", body = String)))]
#[get("/-/healthy")]
pub async fn healthy() -> HttpResponse {
    HttpResponse::Ok().body("Douse is healthy.\n")
}

/// 503 when alerts and audit events cannot be committed
#[utoipa::path(tag = "engine", security(()), responses((status = 200, description = "they can", body = String), (status = 503, body = Error)))]
#[get("/-/ready")]
pub async fn ready(engine: web::Data<Engine>) -> Result<HttpResponse, ApiError> {
    if engine.stopping.is_cancelled() {
        let message = "Douse is stopping";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message));
    }
    // A real commit: on a full disk a read would still work.
    let now = engine.clock.now();
    match engine.store.write(move |db| system_config::put(db, PROBE_KEY, &json!({}), "engine", now)).await {
        Ok(()) => Ok(HttpResponse::Ok().body(format!("Douse is ready.\n{}", detail(&engine)))),
        Err(error) => {
            let message = format!("Douse cannot commit to its database: {error}");
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message))
        }
    }
}

/// What an operator should know of an engine that is ready.
fn detail(engine: &Engine) -> String {
    let mut lines = Vec::new();
    if let Some(doubt) = engine.replica.clock_doubt() {
        lines.push(format!("{doubt}.\n"));
    }
    for (name, version) in engine.replica.others().differing {
        let mine = &engine.policy().version;
        lines.push(format!("Replica {name} has policy {version} in force, this one {mine}: their files differ.\n"));
    }
    lines.concat()
}

/// Read the operator's files again, all or nothing
#[utoipa::path(tag = "engine", responses((status = 200, body = Object), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/-/reload")]
pub async fn reload(engine: web::Data<Engine>, person: Person) -> Result<HttpResponse, ApiError> {
    match engine.reload(&person.name).await {
        Ok(policy) => Ok(HttpResponse::Ok().json(json!({ "policy_version": policy.version }))),
        Err(ReloadError::Files(problems)) => {
            let message = "the files have errors; what was in force stays in force";
            Err(ApiError::invalid("invalid_files", message).with(json!({ "problems": problems })))
        }
        Err(ReloadError::Store(error)) => Err(error.into()),
        Err(error @ (ReloadError::Policy(_) | ReloadError::Aborted(_))) => {
            Err(ApiError::conflict("not_reloaded", format!("{error}; what was in force stays in force")))
        }
    }
}

/// The metrics, as OpenMetrics text
#[utoipa::path(tag = "engine", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
#[get("/metrics")]
pub async fn metrics(engine: web::Data<Engine>) -> Result<HttpResponse, ApiError> {
    // A database that is gone must not hide the metrics that say so.
    match tokio::time::timeout(limits::METRICS_COUNT_TIMEOUT, engine.count()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "some metrics are not up to date"),
        Err(_) => tracing::warn!("some metrics are not up to date: the database did not answer in time"),
    }
    let text = engine.metrics.render().map_err(|error| {
        let message = format!("the metrics could not be written: {error}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    })?;
    Ok(HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(text))
}
