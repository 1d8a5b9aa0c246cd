//! Runs that a person asks for: by hand, or once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::engine::acts::{ActError, Person, permitted};
use crate::engine::record::{self, Author};
use crate::engine::{Engine, Policy};
use crate::execution::{Origin, Status};
use crate::gate::Evaluation;
use crate::id::ExecutionId;
use crate::rights::Act;
use crate::runbook::model::ParameterKind;
use crate::runbook::plan::Plan;
use crate::store::executions::ExecutionRow;
use crate::store::{Db, StoreError, alerts, audit, episodes, lock_decisions};

use super::ask::{Asked, ask};
use super::prepare::{Incident, Wanted};
use super::start::{Birth, start};

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct RunRequest {
    pub runbook: String,
    /// Name of the server; without one the alert has to name it.
    pub server: Option<String>,
    pub parameters: BTreeMap<String, Value>,
    /// An alert to render the runbook for.
    pub incident: Option<Incident>,
    pub reason: Option<String>,
    pub by: Person,
    /// Only tell what would happen.
    pub dry_run: bool,
    /// The ended execution that this one repeats, and its trigger.
    pub retry_of: Option<(ExecutionId, Option<String>)>,
    /// Idempotency key, and the name of the token that sent it.
    pub idempotency: Option<(String, String)>,
}

/// All gates' answers, and what came of the request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub evaluation: Evaluation,
    /// What would be run, when it renders.
    pub plan: Option<(Plan, String)>,
    /// Approved, or pending; `None` when a gate holds or refuses, and for a dry run.
    pub execution: Option<ExecutionRow>,
    /// The group of the server that it would run on, when there is one server.
    pub server_group: Option<Option<String>>,
    secrets: BTreeMap<String, String>,
}

impl Answer {
    /// Whether `by` may run `runbook` where it would run; to be asked before the commit. Without a server nothing is run.
    pub fn permitted(&self, by: &Person, runbook: &str, act: Act) -> Result<(), ActError> {
        let is_permitted = match &self.server_group {
            Some(group) => permitted(by, act, runbook, group.as_deref()).is_ok(),
            None => by.rights.may_somewhere(act, runbook),
        };
        if is_permitted {
            return Ok(());
        }
        Err(ActError::Forbidden(format!("the rights of {} do not permit to {act} `{runbook}` there", by.name)))
    }

    /// After the commit: keeps the execution's secrets, and wakes who starts it.
    pub fn announce(&self, engine: &Engine) {
        if let Some(row) = &self.execution {
            engine.secrets.keep(row.id, self.secrets.clone());
            engine.wake.dispatch.notify_one();
        }
    }
}

/// Asks all gates about a person's run and makes the execution if none holds or refuses; nothing is queued. Either way
/// it is audited, except for a dry run, which writes nothing and may be done in a read.
pub fn request(db: &mut Db, policy: &Arc<Policy>, request: &RunRequest, now: Timestamp) -> Result<Answer, StoreError> {
    if !request.dry_run {
        lock_decisions(db)?;
    }
    let origin = if request.retry_of.is_some() { Origin::Retry } else { Origin::Manual };
    let trigger = request.retry_of.as_ref().and_then(|(_, trigger)| trigger.as_deref());
    let wanted = Wanted {
        runbook: &request.runbook,
        trigger,
        incident: request.incident.as_ref(),
        server: request.server.as_deref(),
        parameters: &request.parameters,
    };
    let asked = ask(db, policy, origin, &wanted, std::time::Duration::ZERO, now)?;
    let mut execution = None;
    if !request.dry_run {
        if asked.evaluation.is_going_ahead() {
            let author = Author {
                name: request.by.name.clone(),
                ip_address: request.by.ip_address.clone(),
                policy: Arc::clone(policy),
                now,
            };
            let birth = Birth {
                id: ExecutionId::new(),
                origin,
                asked: &asked,
                incident: request.incident.as_ref(),
                trigger,
                decision: None,
                retry_of: request.retry_of.as_ref().map(|(id, _)| *id),
                reason: request.reason.clone(),
                idempotency: request.idempotency.clone(),
            };
            execution = Some(start(db, &birth, &author)?.row);
        }
        tell(db, policy, request, &asked.evaluation, execution.as_ref(), now)?;
    }
    let Asked { prepared, evaluation, .. } = asked;
    let server_group = prepared.server.as_ref().map(|server| server.group.clone());
    Ok(Answer { evaluation, plan: prepared.rendered, execution, server_group, secrets: prepared.secrets })
}

