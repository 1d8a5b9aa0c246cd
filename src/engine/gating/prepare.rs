//! What can be told of a run without the database: its server, its parameters, its plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::alert::{Alert, AlertStatus, Labels, fingerprint};
use crate::clock::Timestamp;
use crate::engine::Policy;
use crate::engine::policy::ActiveRunbook;
use crate::gate::{Known, Missing, parameters, plan, target};
use crate::id::AlertId;
use crate::inventory::{Server, allowed};
use crate::runbook::plan::{Plan, PlanError, PlanInput, PlanReason, plan as render, plan_hash, target as sought};
use crate::runbook::{self};
use crate::store::alerts::AlertRow;
use crate::store::episodes::EpisodeRow;
use crate::trigger::TriggerSpec;

/// An alert, and the episode that it belongs to.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Name of the source.
    pub source: String,
    pub alert: Alert,
    /// What the delivery said of the alert's group, in its own names.
    pub group: Value,
    /// `None` for an alert that somebody only imagines, to have it explained.
    pub stored: Option<(EpisodeRow, AlertId)>,
}

impl Incident {
    /// A stored one.
    pub fn stored(episode: EpisodeRow, row: &AlertRow) -> Self {
        Self {
            source: episode.source.clone(),
            alert: row.alert(),
            group: row.group_json.0.clone(),
            stored: Some((episode, row.id)),
        }
    }

    /// An alert that nobody sent, firing since `now`. Without a source it is the first configured one's.
    pub fn imagined(
        labels: Labels,
        annotations: Labels,
        source: Option<String>,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let first = || policy.config.sources.first().map(|source| source.name.clone());
        let alert = Alert {
            status: AlertStatus::Firing,
            fingerprint: fingerprint::fingerprint(&labels),
            labels,
            annotations,
            starts_at: now,
            ends_at: None,
            generator_url: String::new(),
            annotations_cut: false,
        };
        Self { source: source.or_else(first).unwrap_or_default(), alert, group: json!({}), stored: None }
    }

    /// The episode, unless it is imagined.
    pub fn episode(&self) -> Option<&EpisodeRow> {
        self.stored.as_ref().map(|(episode, _)| episode)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub runbook: &'a str,
    /// Name of the trigger.
    pub trigger: Option<&'a str>,
    pub incident: Option<&'a Incident>,
    /// Named by a person; otherwise the alert names it.
    pub server: Option<&'a str>,
    /// Given by a person.
    pub parameters: &'a BTreeMap<String, Value>,
}

/// A run as far as it can be told.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// `None` when no file has the runbook, or its trigger, any more.
    pub active: Option<ActiveRunbook>,
    pub trigger: Option<TriggerSpec>,
    pub server: Option<Arc<Server>>,
    pub parameters: Known<parameters::Facts>,
    pub target: Known<target::Facts>,
    pub plan: Known<plan::Facts>,
    /// The plan and its hash, when everything renders.
    pub rendered: Option<(Plan, String)>,
    /// Values of the secret parameters, which stand in no plan.
    pub secrets: BTreeMap<String, String>,
}

