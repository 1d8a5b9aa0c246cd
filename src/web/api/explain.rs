//! Why, and why not: every trigger's and every gate's answer about an alert; and asking about it again.

use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::decisions::DecisionView;
use super::{Error, List, alert_id, seen};
use crate::alert::Labels;
use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::gating::{self, Incident};
use crate::gate::explain::render;
use crate::store::{Db, alerts, audit, decisions, episodes};
use crate::web::auth::Person;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// Which alert, and when.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// A stored alert.
    pub alert_id: Option<String>,
    /// An imagined one.
    pub alert: Option<Imagined>,
    /// Ask as if it were this moment.
    #[schema(value_type = Option<String>)]
    pub at: Option<Timestamp>,
}

/// An alert that nobody sent. Further members of Alertmanager's are taken and not looked at.
#[derive(Deserialize, ToSchema, Debug)]
pub struct Imagined {
    #[schema(value_type = Object)]
    pub labels: Labels,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub annotations: Labels,
    /// The source that would have sent it; the first configured one if left out.
    pub source: Option<String>,
}

/// Say what would be done about an alert, and why not
#[utoipa::path(tag = "decisions", request_body = Question,
    responses((status = 200, description = "every trigger, and every gate of those that match"), (status = 404, body = Error), (status = 422, body = Error)))]
#[post("/api/v1/decisions/explain")]
pub async fn explain(
    engine: web::Data<Engine>,
    person: Person,
    Body(question): Body<Question>,
) -> Result<HttpResponse, ApiError> {
    let policy = engine.policy();
    let now = question.at.unwrap_or_else(|| engine.clock.now());
    let stored = match (&question.alert_id, &question.alert) {
        (Some(text), None) => Some(alert_id(&engine, text).await?),
        (None, Some(_)) => None,
        (Some(_), Some(_)) | (None, None) => {
            let message = "give either `alert_id` (a stored alert) or `alert` with its `labels`";
            return Err(ApiError::invalid("invalid", message));
        }
    };
    let imagined = question.alert.map(|imagined| {
        let Imagined { labels, annotations, source } = imagined;
        Incident::imagined(labels, annotations, source, &policy, now)
    });
    let mut explanation = engine
        .store
        .read(move |db: &mut Db| {
            let incident = match (imagined, stored) {
                (Some(imagined), _) => imagined,
                (None, Some(id)) => {
                    let row = alerts::get(db, id)?;
                    Incident::stored(episodes::get(db, row.episode_id)?, &row)
                }
                (None, None) => return Err(crate::store::StoreError::NotFound),
            };
            gating::explain(db, &policy, &incident, now)
        })
        .await?;
    let hidden: Vec<String> = explanation.triggers.iter().map(|trigger| trigger.runbook.clone()).collect();
    explanation.triggers.retain(|trigger| seen::runbook(&person, &trigger.runbook));
    for why in explanation.triggers.iter_mut().flat_map(|trigger| &mut trigger.why_not) {
        let names = |name: &String| !seen::runbook(&person, name) && why.contains(&format!("`{name}`"));
        if hidden.iter().any(names) {
            "another trigger comes first and does not say `continue: true`".clone_into(why);
        }
    }
    let mut shown = serde_json::to_value(&explanation).unwrap_or(Value::Null);
    shown["text"] = json!(render(&explanation));
    Ok(HttpResponse::Ok().json(shown))
}

/// Ask all gates about an alert again, where nothing was run
#[utoipa::path(tag = "alerts", params(("id" = String, Path)),
    responses((status = 200, body = List<DecisionView>), (status = 404, body = Error), (status = 409, body = Error)))]
#[post("/api/v1/alerts/{id}/replay")]
pub async fn replay(
    engine: web::Data<Engine>,
    id: web::Path<String>,
    person: Person,
) -> Result<HttpResponse, ApiError> {
    // It is asked for all triggers at once.
    seen::unlimited(&person, "to have an alert decided again")?;
    let id = alert_id(&engine, &id).await?;
    let (policy, now) = (engine.policy(), engine.clock.now());
    let asked = engine
        .store
        .write(move |db: &mut Db| {
            let episode = alerts::get(db, id)?.episode_id;
            let rows = decisions::of_episode(db, episode)?;
            if let Some(row) = rows.iter().find(|row| row.execution_id.is_some()) {
                return Ok(Err(row.execution_id));
            }
            let asked = gating::decide_episode_again(db, &policy, episode, now)?;
            let payload = json!({ "alertId": id, "decisions": asked.len() });
            let mut event =
                NewEvent::of(EventKind::AlertReplayed, person.name.clone(), "alert", id.to_string(), payload);
            event.episode = Some(episode);
            event.ip_address.clone_from(&person.ip_address);
            audit::append(db, &event, &policy.version, now)?;
            Ok(Ok((asked, decisions::of_episode(db, episode)?)))
        })
        .await?;
    match asked {
        Ok((asked, rows)) => {
            asked.into_iter().for_each(|made| made.announce(&engine));
            Ok(HttpResponse::Ok().json(List::all(rows.into_iter().map(DecisionView::from).collect::<Vec<_>>())))
        }
        Err(execution) => {
            let named = execution.map(|id| id.to_string()).unwrap_or_default();
            let message =
                format!("this alert has its execution already: {named}; `douse executions retry` runs it again");
            Err(ApiError::conflict("duplicate", message).with(json!({ "execution_id": execution })))
        }
    }
}
