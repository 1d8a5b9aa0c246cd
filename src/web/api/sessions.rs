//! Logging in and out, one's own account, and the one-time tokens that begin it.

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::OwnerQuery;
use super::{Asked, Error, List, WholeList, session_id};
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::engine::Engine;
use crate::engine::identity::{self as act, LoggedIn, Login, LoginError, Setup, Shown};
use crate::id::{SessionId, UserId};
use crate::limits;
use crate::rights::{Role, Scope};
use crate::store::SessionKind;
use crate::store::sessions::{self, SessionRow};
use crate::store::users::{self, UserRow};
use crate::web::auth::{Person, SESSION_COOKIE, client_address};
use crate::web::body::Body;
use crate::web::error::ApiError;

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    pub name: String,
    pub password: String,
    /// `browser` (default): the session is a cookie; `command_line`: it is answered as a bearer token.
    #[serde(default)]
    pub kind: Option<SessionKind>,
}

/// A set-up token and a new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupBody {
    pub token: String,
    /// The first admin's; an invited user has one.
    #[serde(default)]
    pub name: Option<String>,
    pub password: String,
}

/// The old password and a new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    pub current: String,
    pub new: String,
}

/// Who has just logged in.
#[derive(Serialize, ToSchema)]
pub struct LoggedInView {
    pub name: String,
    pub role: Role,
    pub session: SessionView,
    /// Of a session of the command line; shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A log-in.
#[derive(Serialize, ToSchema, Debug)]
pub struct SessionView {
    pub id: SessionId,
    pub user: String,
    pub kind: SessionKind,
    pub created_at: Timestamp,
    /// To about a minute; half an hour later it is over.
    pub seen_at: Timestamp,
    /// It is over then, used or not.
    pub ends_at: Timestamp,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    /// The one that asks.
    pub is_current: bool,
}

impl SessionView {
    fn new(row: SessionRow, user: &UserRow, current: Option<SessionId>) -> Self {
        Self {
            is_current: current == Some(row.id),
            id: row.id,
            user: user.name.clone(),
            kind: row.kind,
            created_at: row.created_at,
            seen_at: row.seen_at,
            ends_at: row.ends_at,
            ip_address: row.ip_address,
            user_agent: row.user_agent,
        }
    }
}

/// Who asks.
#[derive(Serialize, ToSchema, Debug)]
pub struct MeView {
    pub name: String,
    /// What is in force for this request: a token's may be less than its owner's.
    pub role: Role,
    /// `session`, `token` or `configuration`.
    pub by: &'static str,
    /// What the user is narrowed to, beside what the configuration says of the role.
    #[schema(value_type = Option<Vec<Object>>)]
    pub scopes: Option<Vec<Scope>>,
    /// Something narrows what the role may.
    pub is_narrowed: bool,
}

/// Log in with name and password
#[utoipa::path(tag = "sessions", security(()), request_body = LoginBody,
    responses((status = 200, body = LoggedInView), (status = 401, body = Error), (status = 429, body = Error), (status = 503, body = Error)))]
#[post("/api/v1/login")]
pub async fn login(
    engine: web::Data<Engine>,
    request: HttpRequest,
    Body(body): Body<LoginBody>,
) -> Result<HttpResponse, ApiError> {
    let login = Login {
        name: body.name,
        password: Secret::new(body.password),
        kind: body.kind.unwrap_or(SessionKind::Browser),
        ip_address: client_address(&request),
        user_agent: user_agent(&request),
    };
    Ok(greet(act::login(&engine, login).await?))
}

/// Redeem a set-up token: become the first admin, or choose a password
#[utoipa::path(tag = "sessions", security(()), request_body = SetupBody,
    responses((status = 200, body = super::users::UserView), (status = 401, body = Error), (status = 409, body = Error), (status = 422, body = Error), (status = 429, body = Error)))]
#[post("/api/v1/setup")]
pub async fn setup(
    engine: web::Data<Engine>,
    request: HttpRequest,
    Body(body): Body<SetupBody>,
) -> Result<HttpResponse, ApiError> {
    let setup = Setup {
        token: Secret::new(body.token),
        name: body.name,
        password: Secret::new(body.password),
        ip_address: client_address(&request),
    };
    let user = act::redeem(&engine, setup).await?;
    Ok(HttpResponse::Ok().json(super::users::UserView::from(user)))
}

/// Log out: the session that asks ends
#[utoipa::path(tag = "sessions", responses((status = 204), (status = 409, body = Error)))]
#[post("/api/v1/logout")]
pub async fn logout(engine: web::Data<Engine>, person: Person) -> Result<HttpResponse, ApiError> {
    act::log_out(&engine, &person).await?;
    Ok(HttpResponse::NoContent().insert_header(("Set-Cookie", cookie("", 0))).finish())
}

