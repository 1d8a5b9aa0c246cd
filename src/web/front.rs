//! What stands before everything else of a request, and after everything else of an answer.
//!
//! A request that a browser sends for a foreign page ends here ([`super::origin`]), before its credential is looked at: a
//! cookie would be the browser's, not the page's. Every answer gets the headers that keep browsers from doing more with it
//! than showing it. A connection on which the request has proved who sends it becomes known; every other one is closed
//! after its answer, so that a stranger's connection carries one request.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError, web};

use super::auth::Person;
use super::connection::Acquaintance;
use super::error::ApiError;
use super::origin;
use crate::config::Config;
use crate::engine::Engine;

/// Marks a request whose sender is proved by other means than a [`Person`]'s: a source's.
pub(super) struct Proved;

/// The request has proved who sends it: its connection may stay, however long the answer takes.
pub(super) fn meet(request: &HttpRequest) {
    if let Some(acquaintance) = request.conn_data::<Arc<Acquaintance>>() {
        acquaintance.meet();
    }
}

/// What every answer bears, unless its handler says otherwise.
const HEADERS: [(HeaderName, &str); 8] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), usb=()"),
];

/// Refuses what a foreign page sends; adds the headers; keeps or closes the connection.
pub(super) async fn guard(
    engine: web::Data<Engine>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let config = Arc::clone(&engine.policy().config);
    let acquaintance = request.request().conn_data::<Arc<Acquaintance>>().cloned();
    let judged = match &acquaintance {
        Some(acquaintance) if acquaintance.is_dismissed() => Err(too_many()),
        _ => origin::judge(request.request(), &config),
    };
    let mut response = match judged {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(refusal) => request.into_response(refusal.error_response()),
    };
    let is_proved = {
        let extensions = response.request().extensions();
        extensions.contains::<Person>() || extensions.contains::<Proved>()
    };
    let is_secure = acquaintance.as_ref().is_some_and(|acquaintance| acquaintance.is_secure);
    dress(response.headers_mut(), &config, is_secure);
    match acquaintance {
        Some(_) if is_proved => {}
        acquaintance => {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            // The server has read on perhaps: a pipeline is answered, but nothing in it is done.
            acquaintance.inspect(|acquaintance| acquaintance.dismiss());
        }
    }
    Ok(response)
}

fn too_many() -> ApiError {
    let message = "nothing is answered on this connection any more: its last request did not prove who sends it";
    ApiError::new(StatusCode::BAD_REQUEST, "connection_over", message)
}

fn dress(headers: &mut HeaderMap, config: &Config, is_secure: bool) {
    for (name, value) in HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    let hsts = config.web.tls.as_ref().and_then(|tls| tls.hsts).filter(|_| is_secure);
    if let Some(hsts) = hsts
        && let Ok(value) = HeaderValue::try_from(format!("max-age={}", hsts.as_secs()))
    {
        headers.insert(STRICT_TRANSPORT_SECURITY, value);
    }
}
