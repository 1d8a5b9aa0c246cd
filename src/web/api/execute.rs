//! Runs that a person asks for: by hand, and once more.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, post, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Error, Reason, alert_id, execution_id, seen};
use crate::audit::canonical::payload_hash;
use crate::engine::Engine;
use crate::engine::gating::{self, Answer, Incident, RunRequest};
use crate::gate::Verdict;
use crate::limits;
use crate::rights::Act;
use crate::store::idempotency::{self, KeyRow};
use crate::store::{Db, Json, StoreError, alerts, episodes, lock_decisions};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// The header that makes a repeated request harmless.
const KEY_HEADER: &str = "Idempotency-Key";

/// What to run.
#[derive(Clone, Serialize, Deserialize, ToSchema, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Execute {
    /// Name of the server; without one the alert has to name it.
    pub server: Option<String>,
    #[schema(value_type = Object)]
    pub parameters: BTreeMap<String, Value>,
    /// Id of a stored alert to render the runbook for.
    pub alert: Option<String>,
    /// Why; stands in the record.
    pub reason: Option<String>,
    /// Ask every gate and render the plan, but start nothing.
    pub dry_run: bool,
}

/// What a request with a key is answered.
enum Keyed {
    Answered(Box<Answer>, StatusCode, Value),
    /// The same request had this answer before.
    Repeated(KeyRow),
    /// The key belongs to another request.
    Other,
}

/// Run a runbook by hand
#[utoipa::path(tag = "runbooks", params(("name" = String, Path)), request_body = Execute,
    responses((status = 202, description = "it runs, or waits for a yes"), (status = 200, description = "a dry run"), (status = 404, body = Error), (status = 409, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/runbooks/{name}/execute")]
pub async fn execute(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
    http: HttpRequest,
    Body(body): Body<Execute>,
) -> Result<HttpResponse, ApiError> {
    let (name, policy, now) = (name.into_inner(), engine.policy(), engine.clock.now());
    let act = if body.dry_run { Act::View } else { Act::Execute };
    if !policy.runbooks.contains_key(&name) || !seen::runbook(&person, &name) {
        return Err(ApiError::not_found(format!("runbook `{name}`; `douse runbooks list` shows those that there are")));
    }
    if body.reason.as_ref().is_some_and(|reason| reason.chars().count() > limits::REASON_CHARS_MAX) {
        let message = format!("reason is longer than {} characters", limits::REASON_CHARS_MAX);
        return Err(ApiError::invalid("invalid", message));
    }
    let alert = match &body.alert {
        Some(text) => Some(alert_id(&engine, text).await?),
        None => None,
    };
    let key = key_of(&http)?.filter(|_| !body.dry_run);
    let hash = payload_hash(&json!({ "runbook": name, "body": body })).map_err(|_| broken())?;
    let keyed = engine.store.write(move |db: &mut Db| {
        // Two equal requests at the same moment: the second waits for the first one's answer.
        lock_decisions(db)?;
        if let Some(key) = &key
            && let Some(row) = idempotency::get(db, key, &person.name)?
        {
            return Ok(if row.request_hash == hash { Keyed::Repeated(row) } else { Keyed::Other });
        }
        let incident = match alert {
            Some(id) => {
                let row = alerts::get(db, id)?;
                Some(Incident::stored(episodes::get(db, row.episode_id)?, &row))
            }
            None => None,
        };
        let request = RunRequest {
            runbook: name,
            server: body.server,
            parameters: body.parameters,
            incident,
            reason: body.reason,
            by: person.clone(),
            dry_run: body.dry_run,
            retry_of: None,
            idempotency: key.clone().map(|key| (key, person.name.clone())),
        };
        let answer = gating::request(db, &policy, &request, now)?;
        if let Err(error) = answer.permitted(&person, &request.runbook, act) {
            // All that was written is taken back.
            return Err(StoreError::GivenUp(error.to_string()));
        }
        let (status, shown) = show(&answer, request.dry_run)?;
        if let Some(key) = key {
            let location = answer.execution.as_ref().map(|row| format!("/api/v1/executions/{}", row.id));
            let row = KeyRow {
                key,
                token: person.name,
                request_hash: hash,
                status: i32::from(status.as_u16()),
                location,
                body: Json(shown.clone()),
                created_at: now,
            };
            idempotency::insert(db, &row)?;
        }
        Ok(Keyed::Answered(Box::new(answer), status, shown))
    });
    let keyed = keyed.await.map_err(|error| match error {
        StoreError::GivenUp(message) => ApiError::new(StatusCode::FORBIDDEN, "forbidden", message),
        other => other.into(),
    });
    match keyed? {
        Keyed::Answered(answer, status, shown) => {
            answer.announce(&engine);
            Ok(respond(status, &shown))
        }
        Keyed::Repeated(row) => {
            let status = u16::try_from(row.status).ok().and_then(|code| StatusCode::from_u16(code).ok());
            Ok(respond(status.ok_or_else(broken)?, &row.body.0))
        }
        Keyed::Other => {
            let message = format!("this {KEY_HEADER} was used for another request; take a new one");
            Err(ApiError::invalid("idempotency_key_reused", message))
        }
    }
}

/// Run an ended execution once more, in a new one
#[utoipa::path(tag = "executions", params(("id" = String, Path)), request_body = Reason,
    responses((status = 202, description = "it runs, or waits for a yes"), (status = 404, body = Error), (status = 409, body = Error)))]
