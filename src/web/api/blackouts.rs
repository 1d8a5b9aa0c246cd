//! Blackouts: those of the configuration, read-only, and those made here.

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::query::BlackoutQuery;
use super::{Asked, Error, List, WholeList};
use crate::clock::Timestamp;
use crate::engine::people::blackouts as act;
use crate::engine::{Engine, Policy};
use crate::gate::blackout::{BlackoutSpec, Schedule, State};
use crate::id::BlackoutId;
use crate::store::blackouts::{self, BlackoutRow};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// One blackout: what was written, and whether it is on.
#[derive(Serialize, ToSchema, Debug)]
pub struct BlackoutView {
    /// Null for one of the configuration.
    pub id: Option<BlackoutId>,
    /// `name`, `description`, `effect`, `timezone`, one of `once`, `daily`, `weekly`, `monthly`, `cron`, and the scopes.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub spec: BlackoutSpec,
    /// `on`, `off` or `disabled`.
    pub state: String,
    /// End of the window that is on; null for one without an end.
    pub until: Option<Timestamp>,
    /// When it is, in words.
    pub when: String,
    /// `file`: read-only here; `api`: made here.
    pub declared_in: String,
    pub created_by: Option<String>,
    pub created_at: Option<Timestamp>,
}

/// Blackouts, by name
#[utoipa::path(tag = "blackouts", params(BlackoutQuery), responses((status = 200, body = List<BlackoutView>), (status = 422, body = Error)))]
#[get("/api/v1/blackouts")]
pub async fn list(engine: web::Data<Engine>, query: Asked<BlackoutQuery>) -> Result<HttpResponse, ApiError> {
    let BlackoutQuery { at, limit, cursor } = query.into_inner();
    let now = at.unwrap_or_else(|| engine.clock.now());
    let policy = engine.policy();
    let rows = engine.store.read(blackouts::list).await?;
    let declared = policy.config.blackouts.iter().map(|declared| declared_view(&policy, &declared.spec, now));
    let mut views: Vec<BlackoutView> = declared.chain(rows.into_iter().map(|row| made(&policy, row, now))).collect();
    views.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let (items, next_cursor) = WholeList { limit, cursor }.cut(views, |view| view.spec.name.clone())?;
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// One blackout
#[utoipa::path(tag = "blackouts", params(("id" = String, Path, description = "id or name")), responses((status = 200, body = BlackoutView), (status = 404, body = Error)))]
#[get("/api/v1/blackouts/{id}")]
pub async fn show(engine: web::Data<Engine>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let (policy, now) = (engine.policy(), engine.clock.now());
    if let Some(declared) = policy.config.blackouts.iter().find(|declared| declared.name == *id) {
        return Ok(HttpResponse::Ok().json(declared_view(&policy, &declared.spec, now)));
    }
    let row = find(&engine, &id).await?;
    Ok(HttpResponse::Ok().json(made(&policy, row, now)))
}

/// Add a blackout
#[utoipa::path(tag = "blackouts", request_body = Object,
    responses((status = 201, body = BlackoutView), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/blackouts")]
pub async fn create(
    engine: web::Data<Engine>,
    person: Person,
    Body(spec): Body<BlackoutSpec>,
) -> Result<HttpResponse, ApiError> {
    let row = act::create(&engine, spec, &person).await?;
    let location = format!("/api/v1/blackouts/{}", row.id);
    let view = made(&engine.policy(), row, engine.clock.now());
    Ok(HttpResponse::Created().insert_header(("Location", location)).json(view))
}

/// Replace all of a blackout that was made here
#[utoipa::path(tag = "blackouts", params(("id" = String, Path, description = "id or name")), request_body = Object,
    responses((status = 200, body = BlackoutView), (status = 404, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[put("/api/v1/blackouts/{id}")]
pub async fn replace(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(spec): Body<BlackoutSpec>,
) -> Result<HttpResponse, ApiError> {
    changeable(&engine, &id)?;
    let row = find(&engine, &id).await?;
    let row = act::replace(&engine, row.id, spec, &person).await?;
    Ok(HttpResponse::Ok().json(made(&engine.policy(), row, engine.clock.now())))
}

/// Remove a blackout that was made here
#[utoipa::path(tag = "blackouts", params(("id" = String, Path, description = "id or name")),
    responses((status = 204), (status = 404, body = Error), (status = 409, body = Error)))]
#[delete("/api/v1/blackouts/{id}")]
pub async fn remove(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    changeable(&engine, &id)?;
    let row = find(&engine, &id).await?;
    act::delete(&engine, row.id, &person).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn changeable(engine: &Engine, name: &str) -> Result<(), ApiError> {
    if engine.policy().config.blackouts.iter().any(|declared| declared.name == name) {
        let message = format!("blackout `{name}` is declared in the configuration; change it there, and reload");
        return Err(ApiError::conflict("declared_in_file", message));
    }
    Ok(())
}

async fn find(engine: &Engine, text: &str) -> Result<BlackoutRow, ApiError> {
    let id = text.parse::<BlackoutId>().ok();
    let rows = engine.store.read(blackouts::list).await?;
    let row = rows.into_iter().find(|row| Some(row.id) == id || row.name == text);
    row.ok_or_else(|| ApiError::not_found(format!("blackout `{text}`")))
}

fn declared_view(policy: &Policy, spec: &BlackoutSpec, now: Timestamp) -> BlackoutView {
    let blackout = spec.parse_or_unreadable(policy.config.global.timezone);
    let (state, until) = state(blackout.is_enabled, blackout.state(now));
    BlackoutView {
        id: None,
        when: when(spec, &blackout.schedule),
        spec: spec.clone(),
        state,
        until,
        declared_in: "file".to_owned(),
        created_by: None,
        created_at: None,
    }
}

fn made(policy: &Policy, row: BlackoutRow, now: Timestamp) -> BlackoutView {
    let blackout = row.blackout(policy.config.global.timezone);
    let (state, until) = state(blackout.is_enabled, blackout.state(now));
    let spec = row.spec();
    BlackoutView {
        id: Some(row.id),
        when: when(&spec, &blackout.schedule),
        spec,
        state,
        until,
        declared_in: "api".to_owned(),
        created_by: Some(row.created_by),
        created_at: Some(row.created_at),
    }
}

fn state(is_enabled: bool, state: State) -> (String, Option<Timestamp>) {
    match state {
        _ if !is_enabled => ("disabled".to_owned(), None),
        State::On { until } => ("on".to_owned(), until),
        State::Off => ("off".to_owned(), None),
    }
}

/// When a blackout is, in words.
fn when(spec: &BlackoutSpec, schedule: &Schedule) -> String {
    let zone = spec.timezone.as_deref().unwrap_or("");
    let text = match (schedule, spec) {
        (Schedule::Unreadable(problem), _) => format!("cannot be read, so it is on: {problem}"),
        (Schedule::Once { start, end }, _) => return format!("{start} to {end}"),
        (_, BlackoutSpec { daily: Some(d), .. }) => format!("daily {}-{}", d.start, d.end),
        (_, BlackoutSpec { weekly: Some(w), .. }) => format!("{} {}-{}", w.days.join(","), w.start, w.end),
        (_, BlackoutSpec { monthly: Some(m), .. }) => {
            let days: Vec<String> = m.days.iter().map(u32::to_string).collect();
            format!("monthly on {} {}-{}", days.join(","), m.start, m.end)
        }
        (_, BlackoutSpec { cron: Some(c), .. }) => format!("cron {} for {}", c.expression, c.duration),
        (_, BlackoutSpec { recurrence, recurrence_pattern, .. }) => {
            let how = recurrence.map_or("", |recurrence| recurrence.as_str());
            format!("{how} {}", recurrence_pattern.as_ref().map(Value::to_string).unwrap_or_default())
        }
    };
    format!("{text} {zone}").trim().to_owned()
}