/// Asks for an ended execution once more: the same runbook as it is now, server, parameters and alert.
pub async fn retry(engine: &Engine, id: ExecutionId, by: &Person, reason: Option<String>) -> Result<Answer, ActError> {
    let (policy, by, now) = (engine.policy(), by.clone(), engine.clock.now());
    let secrets = engine.secrets.of(id);
    let answer = engine.store.write(move |db: &mut Db| {
        let original = match again(db, &policy, id, &by, reason, &secrets)? {
            Ok(original) => original,
            Err(error) => return Ok(Err(error)),
        };
        let answer = request(db, &policy, &original, now)?;
        match answer.permitted(&by, &original.runbook, Act::Execute) {
            Ok(()) => Ok(Ok(answer)),
            // The server is in another group by now; all that was written is taken back.
            Err(error) => Err(StoreError::GivenUp(error.to_string())),
        }
    });
    let answer = answer.await.map_err(|error| match error {
        StoreError::GivenUp(message) => ActError::Forbidden(message),
        other => other.into(),
    })??;
    answer.announce(engine);
    Ok(answer)
}

fn again(
    db: &mut Db,
    policy: &Policy,
    id: ExecutionId,
    by: &Person,
    reason: Option<String>,
    secrets: &BTreeMap<String, String>,
) -> Result<Result<RunRequest, ActError>, StoreError> {
    let original = record::load(db, id)?;
    if let Err(error) = permitted(by, Act::Execute, &original.row.runbook, original.row.server_group.as_deref()) {
        return Ok(Err(error));
    }
    if !original.row.status.is_final() {
        let status = original.row.status;
        let hint = if status == Status::Interrupted { "; release it first" } else { "" };
        let message = format!("execution {id} is {status}; only one that is over can be retried{hint}");
        return Ok(Err(ActError::Conflict(message)));
    }
    if original.row.origin == Origin::Rollback {
        let message = "it undid another execution; ask for that one's rollback again".to_owned();
        return Ok(Err(ActError::Conflict(message)));
    }
    let mut parameters: BTreeMap<String, Value> = original.plan.parameters.clone();
    if let Some(active) = policy.runbooks.get(&original.row.runbook) {
        // What is stored of a secret is its mask.
        for secret in active.runbook.parameters.iter().filter(|one| one.kind == ParameterKind::Secret) {
            parameters.remove(&secret.name);
            if let Some(value) = secrets.get(&secret.name) {
                parameters.insert(secret.name.clone(), Value::from(value.as_str()));
            }
        }
    }
    let incident = match (original.row.episode_id, original.row.alert_id) {
        (Some(episode), Some(alert)) => Some(Incident::stored(episodes::get(db, episode)?, &alerts::get(db, alert)?)),
        _ => None,
    };
    Ok(Ok(RunRequest {
        runbook: original.row.runbook,
        server: Some(original.row.server),
        parameters,
        incident,
        reason,
        by: by.clone(),
        dry_run: false,
        retry_of: Some((id, original.row.trigger_name)),
        idempotency: None,
    }))
}

fn tell(
    db: &mut Db,
    policy: &Policy,
    request: &RunRequest,
    evaluation: &Evaluation,
    execution: Option<&ExecutionRow>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let payload = json!({
        "runbook": request.runbook, "server": request.server, "reason": request.reason,
        "retryOf": request.retry_of.as_ref().map(|(id, _)| id),
        "verdict": evaluation.outcome.as_str(), "skipReason": evaluation.skip_reason(),
        "gates": evaluation
            .objections()
            .map(|one| json!({"gate": one.gate, "verdict": one.verdict.as_str(), "reason": one.reason}))
            .collect::<Vec<_>>(),
        "executionId": execution.map(|row| row.id),
    });
    let mut event =
        NewEvent::of(EventKind::ManualRequested, &request.by.name, "runbook", request.runbook.clone(), payload);
    event.ip_address.clone_from(&request.by.ip_address);
    event.execution = execution.map(|row| row.id);
    audit::append(db, &event, &policy.version, now)?;
    Ok(())
}