impl Prepared {
    /// A new run.
    pub(super) fn new(policy: &Policy, wanted: &Wanted<'_>) -> Self {
        let (active, trigger) = in_force(policy, wanted.runbook, wanted.trigger);
        let Some(active) = active else { return Self::gone(trigger) };
        let book = Arc::clone(&active.runbook);
        let alert = wanted.incident.map(|incident| &incident.alert);
        let sources = runbook::parameters::ParameterSources {
            alert,
            given: wanted.parameters,
            is_server: &|name| policy.servers.get(name).is_some(),
        };
        let (values, parameters) = match runbook::parameters::resolve(&book, &sources) {
            Ok(values) => {
                let accepted = values.keys().cloned().collect();
                (values, parameters::Facts { accepted, rejected: Vec::new() })
            }
            Err(PlanError { name, message, .. }) => {
                let rejected = vec![parameters::Rejected { name, problem: message }];
                (BTreeMap::new(), parameters::Facts { accepted: Vec::new(), rejected })
            }
        };
        let is_rejected = !parameters.rejected.is_empty();
        let (server, target) = find_server(policy, &book, wanted, &values);
        let mut prepared = Self {
            active: Some(active),
            trigger,
            server,
            parameters: Ok(parameters),
            target: Ok(target),
            plan: Err(Missing::NoTarget),
            rendered: None,
            secrets: secrets(&book, &values),
        };
        if is_rejected {
            // Every template that uses them would fail for the same reason: say it once.
            prepared.plan = Ok(plan::Facts::TemplateError(plan::Trouble {
                step: None,
                name: None,
                problem: "nothing was rendered, because a parameter was rejected".to_owned(),
            }));
        } else if let Some(server) = prepared.server.clone() {
            prepared.render(wanted, &server, &values);
        }
        prepared
    }

    /// A run whose plan was frozen when it was made; asked about again. `is_intact`: the plan still has its hash.
    pub(super) fn frozen(policy: &Policy, wanted: &Wanted<'_>, plan: &Plan, hash: &str, is_intact: bool) -> Self {
        let active = policy.runbooks.get(wanted.runbook).cloned();
        let trigger = active
            .as_ref()
            .and_then(|active| active.runbook.triggers.iter().find(|known| Some(known.name()) == wanted.trigger));
        let trigger = trigger.map(|trigger| trigger.spec.clone());
        let server = policy.servers.get(&plan.server).cloned();
        let (server, target) = match (&active, server) {
            (Some(active), Some(server)) => allow(&active.runbook, server),
            (None, Some(server)) => {
                let target = target::Facts::One { server: server.name.clone() };
                (Some(server), target)
            }
            (_, None) => (None, unknown(&plan.server)),
        };
        let accepted = plan.parameters.keys().cloned().collect();
        let planned = if is_intact {
            Ok(plan::Facts::Rendered { hash: hash.to_owned(), steps: plan.steps.len() })
        } else {
            Err(Missing::Unknown(format!("the stored plan does not have the hash {hash} any more: it was altered")))
        };
        Self {
            active,
            trigger,
            server,
            parameters: Ok(parameters::Facts { accepted, rejected: Vec::new() }),
            target: Ok(target),
            plan: planned,
            rendered: None,
            secrets: BTreeMap::new(),
        }
    }

    fn gone(trigger: Option<TriggerSpec>) -> Self {
        let gone = || Missing::Unknown("the runbook is in no file any more".to_owned());
        Self {
            active: None,
            trigger,
            server: None,
            parameters: Err(gone()),
            target: Err(gone()),
            plan: Err(gone()),
            rendered: None,
            secrets: BTreeMap::new(),
        }
    }

    fn render(&mut self, wanted: &Wanted<'_>, server: &Server, values: &BTreeMap<String, Value>) {
        let Some(active) = &self.active else { return };
        let input = PlanInput {
            runbook_version: active.version,
            alert: wanted.incident.map(|incident| &incident.alert),
            group: wanted.incident.map(|incident| &incident.group),
            server,
            parameters: values,
            trigger: wanted.trigger,
        };
        let planned = render(&active.runbook, &input);
        self.plan = match planned {
            Ok(plan) => match plan_hash(&plan) {
                Ok(hash) => {
                    let facts = plan::Facts::Rendered { hash: hash.clone(), steps: plan.steps.len() };
                    self.rendered = Some((plan, hash));
                    Ok(facts)
                }
                Err(error) => Err(Missing::Unknown(format!("the plan cannot be hashed: {error}"))),
            },
            Err(PlanError { reason, step, name, message }) => {
                let step = step.map(|id| step_name(active, &id));
                let trouble = plan::Trouble { step, name: Some(name), problem: message };
                Ok(match reason {
                    PlanReason::UnsafeValue => plan::Facts::UnsafeValue(trouble),
                    PlanReason::TemplateError | PlanReason::ParamRejected => plan::Facts::TemplateError(trouble),
                })
            }
        };
    }

