//! Requests that were not let in, for the audit log.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest};

use super::auth::Person;
use super::client;
use crate::engine::Engine;
use crate::engine::ledger::Refused;

/// Notes a 401 or 403; any other answer is nobody's refusal. Whoever proved an identity is named.
pub fn note(engine: &Engine, request: &HttpRequest, status: StatusCode) {
    if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
        return;
    }
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    // What may be anything is not kept.
    let method = if known.contains(request.method()) { request.method().as_str() } else { "OTHER" };
    let person = request.extensions().get::<Person>().map(|person| person.name.clone());
    engine.refusals.note(Refused {
        status: status.as_u16(),
        method: method.to_owned(),
        route: request.match_pattern().unwrap_or_else(|| "unknown".to_owned()),
        address: client::address(request).map(|address| address.to_string()),
        person,
    });
}
