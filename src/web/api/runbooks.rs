//! Runbooks in force, their versions, and an operator's override.

use actix_web::{HttpResponse, get, post, web};
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;
use utoipa::ToSchema;

use super::{Asked, Error, List, Reason, seen};
use crate::clock::Timestamp;
use crate::engine::policy::ActiveRunbook;
use crate::engine::{Engine, Policy, people};
use crate::rights::Act;
use crate::runbook::model::{Action, Mode, Parameter, Risk, RunbookStatus, Step};
use crate::store::runbooks::{self, RunbookRow, VersionRow};
use crate::store::triggers::{self, TriggerRow};
use crate::store::{Db, RunbookOverride, StoreError};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// A runbook in force.
#[derive(Serialize, ToSchema, Debug)]
pub struct RunbookView {
    pub name: String,
    pub description: String,
    pub category: String,
    pub mode: Mode,
    /// The stricter of what the file and an operator say.
    pub status: RunbookStatus,
    /// As the file says.
    pub file_status: RunbookStatus,
    /// An operator's word.
    #[serde(rename = "override")]
    pub overridden: Option<OverrideView>,
    pub version: i32,
    pub content_hash: String,
    pub path: String,
    pub risk: Risk,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    pub links: Vec<String>,
    pub requires_approval: bool,
    pub approval_roles: Vec<String>,
    pub timeout_seconds: u64,
    pub parameters: Vec<ParameterView>,
    pub steps: Vec<StepSummary>,
    pub triggers: Vec<TriggerView>,
}

/// An operator's word on a runbook.
#[derive(Serialize, ToSchema, Debug)]
pub struct OverrideView {
    pub status: String,
    pub by: Option<String>,
    pub at: Option<Timestamp>,
    pub reason: Option<String>,
}

/// A value that a run takes.
#[derive(Serialize, ToSchema, Debug)]
pub struct ParameterView {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[schema(value_type = Object)]
    pub default: Option<Value>,
    pub required: bool,
    pub options: Vec<String>,
    pub description: String,
}

/// A step as the file writes it.
#[derive(Serialize, ToSchema, Debug)]
pub struct StepSummary {
    pub step_order: u32,
    pub id: String,
    pub name: String,
    /// The template.
    pub action: String,
    /// The template of its undo.
    pub undo: Option<String>,
}

/// A trigger.
#[derive(Serialize, ToSchema, Debug)]
pub struct TriggerView {
    pub name: String,
    pub priority: i32,
    pub enabled: bool,
    pub cooldown_seconds: Option<i64>,
    pub last_triggered_at: Option<Timestamp>,
}

