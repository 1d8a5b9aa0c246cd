//! The one shape of an error: `{"error": {"code": "snake_case", "message": "what is wrong and what to do"}}`.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde_json::{Value, json};

use crate::engine::acts::ActError;
use crate::engine::identity::{LoginError, SetupError};
use crate::secrets::redact;
use crate::store::StoreError;

/// An answer other than what was asked for.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    /// `snake_case`; stable.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// Further members of the answer: the gates of a 409, the problems of a 422.
    pub more: Option<Value>,
    /// In how many seconds the same may work.
    pub retry_after: Option<u16>,
}

impl ApiError {
    /// An error with this status, code and message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), more: None, retry_after: None }
    }

    /// 404: `what` does not exist.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// 409: not in a state for that now.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 422: understood, but wrong.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// The same with further members beside `error`.
    pub fn with(mut self, more: Value) -> Self {
        self.more = Some(more);
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut body = match &self.more {
            Some(Value::Object(more)) => redact::json(Value::Object(more.clone())),
            _ => json!({}),
        };
        body["error"] = json!({ "code": self.code, "message": redact::text(&self.message) });
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header(("WWW-Authenticate", "Bearer realm=\"douse\""));
        }
        if let Some(wait) = self.retry_after {
            response.insert_header(("Retry-After", u64::from(wait)));
        }
        response.json(body)
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        let message = error.to_string();
        match error {
            LoginError::Wrong => Self::new(StatusCode::UNAUTHORIZED, "wrong_credentials", message),
            LoginError::Wait(wait) => {
                let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", message);
                Self { retry_after: Some(u16::try_from(wait.as_secs() + 1).unwrap_or(u16::MAX)), ..error }
            }
            LoginError::Busy(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message),
            LoginError::Store(error) => error.into(),
        }
    }
}

impl From<SetupError> for ApiError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Login(LoginError::Wrong) => {
                let message = "this set-up token is wrong, used up or too old";
                Self::new(StatusCode::UNAUTHORIZED, "wrong_credentials", message)
            }
            SetupError::Login(error) => error.into(),
            SetupError::Act(error) => error.into(),
        }
    }
}

impl From<ActError> for ApiError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::NotFound => Self::not_found("such thing"),
            ActError::Forbidden(message) => Self::new(StatusCode::FORBIDDEN, "forbidden", message),
            ActError::Conflict(message) => Self::conflict("conflict", message),
            ActError::Invalid(message) => Self::invalid("invalid", message),
            ActError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_retryable() {
            tracing::warn!(%error, "a request could not be served");
            let message = "the database is not available; the same request may work later";
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        }
        match error {
            StoreError::NotFound => Self::not_found("such thing"),
            error if error.is_conflict() => Self::conflict("exists", error.to_string()),
            error => {
                tracing::error!(%error, "a request failed");
                let message = "Douse failed to answer; its log says why";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        }
    }
}

/// 404 for a path that is no route, after the credential was looked at.
pub async fn no_such_route(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found(format!("route {} {}", request.method(), request.path())))
}

/// Path parts: an id that is none names nothing.
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default()
        .error_handler(|error, request| ApiError::not_found(format!("{} ({error})", request.path())).into())
}
