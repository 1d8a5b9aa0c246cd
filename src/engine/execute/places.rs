//! Steps and undos: making one ready, running its attempt, reading what it printed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::audit::canonical::payload_hash;
use crate::engine::record::Evidence;
use crate::execution::retry::judge;
use crate::execution::{Event, Outcome, Place};
use crate::failpoint;
use crate::id::AttemptId;
use crate::runbook::plan::{PlanError, PlannedStep, PlannedUndo};
use crate::runbook::ready::{self, Ready, ReadyAction, StepResult};
use crate::secrets::mask::Mask;
use crate::store::StoreError;
use crate::transport::{Ending, Finished, Hold, RefusalKind};

use super::output::Printed;
use super::{Run, attempt, place_name};

/// What stands at a place of the plan.
#[derive(Clone)]
pub(super) enum Planned {
    Step(PlannedStep),
    Undo(PlannedStep, PlannedUndo),
}

impl Planned {
    pub(super) fn step(&self) -> &PlannedStep {
        match self {
            Self::Step(step) | Self::Undo(step, _) => step,
        }
    }

    fn when(&self) -> Option<&str> {
        match self {
            Self::Step(step) => step.when.as_deref(),
            Self::Undo(_, undo) => undo.when.as_deref(),
        }
    }

    /// Whether it is to be found again when the connection or the engine ends first. What may be run again need not be.
    fn is_held(&self) -> bool {
        match self {
            Self::Step(step) => !step.idempotent || step.expect_disconnect,
            Self::Undo(..) => true,
        }
    }

    /// Whether it ends well only on a new boot of its host.
    pub(super) fn awaits_reboot(&self) -> bool {
        match self {
            Self::Step(step) => step.expect_disconnect,
            Self::Undo(..) => false,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Step(step) => step.timeout_secs,
            Self::Undo(_, undo) => undo.timeout_secs,
        })
    }

    pub(super) fn become_user(&self) -> Option<String> {
        match self {
            Self::Step(step) => step.become_user.clone(),
            Self::Undo(_, undo) => undo.become_user.clone(),
        }
    }
}

