//! `POST` and `PUT /api/v1/webhooks/{source}`: alerts in.
//!
//! The order is: credential, size, body, commit, answer; deciding and running happen after the answer. Alertmanager
//! retries only 5xx and drops a notification on any 4xx, so a 4xx is only for what a repetition cannot heal, a database
//! that cannot commit is 503, and nothing is ever 429.

mod credential;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::body::{self, BodyError, Bounds, Rooms};
use super::client;
use super::connection::Acquaintance;
use super::error::ApiError;
use super::front::{self, Proved};
use crate::alert::wire::WireError;
use crate::config::{Config, Source};
use crate::engine::Engine;
use crate::engine::receive::{AlertResult, Incoming, Receipt, ReceiveError};
use crate::limits::{WEBHOOK_BODY_BYTES_MAX, WEBHOOK_BODY_TIMEOUT};

use credential::{Proof, is_proved, needs_body};

/// Takes a delivery of `source`.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{source}",
    tag = "webhooks",
    params(("source" = String, Path, description = "A source of the configuration")),
    request_body(content = Value, description = "Alertmanager's version \"4\" or Grafana's version \"1\"; at most 16 MiB"),
    responses(
        (status = 200, description = "Committed: what became of each alert"),
        (status = 400, description = "Not JSON"),
        (status = 401, description = "No credential of this source, or no such source"),
        (status = 413, description = "More than 16 MiB, or more than 10,000 alerts"),
        (status = 422, description = "JSON of another shape; the message names the field"),
        (status = 503, description = "Not committed; send it again"),
    ),
)]
pub async fn deliver(
    engine: web::Data<Engine>,
    request: HttpRequest,
    name: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let started = engine.clock.instant();
    let policy = engine.policy();
    let Some(source) = policy.config.sources.iter().find(|source| source.name == *name) else {
        // The same words as for a wrong credential: a stranger does not learn which sources there are.
        return Err(unauthenticated());
    };
    let answer = take(&engine, &policy.config, source, &request, payload).await;
    engine.metrics.webhook_answered(started.elapsed());
    let receipt = answer?;
    // Only what was taken: a wrong token must not look like a source that is alive.
    engine.metrics.delivered(&source.name, engine.clock.now());
    for result in &receipt.results {
        engine.metrics.alert_received(&source.name, result.taken.as_str());
    }
    engine.received(source, &receipt);
    Ok(HttpResponse::Ok().json(shown(&receipt)))
}

/// Takes a delivery of `source`, as `POST` does.
#[utoipa::path(
    put,
    path = "/api/v1/webhooks/{source}",
    tag = "webhooks",
    params(("source" = String, Path, description = "A source of the configuration")),
    request_body(content = Value, description = "As for POST"),
    responses((status = 200, description = "As for POST")),
)]
pub async fn put(
    engine: web::Data<Engine>,
    request: HttpRequest,
    name: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    deliver(engine, request, name, payload).await
}

async fn take(
    engine: &Engine,
    config: &Config,
    source: &Source,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Receipt, ApiError> {
    let header = |name: &str| {
        let mut values = request.headers().get_all(name);
        let value = values.next()?.to_str().ok()?.to_owned();
        values.next().is_none().then_some(value)
    };
    let acquaintance = request.conn_data::<Arc<Acquaintance>>();
    // Only what the authorities of today vouched for: a connection may be older than a reload.
    let authorities = config.web.tls.as_ref().and_then(|tls| tls.clients);
    let certificate = acquaintance
        .and_then(|acquaintance| acquaintance.certificate.as_ref())
        .filter(|certificate| Some(certificate.vouched_by) == authorities);
    // A stranger may not make us read 16 MiB, unless a signature over them is the only way to tell.
    let is_proved_at_once = is_proved(source, &Proof { header: &header, certificate, body: None });
    if !is_proved_at_once && !needs_body(source) {
        return Err(unauthenticated());
    }
    let rooms = request.app_data::<web::Data<Rooms>>().map(|rooms| rooms.get_ref()).filter(|_| !is_proved_at_once);
    let bounds = Bounds { bytes_max: WEBHOOK_BODY_BYTES_MAX, within: WEBHOOK_BODY_TIMEOUT };
    let body = body::collect(body::announced(request), payload.into_inner(), &bounds, rooms).await.map_err(unread)?;
    if !is_proved_at_once && !is_proved(source, &Proof { header: &header, certificate, body: Some(&body) }) {
        return Err(unauthenticated());
    }
    request.extensions_mut().insert(Proved);
    front::meet(request);
    let incoming = Incoming {
        source: source.name.clone(),
        body,
        remote_addr: client::address(request).map(|address| address.to_string()),
        content_type: header(CONTENT_TYPE.as_str()),
    };
    engine.ingest.receive(incoming, engine.clock.now()).await.map_err(|error| refused(source, request, error))
}

fn unread(error: BodyError) -> ApiError {
    let (status, code) = match error {
        BodyError::TooLarge(_) => return too_large(),
        // What a repetition heals is never a 4xx: Alertmanager would drop the notification.
        BodyError::TooSlow(_) => (StatusCode::SERVICE_UNAVAILABLE, "body_too_slow"),
        BodyError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "incomplete_body"),
    };
    ApiError::new(status, code, error.to_string())
}

fn refused(source: &Source, request: &HttpRequest, error: ReceiveError) -> ApiError {
    let (status, code) = match &error {
        ReceiveError::Wire(WireError::NotJson(_)) => (StatusCode::BAD_REQUEST, "not_json"),
        ReceiveError::Wire(WireError::WrongShape { .. }) => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_shape"),
        ReceiveError::Wire(WireError::TooManyAlerts { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_alerts"),
        ReceiveError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        ReceiveError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    if let ReceiveError::Wire(error) = &error {
        let from = client::address(request).map(|address| address.to_string());
        tracing::warn!(source = source.name, from, %error, "a delivery was refused");
    }
    ApiError::new(status, code, error.to_string())
}

fn unauthenticated() -> ApiError {
    let message = "no such source, or no valid credential of it: compare the URL and the credential with `sources`";
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
}

fn too_large() -> ApiError {
    let message = format!(
        "the body is larger than {WEBHOOK_BODY_BYTES_MAX} bytes; set `max_alerts` in the receiver or group by more labels"
    );
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
}

fn shown(receipt: &Receipt) -> Value {
    let alerts: Vec<Value> = receipt.results.iter().map(alert).collect();
    json!({ "delivery_id": receipt.delivery, "alerts": alerts })
}

fn alert(result: &AlertResult) -> Value {
    let mut shown = Map::new();
    shown.insert("fingerprint".to_owned(), json!(result.fingerprint));
    shown.insert("result".to_owned(), json!(result.taken));
    shown.insert("alert_id".to_owned(), json!(result.alert));
    shown.insert("episode_id".to_owned(), json!(result.episode));
    if let Some(reason) = &result.reason {
        shown.insert("reason".to_owned(), json!(reason));
    }
    Value::Object(shown)
}