/// One content that a runbook has had.
#[derive(Serialize, ToSchema, Debug)]
pub struct VersionView {
    pub version: i32,
    pub content_hash: String,
    pub change_summary: String,
    pub path: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// What a version changed.
#[derive(Serialize, ToSchema, Debug)]
pub struct DiffView {
    pub version: i32,
    /// The version before it; null for the first.
    pub previous: Option<i32>,
    /// A unified diff.
    pub diff: String,
}

/// Runbooks in force, by name
#[utoipa::path(tag = "runbooks", responses((status = 200, body = List<RunbookView>)))]
#[get("/api/v1/runbooks")]
pub async fn list(
    engine: web::Data<Engine>,
    query: Asked<super::WholeList>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let policy = engine.policy();
    let names: Vec<String> = policy.runbooks.keys().filter(|name| seen::runbook(&person, name)).cloned().collect();
    let (names, next_cursor) = query.cut(names, |name| name.clone())?;
    let views = engine
        .store
        .read(move |db| {
            names
                .iter()
                .filter_map(|name| Some((name, policy.runbooks.get(name)?)))
                .map(|(name, active)| view(db, &policy, name, active))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    Ok(HttpResponse::Ok().json(List { items: views, next_cursor }))
}

/// One runbook
#[utoipa::path(tag = "runbooks", params(("name" = String, Path)), responses((status = 200, body = RunbookView), (status = 404, body = Error)))]
#[get("/api/v1/runbooks/{name}")]
pub async fn show(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    seen::permitted(&person, Act::View, &name)?;
    shown(&engine, name.into_inner()).await
}

/// The versions of a runbook, newest first
#[utoipa::path(tag = "runbooks", params(("name" = String, Path)), responses((status = 200, body = List<VersionView>), (status = 404, body = Error)))]
#[get("/api/v1/runbooks/{name}/versions")]
pub async fn versions(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    query: Asked<super::WholeList>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    seen::permitted(&person, Act::View, &name)?;
    let row = known(&engine, &name).await?;
    let rows = engine.store.read(move |db| runbooks::versions(db, row.id)).await?;
    let (rows, next_cursor) = query.cut(rows, |row| row.version.to_string())?;
    let items: Vec<VersionView> = rows.into_iter().map(VersionView::from).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// What a version changed against the one before it
#[utoipa::path(tag = "runbooks", params(("name" = String, Path), ("n" = i32, Path)),
    responses((status = 200, body = DiffView), (status = 404, body = Error)))]
#[get("/api/v1/runbooks/{name}/versions/{n}/diff")]
pub async fn diff(
    engine: web::Data<Engine>,
    path: web::Path<(String, i32)>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    let (name, number) = path.into_inner();
    seen::permitted(&person, Act::View, &name)?;
    let row = known(&engine, &name).await?;
    let all = engine.store.read(move |db| runbooks::versions(db, row.id)).await?;
    let found = all.iter().find(|version| version.version == number);
    let new = found.ok_or_else(|| ApiError::not_found(format!("version {number} of runbook `{name}`")))?;
    let old = all.iter().filter(|version| version.version < number).max_by_key(|version| version.version);
    let before = old.map_or("", |version| version.yaml_content.as_str());
    let from = old.map_or_else(|| "/dev/null".to_owned(), |version| format!("{name} version {}", version.version));
    let to = format!("{name} version {number}");
    let diff = TextDiff::from_lines(before, &new.yaml_content).unified_diff().header(&from, &to).to_string();
    let previous = old.map(|version| version.version);
    Ok(HttpResponse::Ok().json(DiffView { version: number, previous, diff }))
}

/// The runbook's file as it is in force
#[utoipa::path(tag = "runbooks", params(("name" = String, Path)),
    responses((status = 200, body = String, content_type = "application/yaml"), (status = 404, body = Error)))]
#[get("/api/v1/runbooks/{name}/export")]
pub async fn export(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    seen::permitted(&person, Act::View, &name)?;
    let policy = engine.policy();
    let active = policy.runbooks.get(name.as_str()).ok_or_else(|| missing(&name))?;
    Ok(HttpResponse::Ok().content_type("application/yaml; charset=utf-8").body(active.runbook.source.clone()))
}

/// Take an operator's `disable` back
#[utoipa::path(tag = "runbooks", params(("name" = String, Path)), request_body = Reason,
    responses((status = 200, body = RunbookView), (status = 404, body = Error)))]
#[post("/api/v1/runbooks/{name}/enable")]
pub async fn enable(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, ApiError> {
    seen::permitted(&person, Act::Execute, &name)?;
    known(&engine, &name).await?;
    people::runbooks::set_override(&engine, name.clone(), RunbookOverride::Active, body.reason, &person).await?;
    shown(&engine, name.into_inner()).await
}

/// Keep a runbook from running, whatever its file says
#[utoipa::path(tag = "runbooks", params(("name" = String, Path)), request_body = Reason,
    responses((status = 200, body = RunbookView), (status = 404, body = Error)))]