/// Who asks, and with what
#[utoipa::path(tag = "sessions", responses((status = 200, body = MeView)))]
#[get("/api/v1/me")]
pub async fn me(engine: web::Data<Engine>, person: Person) -> Result<HttpResponse, ApiError> {
    let by = match person.account.map(|account| account.shown) {
        Some(Shown::Session(_)) => "session",
        Some(Shown::Token(_)) => "token",
        None => "configuration",
    };
    let scopes = match person.account {
        Some(account) => {
            let user = engine.store.read(move |db| users::get(db, account.user)).await?;
            user.scopes.map(|scopes| scopes.0)
        }
        None => None,
    };
    let is_narrowed = !person.rights.is_unlimited();
    Ok(HttpResponse::Ok().json(MeView { name: person.name, role: person.role, by, scopes, is_narrowed }))
}

/// Change one's own password: all sessions end, and this one goes on as a new one
#[utoipa::path(tag = "sessions", request_body = PasswordBody,
    responses((status = 200, body = LoggedInView), (status = 403, body = Error), (status = 422, body = Error), (status = 429, body = Error)))]
#[post("/api/v1/me/password")]
pub async fn change_password(
    engine: web::Data<Engine>,
    request: HttpRequest,
    person: Person,
    Body(body): Body<PasswordBody>,
) -> Result<HttpResponse, ApiError> {
    let (current, new) = (Secret::new(body.current), Secret::new(body.new));
    match act::change_password(&engine, &person, current, new, user_agent(&request)).await? {
        Ok(logged_in) => Ok(greet(logged_in)),
        Err(LoginError::Wrong) => {
            let message = "the current password is wrong";
            Err(ApiError::new(actix_web::http::StatusCode::FORBIDDEN, "wrong_password", message))
        }
        Err(error) => Err(error.into()),
    }
}

/// One's own open sessions, newest first; with `owner` another's, for auditors and admins
#[utoipa::path(tag = "sessions", params(OwnerQuery), responses((status = 200, body = List<SessionView>), (status = 403, body = Error)))]
#[get("/api/v1/sessions")]
pub async fn list(
    engine: web::Data<Engine>,
    query: Asked<OwnerQuery>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let (whole, of) = owner(&engine, query.into_inner(), &person).await?;
    let now = engine.clock.now();
    let mut rows = engine.store.read(move |db| sessions::open(db, of, now)).await?;
    rows.retain(|(session, user)| now.since(session.seen_at) < limits::SESSION_IDLE_MAX && user.is_active());
    let current = person.account.and_then(|account| match account.shown {
        Shown::Session(id) => Some(id),
        Shown::Token(_) => None,
    });
    let (rows, next_cursor) = whole.cut(rows, |(session, _)| session.id.to_string())?;
    let items = rows.into_iter().map(|(session, user)| SessionView::new(session, &user, current)).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// End a session of one's own; an admin ends anybody's
#[utoipa::path(tag = "sessions", params(("id" = String, Path)), responses((status = 204), (status = 404, body = Error)))]
#[delete("/api/v1/sessions/{id}")]
pub async fn end(engine: web::Data<Engine>, id: web::Path<String>, person: Person) -> Result<HttpResponse, ApiError> {
    let id = session_id(&engine, &id).await?;
    act::end_session(&engine, id, &person).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Whose things are asked for: one's own, or, for auditors and admins, those of anybody or (`None`) of all.
pub(super) async fn owner(
    engine: &Engine,
    query: OwnerQuery,
    person: &Person,
) -> Result<(WholeList, Option<UserId>), ApiError> {
    let OwnerQuery { owner, limit, cursor } = query;
    let whole = WholeList { limit, cursor };
    let own = person.account.map(|account| account.user);
    match (own, owner) {
        (Some(own), None) => Ok((whole, Some(own))),
        (Some(own), Some(name)) if name == person.name => Ok((whole, Some(own))),
        (None, None) if !person.role.covers(Role::Auditor) => {
            let message = "a token of the configuration has no account, and nothing of its own";
            Err(ApiError::conflict("no_account", message))
        }
        (_, _) if !person.role.covers(Role::Auditor) => {
            let message = format!("`{}` has the role {}, and sees only what is its own", person.name, person.role);
            Err(ApiError::new(actix_web::http::StatusCode::FORBIDDEN, "forbidden", message))
        }
        (None, None) => Ok((whole, None)),
        (_, Some(name)) if name == "*" => Ok((whole, None)),
        (_, Some(name)) => {
            let missing = ApiError::not_found(format!("user `{name}`"));
            let user = engine.store.read(move |db| users::by_name(db, &name)).await?;
            Ok((whole, Some(user.ok_or(missing)?.id)))
        }
    }
}

fn greet(logged_in: LoggedIn) -> HttpResponse {
    let LoggedIn { user, session, secret } = logged_in;
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store"));
    let token = match session.kind {
        SessionKind::Browser => {
            response.insert_header(("Set-Cookie", cookie(secret.expose(), limits::SESSION_MAX.as_secs())));
            None
        }
        SessionKind::CommandLine => Some(secret.expose().to_owned()),
    };
    let current = Some(session.id);
    let session = SessionView::new(session, &user, current);
    response.json(LoggedInView { name: user.name, role: user.role, session, token })
}

fn cookie(value: &str, seconds: u64) -> String {
    format!("{SESSION_COOKIE}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

fn user_agent(request: &HttpRequest) -> Option<String> {
    request.headers().get("user-agent").and_then(|value| value.to_str().ok()).map(str::to_owned)
}
