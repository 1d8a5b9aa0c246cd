//! Who asks, and whether they may: before anything else of a request is looked at.
//!
//! A request without a valid token is 401 whatever its path and body; one whose role is too low is 403; only then are path
//! and body read. What [`super::routes::access`] does not name is denied. Webhooks bring the credential of their source,
//! which `web/webhook` checks.

use std::future::{Ready, ready};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::client;
use super::error::ApiError;
use super::routes::{self, Access};
use crate::config::{ApiToken, Role};
use crate::engine::Engine;

/// Who a request is made by.
pub use crate::engine::acts::Person;

/// Lets a request through if its route is known and its credential is enough. A HEAD is a GET whose body is not sent.
pub async fn guard(
    engine: web::Data<Engine>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    match admit(&engine, &request) {
        Ok(person) => {
            if let Some(person) = person {
                request.extensions_mut().insert(person);
            }
            next.call(request).await.map(ServiceResponse::map_into_boxed_body)
        }
        Err(refusal) => Ok(request.into_response(refusal.error_response())),
    }
}

fn admit(engine: &Engine, request: &ServiceRequest) -> Result<Option<Person>, ApiError> {
    let policy = engine.policy();
    let needed = match routes::access(request.method(), request.match_info().as_str()) {
        Some(Access::Public | Access::Source) => return Ok(None),
        Some(Access::Metrics) if policy.config.web.metrics_public => return Ok(None),
        Some(Access::Metrics) => Some(Role::Viewer),
        Some(Access::Role(role)) => Some(role),
        None => None,
    };
    let person = identify(&policy.config.tokens, request.request())?;
    match needed {
        Some(role) if person.role < role => {
            let message = format!(
                "`{}` has the role {}, and {} {} needs {role} or higher",
                person.name,
                person.role,
                request.method(),
                request.path()
            );
            Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message))
        }
        Some(_) => Ok(Some(person)),
        // Never handed on: a handler that the table does not name is nobody's.
        None => Err(ApiError::not_found(format_args!("route {} {}", request.method(), request.path()))),
    }
}

/// The person behind the request's bearer token.
pub fn identify(tokens: &[ApiToken], request: &HttpRequest) -> Result<Person, ApiError> {
    let refused = |message: &str| ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", message);
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(refused("no credential: send `Authorization: Bearer TOKEN` with a token of auth.tokens"));
    };
    let given = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty());
    let Some((_, given)) = given else {
        return Err(refused("the Authorization header is not `Bearer TOKEN`"));
    };
    let given = Sha256::digest(given.trim().as_bytes());
    let mut found = None;
    for token in tokens {
        let held = Sha256::digest(token.token.expose().as_bytes());
        // Every token is compared, each in constant time, so that the time tells nothing.
        if bool::from(given.as_slice().ct_eq(held.as_slice())) && !token.token.expose().is_empty() {
            found = Some(token);
        }
    }
    let Some(token) = found else { return Err(refused("this token is not known")) };
    let ip_address = client::address(request).map(|address| address.to_string());
    Ok(Person { name: token.name.clone(), role: token.role, ip_address })
}

impl FromRequest for Person {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let person = request.extensions().get::<Self>().cloned();
        ready(
            person
                .ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", "this route needs a token")),
        )
    }
}