#[post("/api/v1/runbooks/{name}/disable")]
pub async fn disable(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, ApiError> {
    seen::permitted(&person, Act::Execute, &name)?;
    known(&engine, &name).await?;
    people::runbooks::set_override(&engine, name.clone(), RunbookOverride::Disabled, body.reason, &person).await?;
    shown(&engine, name.into_inner()).await
}

fn missing(name: &str) -> ApiError {
    ApiError::not_found(format!("runbook `{name}`"))
}

/// A runbook that the database knows, in force or not any more.
async fn known(engine: &Engine, name: &str) -> Result<RunbookRow, ApiError> {
    let wanted = name.to_owned();
    let row = engine.store.read(move |db| runbooks::by_name(db, &wanted)).await?;
    row.ok_or_else(|| missing(name))
}

async fn shown(engine: &Engine, name: String) -> Result<HttpResponse, ApiError> {
    let policy = engine.policy();
    let active = policy.runbooks.get(&name).cloned().ok_or_else(|| missing(&name))?;
    let view = engine.store.read(move |db| view(db, &policy, &name, &active)).await?;
    Ok(HttpResponse::Ok().json(view))
}

fn view(db: &mut Db, policy: &Policy, name: &str, active: &ActiveRunbook) -> Result<RunbookView, StoreError> {
    let row = runbooks::by_name(db, name)?;
    let triggers = triggers::of_runbook(db, active.id)?;
    let runbook = &active.runbook;
    let path = policy.draft().runbooks.get(name).map(|file| file.path.display().to_string()).unwrap_or_default();
    let overridden = row.and_then(|row| {
        let status = row.status_override?;
        let status = status.as_str().to_owned();
        Some(OverrideView { status, by: row.override_by, at: row.override_at, reason: row.override_reason })
    });
    let is_disabled = overridden.as_ref().is_some_and(|word| word.status == RunbookOverride::Disabled.as_str());
    Ok(RunbookView {
        name: runbook.name.clone(),
        description: runbook.description.clone(),
        category: runbook.category.clone(),
        mode: runbook.mode,
        status: if is_disabled { RunbookStatus::Disabled } else { runbook.status },
        file_status: runbook.status,
        overridden,
        version: active.version,
        content_hash: runbook.content_hash.clone(),
        path,
        risk: runbook.risk,
        owner: runbook.owner.clone(),
        tags: runbook.tags.clone(),
        links: runbook.links.clone(),
        requires_approval: runbook.requires_approval,
        approval_roles: runbook.approval.roles.clone(),
        timeout_seconds: runbook.timeout.as_secs(),
        parameters: runbook.parameters.iter().map(ParameterView::from).collect(),
        steps: runbook.steps.iter().map(StepSummary::from).collect(),
        triggers: triggers.into_iter().map(TriggerView::from).collect(),
    })
}

impl From<&Parameter> for ParameterView {
    fn from(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name.clone(),
            kind: parameter.kind.as_str().to_owned(),
            default: parameter.default.clone(),
            required: parameter.required,
            options: parameter.options.clone(),
            description: parameter.description.clone(),
        }
    }
}

impl From<&Step> for StepSummary {
    fn from(step: &Step) -> Self {
        let text = |action: &Action| match action {
            Action::Command(text) | Action::Script { text, .. } => text.clone(),
            Action::Argv(words) => words.join(" "),
        };
        Self {
            step_order: step.order,
            id: step.id.clone(),
            name: step.name.clone(),
            action: text(&step.action),
            undo: step.undo.as_ref().map(|undo| text(&undo.action)),
        }
    }
}

impl From<TriggerRow> for TriggerView {
    fn from(row: TriggerRow) -> Self {
        Self {
            name: row.name,
            priority: row.priority,
            enabled: row.enabled,
            cooldown_seconds: row.cooldown_secs,
            last_triggered_at: row.last_triggered_at,
        }
    }
}

impl From<VersionRow> for VersionView {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version,
            content_hash: row.content_hash,
            change_summary: row.change_summary,
            path: row.path,
            created_by: row.created_by,
            created_at: row.created_at,
        }
    }
}
