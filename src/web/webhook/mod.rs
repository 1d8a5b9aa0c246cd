//! `POST` and `PUT /api/v1/webhooks/{source}`: alerts in.
//!
//! The order is: credential, size, body, commit, answer; deciding and running happen after the answer. Alertmanager
//! retries only 5xx and drops a notification on any 4xx, so a 4xx is only for what a repetition cannot heal, a database
//! that cannot commit is 503, and nothing is ever 429.

mod credential;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::alert::wire::WireError;
use crate::config::Source;
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
    let answer = take(&engine, source, &request, payload).await;
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
    source: &Source,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Receipt, ApiError> {
    let header = |name: &str| {
        let mut values = request.headers().get_all(name);
        let value = values.next()?.to_str().ok()?.to_owned();
        values.next().is_none().then_some(value)
    };
    // A stranger may not make us read 16 MiB, unless a signature over them is the only way to tell.
    if !needs_body(source) && !is_proved(source, &Proof { header: &header, body: b"" }) {
        return Err(unauthenticated());
    }
    let body = tokio::time::timeout(WEBHOOK_BODY_TIMEOUT, read(request, payload)).await;
    let body = body.unwrap_or_else(|_| {
        let message = format!("the body did not come within {WEBHOOK_BODY_TIMEOUT:?}; send it again");
        Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "body_too_slow", message))
    })?;
    if !is_proved(source, &Proof { header: &header, body: &body }) {
        return Err(unauthenticated());
    }
    let incoming = Incoming {
        source: source.name.clone(),
        body,
        remote_addr: request.peer_addr().map(|address| address.ip().to_string()),
        content_type: header(CONTENT_TYPE.as_str()),
    };
    engine.ingest.receive(incoming, engine.clock.now()).await.map_err(|error| refused(source, request, error))
}

/// The body, as long as it is within bounds.
async fn read(request: &HttpRequest, mut payload: web::Payload) -> Result<Vec<u8>, ApiError> {
    let announced = request.headers().get(actix_web::http::header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > WEBHOOK_BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let mut body = Vec::with_capacity(announced.unwrap_or(0));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", format!("the body ended early: {error}"))
        })?;
        if body.len() + chunk.len() > WEBHOOK_BODY_BYTES_MAX {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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
        let from = request.peer_addr().map(|address| address.ip().to_string());
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