impl Run<'_> {
    /// Asks whether the condition of `place` holds, and records the answer.
    pub(super) async fn evaluate(&mut self, place: Place) -> Result<(), StoreError> {
        let planned = self.planned(place)?;
        self.inputs.now = self.time.now();
        let asked = ready::condition(&self.loaded.plan, &planned.step().id, planned.when(), &self.inputs);
        let event = match asked {
            Ok(true) => Event::ConditionMet { place },
            Ok(false) => Event::StepSkipped { place },
            Err(error) => self.refused(place, &error),
        };
        self.write_if_unchanged(event, Evidence::None).await?;
        self.remember(place, None, BTreeMap::new());
        Ok(())
    }

    /// Runs one attempt: intent, effect, outcome.
    pub(super) async fn attempt(&mut self, place: Place, number: u32, timeout: Duration) -> Result<(), StoreError> {
        let planned = self.planned(place)?;
        let made = self.make_ready(&planned);
        let plan = &self.loaded.plan;
        let policy = self.engine.policy();
        let refusal = match (made, policy.servers.get(&plan.server)) {
            (Ok(ready), Some(server)) => Ok((ready, server.clone())),
            (Err(error), _) => Err(self.refused(place, &error)),
            (Ok(_), None) => Err(Event::StepRefused {
                place,
                code: "unknown_target".to_owned(),
                message: format!("server `{}` is not in the inventory any more", plan.server),
            }),
        };
        let (ready, server) = match refusal {
            Ok(found) => found,
            Err(event) => {
                self.write_if_unchanged(event, Evidence::None).await?;
                self.remember(place, None, BTreeMap::new());
                return Ok(());
            }
        };
        let attempt = AttemptId::new();
        let hash = self.inputs_hash(&ready, planned.become_user().as_deref())?;
        let is_held = planned.is_held();
        let intent = Event::AttemptStarted { place, attempt, number, is_held };
        self.write_intent(intent, Evidence::Inputs { hash }).await?;
        if self.loaded.state.in_flight.map(|flight| flight.attempt) != Some(attempt) {
            return Ok(());
        }
        tracing::info!(execution = %self.loaded.row.id, step = place_name(&self.loaded, place), number, "attempt started");
        let sent = attempt::Sent {
            attempt,
            server,
            ready,
            become_user: planned.become_user(),
            timeout,
            output_bytes_max: planned.step().output_bytes_max,
            hold: if is_held { Hold::Claim } else { Hold::None },
            awaits_reboot: planned.awaits_reboot(),
        };
        failpoint::pass(match place {
            Place::Step(_) => failpoint::ATTEMPT_INTENDED,
            Place::Undo(_) => failpoint::UNDO_INTENDED,
        });
        self.carry_out(place, &planned, sent, timeout).await
    }

    /// Fills what was left open at planning.
    pub(super) fn make_ready(&mut self, planned: &Planned) -> Result<Ready, PlanError> {
        self.inputs.now = self.time.now();
        match planned {
            Planned::Step(step) => ready::step(&self.loaded.plan, step, &self.inputs),
            Planned::Undo(step, undo) => ready::undo(&self.loaded.plan, step, undo, &self.inputs),
        }
    }

    /// Performs an attempt whose intent is stored, and records its outcome; `timeout` is what it was given in all.
    pub(super) async fn carry_out(
        &mut self,
        place: Place,
        planned: &Planned,
        sent: attempt::Sent,
        timeout: Duration,
    ) -> Result<(), StoreError> {
        let attempt = sent.attempt;
        // A person's cancel ends steps; what undoes them is left to end.
        let cancel = match place {
            Place::Step(_) => self.cancel.clone(),
            Place::Undo(_) => CancellationToken::new(),
        };
        let [performed, recorded] = match place {
            Place::Step(_) => [failpoint::ATTEMPT_PERFORMED, failpoint::ATTEMPT_RECORDED],
            Place::Undo(_) => [failpoint::UNDO_PERFORMED, failpoint::UNDO_RECORDED],
        };
        let mut finished = self.perform(sent.clone(), &cancel).await;
        if let Some(message) = nowhere(&finished, sent.hold) {
            // Written down before anything is run: whoever finds it after a crash must not look for it in vain.
            self.unheld(place, attempt, message).await?;
            finished = self.perform(attempt::Sent { hold: Hold::None, ..sent.clone() }, &cancel).await;
        }
        failpoint::pass(performed);
        let is_sensitive = planned.step().sensitive;
        if let (Ending::TimedOut(_), false) = (&finished.ending, is_sensitive) {
            let why = attempt::outcome(finished.ending.clone());
            let line = format!("Douse: after {} s it {why}", timeout.as_secs());
            finished.stderr.note(&line, planned.step().output_bytes_max);
        }
        let raw = [&finished.stdout, &finished.stderr].map(Printed::unmasked);
        let [text, errors] = raw.each_ref().map(Printed::text);
        let (outcome, values) = read(planned, place, attempt::outcome(finished.ending), &text);
        // It was started with secrets that this engine does not know: what it printed cannot be searched for them.
        let is_found = matches!(sent.hold, Hold::Attach { .. });
        let is_unsearchable = is_found && ready::lacks_secrets(&self.loaded.plan, &self.inputs.secrets);
        if is_sensitive || is_unsearchable {
            // Whatever shows it from now on: a later step, a refused value, the runbook's outputs.
            self.mask.hide(raw.iter().flat_map(|printed| [printed.head.as_str(), printed.tail.as_str()]));
            self.mask.hide(values.values().flat_map(leaves).collect::<Vec<_>>().iter().map(String::as_str));
        }
        let blind = is_unsearchable.then(Mask::blind);
        let mask = blind.as_ref().unwrap_or(&self.mask);
        let (stdout, stderr) = (Printed::of(&finished.stdout, mask), Printed::of(&finished.stderr, mask));
        // What a sensitive step printed may be in the outcome's message.
        let told = if is_sensitive { String::new() } else { mask.apply(&outcome.to_string()) };
        tracing::info!(
            execution = %self.loaded.row.id, step = place_name(&self.loaded, place), %attempt, outcome = told, "attempt ended"
        );
        let outcome = outcome.told_by(|message| mask.apply(message));
        let evidence = if is_sensitive {
            Evidence::Output { stdout: stdout.hidden(), stderr: stderr.hidden() }
        } else {
            Evidence::Output { stdout, stderr }
        };
        self.ended(place, attempt, outcome, evidence).await?;
        failpoint::pass(recorded);
        if sent.hold != Hold::None {
            self.engine.transport.forget(&sent.server, attempt);
        }
        self.remember(place, Some((text, errors)), values);
        Ok(())
    }

    /// Records that nothing holds an attempt on its host.
    async fn unheld(&mut self, place: Place, attempt: AttemptId, reason: String) -> Result<(), StoreError> {
        let reason = self.mask.apply(&reason);
        tracing::warn!(execution = %self.loaded.row.id, %attempt, reason, "nothing holds this attempt on its host");
        self.engine.metrics.attempt_unheld();
        self.write(move |_, fresh, _| {
            let is_ours = fresh.state.in_flight.map(|flight| flight.attempt) == Some(attempt);
            let event = Event::AttemptUnheld { place, attempt, reason: reason.clone() };
            Ok(if is_ours { vec![(event, Evidence::None)] } else { Vec::new() })
        })
        .await
    }

    /// Records how an attempt ended, with what follows from it as the execution is then.
    pub(super) async fn ended(
        &mut self,
        place: Place,
        attempt: AttemptId,
        outcome: Outcome,
        evidence: Evidence,
    ) -> Result<(), StoreError> {
        let is_end = match place {
            Place::Step(index) => index + 1 == self.loaded.plan.steps.len(),
            Place::Undo(position) => position + 1 == self.loaded.state.undos.len(),
        };
        self.write_as(is_end, move |_, fresh, now| {
            if fresh.state.in_flight.map(|flight| flight.attempt) != Some(attempt) {
                return Ok(Vec::new());
            }
            let after = judge(&fresh.state, &fresh.plan, place, &outcome, now);
            let event = Event::AttemptFinished { place, attempt, outcome: outcome.clone(), after };
            Ok(vec![(event, evidence.clone())])
        })
        .await
    }

    /// Keeps what later steps may ask of this one: its status always, its output if it is captured.
    fn remember(
        &mut self,
        place: Place,
        printed: Option<(String, String)>,
        outputs: BTreeMap<String, serde_json::Value>,
    ) {
        let Place::Step(index) = place else { return };
        let (Some(planned), Some(step)) = (self.loaded.plan.steps.get(index), self.loaded.state.steps.get(index))
        else {
            return;
        };
        if !step.is_over() {
            return;
        }
        let (stdout, stderr) = printed.filter(|_| planned.capture_output).unwrap_or_default();
        let exit_code = step.outcome.as_ref().and_then(Outcome::exit_code);
        let (stdout, stderr) = (Some(stdout), Some(stderr));
        let result = StepResult { status: step.status, exit_code, stdout, stderr, outputs, unknown: None };
        self.inputs.steps.insert(planned.id.clone(), result);
    }

    pub(super) fn planned(&self, place: Place) -> Result<Planned, StoreError> {
        let steps = &self.loaded.plan.steps;
        let found = match place {
            Place::Step(index) => steps.get(index).cloned().map(Planned::Step),
            Place::Undo(position) => {
                let step = self.loaded.state.undos.get(position).and_then(|undo| steps.get(undo.step)).cloned();
                step.and_then(|step| step.undo.clone().map(|undo| Planned::Undo(step, undo)))
            }
        };
        found
            .ok_or_else(|| StoreError::Defect(format!("the plan of execution {} has no {place:?}", self.loaded.row.id)))
    }

    fn refused(&self, place: Place, error: &PlanError) -> Event {
        Event::StepRefused { place, code: error.reason.as_str().to_owned(), message: self.mask.apply(&error.message) }
    }

    /// What was sent, as a hash over canonical JSON with secrets masked: equal inputs have equal hashes.
    fn inputs_hash(&self, ready: &Ready, become_user: Option<&str>) -> Result<String, StoreError> {
        let action = match &ready.action {
            ReadyAction::Command(text) => json!({"command": self.mask.apply(text)}),
            ReadyAction::Argv(words) => {
                json!({"argv": words.iter().map(|word| self.mask.apply(word)).collect::<Vec<_>>()})
            }
            ReadyAction::Script { text, interpreter } => {
                json!({"script": self.mask.apply(text), "interpreter": interpreter})
            }
        };
        let environment: BTreeMap<&str, String> =
            ready.environment.iter().map(|(name, value)| (name.as_str(), self.mask.apply(value))).collect();
        let inputs = json!({
            "server": self.loaded.plan.server, "action": action, "environment": environment,
            "workdir": ready.workdir, "become": become_user,
        });
        payload_hash(&inputs).map_err(|error| StoreError::Defect(error.to_string()))
    }
}