#[post("/api/v1/executions/{id}/retry")]
pub async fn retry(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, ApiError> {
    let id = execution_id(&engine, &person, &id).await?;
    let answer = gating::retry(&engine, id, &person, body.reason).await?;
    let (status, shown) = show(&answer, false)?;
    Ok(respond(status, &shown))
}

fn key_of(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get(KEY_HEADER) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= limits::IDEMPOTENCY_KEY_BYTES_MAX => Ok(Some(key.to_owned())),
        _ => {
            let max = limits::IDEMPOTENCY_KEY_BYTES_MAX;
            let message = format!("{KEY_HEADER} must be 1 to {max} printable ASCII characters");
            Err(ApiError::invalid("invalid_idempotency_key", message))
        }
    }
}

/// The decision as it is shown, and the status that tells it: 409 with every gate when one holds or refuses.
fn show(answer: &Answer, is_dry: bool) -> Result<(StatusCode, Value), StoreError> {
    let evaluation = &answer.evaluation;
    let verdict = match evaluation.outcome {
        Verdict::Allow => "allowed",
        Verdict::Approve => "approval",
        Verdict::Hold(_) => "held",
        Verdict::Refuse if evaluation.is_observed_only() => "observed",
        Verdict::Refuse => "refused",
    };
    let gates = serde_json::to_value(&evaluation.verdicts).map_err(|error| StoreError::Defect(error.to_string()))?;
    let mut shown = json!({
        "verdict": verdict,
        "gates": gates,
        "execution_id": answer.execution.as_ref().map(|row| row.id),
        "plan_hash": answer.plan.as_ref().map(|(_, hash)| hash),
    });
    if let Verdict::Hold(until) = evaluation.outcome {
        shown["held_until"] = json!(until);
    }
    if let Some(reason) = evaluation.skip_reason() {
        shown["skip_reason"] = json!(reason);
    }
    if let Some(id) = evaluation.conflicting_execution() {
        shown["conflicting_execution_id"] = json!(id);
    }
    if is_dry {
        shown["plan"] = json!(answer.plan.as_ref().map(|(plan, _)| plan));
        return Ok((StatusCode::OK, shown));
    }
    if answer.execution.is_some() {
        return Ok((StatusCode::ACCEPTED, shown));
    }
    let message = evaluation.leading().map_or_else(|| "a gate objects".to_owned(), |gate| gate.message.clone());
    shown["error"] = json!({ "code": verdict, "message": message });
    Ok((StatusCode::CONFLICT, shown))
}

fn respond(status: StatusCode, shown: &Value) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if let Some(id) = shown["execution_id"].as_str() {
        response.insert_header(("Location", format!("/api/v1/executions/{id}")));
    }
    response.json(shown)
}

fn broken() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Douse failed to answer; its log says why")
}