    /// A trigger's word, else the runbook's, else none.
    pub(super) fn cooldown(&self) -> Duration {
        let trigger = self.trigger.as_ref().and_then(|trigger| trigger.cooldown);
        let runbook = self.active.as_ref().and_then(|active| active.runbook.guard.cooldown);
        trigger.or(runbook).unwrap_or_default()
    }

    /// The run makes sense only while its alert fires.
    pub(super) fn must_fire(&self) -> bool {
        let wants_firing = self.trigger.as_ref().is_none_or(|trigger| trigger.status == AlertStatus::Firing);
        let guard = self.active.as_ref().and_then(|active| active.runbook.guard.require_still_firing);
        wants_firing && guard.unwrap_or(true)
    }

    /// How long the run may wait for locks, rates and capacity; zero: for ever.
    pub(super) fn max_queue_age(&self, policy: &Policy) -> Duration {
        let guard = self.active.as_ref().and_then(|active| active.runbook.guard.max_queue_age);
        guard.or(policy.config.limits.max_queue_age).unwrap_or_default()
    }
}

/// The runbook and trigger of these names; no runbook when it lost the trigger.
fn in_force(policy: &Policy, name: &str, trigger: Option<&str>) -> (Option<ActiveRunbook>, Option<TriggerSpec>) {
    let Some(active) = policy.runbooks.get(name) else { return (None, None) };
    let Some(wanted) = trigger else { return (Some(active.clone()), None) };
    match active.runbook.triggers.iter().find(|known| known.name() == wanted) {
        Some(found) => (Some(active.clone()), Some(found.spec.clone())),
        None => (None, None),
    }
}

fn find_server(
    policy: &Policy,
    book: &runbook::model::Runbook,
    wanted: &Wanted<'_>,
    values: &BTreeMap<String, Value>,
) -> (Option<Arc<Server>>, target::Facts) {
    if let Some(name) = wanted.server {
        return match policy.servers.get(name) {
            Some(server) => allow(book, Arc::clone(server)),
            None => match policy.servers.resolve(name) {
                // A person names a server, not an address.
                Ok(_) => (None, unknown(name)),
                Err(unresolved) => (None, target::Facts::Unresolved(unresolved)),
            },
        };
    }
    let alert = wanted.incident.map(|incident| &incident.alert);
    match sought(book, alert, values) {
        Err(error) => (None, target::Facts::Unreadable { problem: error.message }),
        Ok(value) => match policy.servers.resolve(&value) {
            Ok(server) => allow(book, server),
            Err(unresolved) => (None, target::Facts::Unresolved(unresolved)),
        },
    }
}

fn allow(book: &runbook::model::Runbook, server: Arc<Server>) -> (Option<Arc<Server>>, target::Facts) {
    match allowed::check(&server, book.target_os, &book.allowed_servers, &book.target) {
        Ok(()) => {
            let facts = target::Facts::One { server: server.name.clone() };
            (Some(server), facts)
        }
        Err(not_allowed) => (Some(server), target::Facts::NotAllowed(not_allowed)),
    }
}

fn unknown(name: &str) -> target::Facts {
    let unknown = crate::inventory::Unresolved::Unknown { value: name.to_owned(), similar: Vec::new() };
    target::Facts::Unresolved(unknown)
}

fn step_name(active: &ActiveRunbook, id: &str) -> String {
    let step = active.runbook.steps.iter().find(|step| step.id == id);
    step.map_or_else(|| id.to_owned(), |step| step.name.clone())
}

fn secrets(book: &runbook::model::Runbook, values: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let secret = book.parameters.iter().filter(|one| one.kind == runbook::model::ParameterKind::Secret);
    secret.filter_map(|one| Some((one.name.clone(), runbook::parameters::text_of(values.get(&one.name)?)))).collect()
}
