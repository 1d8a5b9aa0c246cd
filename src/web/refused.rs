//! Requests that were not let in, for the audit log.

use actix_web::HttpRequest;
use actix_web::http::{Method, StatusCode};

use super::auth;
use crate::engine::Engine;
use crate::engine::ledger::Refused;

/// Notes a 401 or 403; any other answer is nobody's refusal.
pub fn note(engine: &Engine, request: &HttpRequest, status: StatusCode) {
    if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
        return;
    }
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    // What may be anything is not kept.
    let method = if known.contains(request.method()) { request.method().as_str() } else { "OTHER" };
    let person = match status {
        StatusCode::FORBIDDEN => auth::identify(&engine.policy().config.tokens, request).ok().map(|who| who.name),
        _ => None,
    };
    engine.refusals.note(Refused {
        status: status.as_u16(),
        method: method.to_owned(),
        route: request.match_pattern().unwrap_or_else(|| "unknown".to_owned()),
        address: request.peer_addr().map(|address| address.ip().to_string()),
        person,
    });
}
