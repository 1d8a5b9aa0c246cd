//! The engine's own pages: `/-/healthy`, `/-/ready`, `/-/reload`, `/metrics`.

use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use serde_json::json;
use tokio::sync::Mutex;

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
pub async fn ready(engine: web::Data<Engine>, known: web::Data<Ready>) -> Result<HttpResponse, ApiError> {
    if engine.stopping.is_cancelled() {
        let message = "Douse is stopping";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message));
    }
    match known.ask(engine.clock.instant(), commit(&engine)).await {
        None => Ok(HttpResponse::Ok().body(format!("Douse is ready.\n{}", detail(&engine)))),
        Some(error) => {
            let message = format!("Douse cannot commit to its database: {error}");
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message))
        }
    }
}

/// What was found out about the database lately: everybody may ask, and must not be able to keep it busy.
#[derive(Default)]
pub struct Ready(Mutex<Option<(Instant, Option<String>)>>);

impl Ready {
    /// Why nothing can be committed; `None` when it can. Those who ask at the same time wait for one `probe`.
    async fn ask(&self, now: Instant, probe: impl Future<Output = Option<String>>) -> Option<String> {
        let mut known = self.0.lock().await;
        if let Some((at, found)) = known.as_ref()
            && now.saturating_duration_since(*at) < limits::READY_FOR
        {
            return found.clone();
        }
        let found = probe.await;
        *known = Some((now, found.clone()));
        found
    }
}

/// A real commit: on a full disk a read would still work.
async fn commit(engine: &Engine) -> Option<String> {
    let now = engine.clock.now();
    let wrote = engine.store.write(move |db| system_config::put(db, PROBE_KEY, &json!({}), "engine", now)).await;
    wrote.err().map(|error| error.to_string())
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
        Err(error @ (ReloadError::Policy(_) | ReloadError::Chain(_) | ReloadError::Aborted(_))) => {
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn however_many_ask_whether_it_is_ready_it_is_tried_once_in_a_while() {
        let (found, tried, begun) = (Ready::default(), Cell::new(0), Instant::now());
        let ask = async |after: Duration, answer: Option<&str>| {
            let probe = async {
                tried.set(tried.get() + 1);
                tokio::task::yield_now().await;
                answer.map(str::to_owned)
            };
            found.ask(begun + after, probe).await
        };
        let soon = limits::READY_FOR / 2;
        let (first, second) = tokio::join!(ask(Duration::ZERO, None), ask(Duration::ZERO, Some("late")));
        assert_eq!((first, second, tried.get()), (None, None, 1));
        assert_eq!(ask(soon, Some("late")).await, None);
        assert_eq!(ask(limits::READY_FOR, Some("disk full")).await, Some("disk full".to_owned()));
        assert_eq!(ask(limits::READY_FOR + soon, None).await, Some("disk full".to_owned()));
        assert_eq!(ask(limits::READY_FOR * 2, None).await, None);
        assert_eq!(tried.get(), 3);
    }
}
