//! Who asks, and whether they may: before anything else of a request is looked at.
//!
//! A request without a valid credential is 401 whatever its path and body; one whose role is too low is 403; only then are
//! path and body read. What [`super::routes::access`] does not name is denied. Webhooks bring the credential of their
//! source, which `web/webhook` checks. [`presented`] is the one place that looks for a credential in a request.

use std::future::{Ready, ready};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, COOKIE};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::client;
use super::error::ApiError;
use super::front;
use super::refused;
use super::routes::{self, Access};
use crate::config::ApiToken;
use crate::engine::Engine;
use crate::engine::identity::{self, Channel};
use crate::rights::Role;

/// Who a request is made by.
pub use crate::engine::acts::Person;

/// The cookie of a browser's session. Browsers take this prefix only from a secure origin, for the whole of it and for no
/// other host (RFC 6265bis, 4.1.3.2).
pub const SESSION_COOKIE: &str = "__Host-douse";

/// What a request shows to prove who makes it.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented {
    /// Nothing at all.
    Nothing,
    /// `Authorization: Bearer`. Only a program that holds it sends it.
    Bearer(String),
    /// [`SESSION_COOKIE`]. A browser sends it by itself, whoever made it ask.
    Cookie(String),
}

/// Lets a request through if its route is known and its credential is enough. A HEAD is a GET whose body is not sent.
pub async fn guard(
    engine: web::Data<Engine>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    match admit(&engine, &request).await {
        Ok(person) => {
            if let Some(person) = person {
                request.extensions_mut().insert(person);
                front::meet(request.request());
            }
            let response = next.call(request).await.map(ServiceResponse::map_into_boxed_body)?;
            refused::note(&engine, response.request(), response.status());
            Ok(response)
        }
        Err(refusal) => {
            refused::note(&engine, request.request(), refusal.status);
            Ok(request.into_response(refusal.error_response()))
        }
    }
}

async fn admit(engine: &Engine, request: &ServiceRequest) -> Result<Option<Person>, ApiError> {
    let needed = match routes::access(request.method(), request.match_info().as_str()) {
        Some(Access::Public | Access::Password | Access::Source) => return Ok(None),
        Some(Access::Metrics) if engine.policy().config.web.metrics_public => return Ok(None),
        Some(Access::Metrics) => Some(Role::Viewer),
        Some(Access::Role(role)) => Some(role),
        None => None,
    };
    let person = identify(engine, request.request()).await?;
    match needed {
        Some(role) if !person.role.covers(role) => {
            let message = format!(
                "`{}` has the role {}, and {} {} needs {role} or higher",
                person.name,
                person.role,
                request.method(),
                request.path()
            );
            request.extensions_mut().insert(person);
            Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message))
        }
        Some(_) => Ok(Some(person)),
        // Never handed on: a handler that the table does not name is nobody's.
        None => Err(ApiError::not_found(format_args!("route {} {}", request.method(), request.path()))),
    }
}

/// The credential of a request. A bearer token goes before a cookie: who sends one means it.
pub fn presented(request: &HttpRequest) -> Result<Presented, ApiError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    match (headers.next(), headers.next()) {
        (None, _) => {}
        (Some(header), None) => {
            let given = header.to_str().ok().and_then(|text| text.split_once(' '));
            let given =
                given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
            return match given {
                Some(token) if !token.is_empty() => Ok(Presented::Bearer(token.to_owned())),
                Some(_) | None => Err(refused("the Authorization header is not `Bearer TOKEN`")),
            };
        }
        (Some(_), Some(_)) => return Err(refused("there is more than one Authorization header")),
    }
    let cookies = request.headers().get_all(COOKIE).filter_map(|header| header.to_str().ok());
    let pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut own = pairs.filter(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value);
    match (own.next(), own.next()) {
        (None, _) => Ok(Presented::Nothing),
        (Some(value), None) => Ok(Presented::Cookie(value.to_owned())),
        // One of them was put there by somebody else.
        (Some(_), Some(_)) => Err(refused("there is more than one session in the cookies; log in again")),
    }
}

/// The person behind a request's credential, with what that person may do now.
pub async fn identify(engine: &Engine, request: &HttpRequest) -> Result<Person, ApiError> {
    let ip_address = client_address(request);
    let (secret, channel) = match presented(request)? {
        Presented::Nothing => {
            return Err(refused("no credential: log in, or send `Authorization: Bearer TOKEN`"));
        }
        Presented::Bearer(token) => {
            let policy = engine.policy();
            if let Some(token) = configured(&policy.config.tokens, &token) {
                let rights = policy.config.rights_of(token.role);
                let rights = token.scopes.as_ref().map_or(rights.clone(), |scopes| rights.narrowed_by(scopes));
                return Ok(Person { rights, ..Person::new(token.name.clone(), token.role, ip_address) });
            }
            (token, Channel::Bearer)
        }
        Presented::Cookie(secret) => (secret, Channel::Cookie),
    };
    let person = identity::recognise(engine, &secret, channel, ip_address).await?;
    person.ok_or_else(|| match channel {
        Channel::Bearer => refused("this token is not known, or not good any more"),
        Channel::Cookie => refused("this session is over; log in again"),
    })
}

/// Where a request comes from.
pub fn client_address(request: &HttpRequest) -> Option<String> {
    client::address(request).map(|address| address.to_string())
}

fn refused(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
}

/// The token of the configuration whose value is `given`.
fn configured<'t>(tokens: &'t [ApiToken], given: &str) -> Option<&'t ApiToken> {
    let given = Sha256::digest(given.as_bytes());
    let mut found = None;
    for token in tokens {
        let held = Sha256::digest(token.token.expose().as_bytes());
        // Every token is compared, each in constant time, so that the time tells nothing.
        if bool::from(given.as_slice().ct_eq(held.as_slice())) && !token.token.expose().is_empty() {
            found = Some(token);
        }
    }
    found
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