/// Why the host could not hold an attempt that it was to hold.
fn nowhere(finished: &Finished, hold: Hold) -> Option<String> {
    match &finished.ending {
        Ending::NotStarted(refusal) if refusal.kind == RefusalKind::Nowhere && hold != Hold::None => {
            Some(refusal.message.clone())
        }
        _ => None,
    }
}

/// The declared outputs of a step that ended as expected; it fails if one is missing.
fn read(
    planned: &Planned,
    place: Place,
    outcome: Outcome,
    stdout: &str,
) -> (Outcome, BTreeMap<String, serde_json::Value>) {
    let (Place::Step(_), Outcome::Exited(code)) = (place, &outcome) else { return (outcome, BTreeMap::new()) };
    let step = planned.step();
    if !step.expected_exit_codes.contains(code) {
        return (outcome, BTreeMap::new());
    }
    match ready::outputs(&step.outputs, stdout) {
        Ok(values) => (outcome, values),
        Err(error) => (Outcome::BadOutput { code: *code, message: error.to_string() }, BTreeMap::new()),
    }
}

/// The texts in a value, each alone.
fn leaves(value: &serde_json::Value) -> Vec<String> {
    use serde_json::Value;
    match value {
        Value::Array(items) => items.iter().flat_map(leaves).collect(),
        Value::Object(entries) => entries.values().flat_map(leaves).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}
