//! Runs a claimed execution to its end: asks [`mod@crate::execution::next`], performs the answer, records it, and asks again.
//!
//! Intent is durable before an effect, the outcome after it. Nothing here knows the way of an execution; after a
//! restart the same loop goes on from the replayed state. Called by `engine/dispatch` and `engine/recover`.

mod attempt;
mod earlier;
pub mod output;
mod places;
pub(in crate::engine) mod reach;
mod reattach;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::engine::record::{self, Evidence, Loaded};
use crate::engine::replica::Tenure;
use crate::engine::{Engine, Policy};
use crate::execution::{Effect, Event, Origin, Outcome, Place, RollbackState, Status, Verification, next};
use crate::failpoint;
use crate::id::ExecutionId;
use crate::limits;
use crate::runbook::ready::{self, StepInputs};
use crate::store::breakers;
use crate::store::leases::{self, Hold};
use crate::store::pauses::{self, PauseRow};
use crate::store::{CircuitState, Db, PauseScope, StoreError};

use crate::secrets::mask::{MASKED, Mask};
use crate::secrets::redact;

/// Goes on with `id`, which this engine holds, until it is over, waits for a person, or the engine stops.
///
/// `cancel` is cancelled when a person asks it to stop.
pub async fn run(engine: &Engine, id: ExecutionId, cancel: CancellationToken) -> Result<(), StoreError> {
    // Before the lease is looked at: what is held under a later tenure was taken anew.
    let tenure = engine.replica.tenure();
    let (loaded, lease, results) = engine
        .store
        .read(move |db| Ok((record::load(db, id)?, leases::get(db, id)?, earlier::results(db, id)?)))
        .await?;
    let hold = Hold { replica: engine.replica.id, fence: lease.fence };
    if !lease.is_held(hold) {
        return Err(StoreError::Fenced(id));
    }
    drive(engine, loaded, results, (hold, tenure), cancel).await
}

/// The same for one that was claimed just now: nothing has been done of it yet.
pub async fn run_claimed(
    engine: &Engine,
    loaded: Loaded,
    held: (Hold, Arc<Tenure>),
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    drive(engine, loaded, BTreeMap::new(), held, cancel).await
}

async fn drive(
    engine: &Engine,
    loaded: Loaded,
    results: BTreeMap<String, ready::StepResult>,
    (hold, tenure): (Hold, Arc<Tenure>),
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    engine.metrics.execution_started();
    let id = loaded.row.id;
    let mut run = Run::new(engine, loaded, results, cancel, (hold, Arc::clone(&tenure)));
    let driven = tokio::select! {
        biased;
        // Whatever is under way is another's from now on: it is let go, and not ended.
        () = tenure.lost() => Err(StoreError::Fenced(id)),
        driven = run.drive() => driven,
    };
    let driven = match driven {
        Err(error) if !error.is_retryable() && !error.is_fenced() => run.give_up(&error).await,
        other => other,
    };
    report(engine, &run.loaded).await;
    driven
}

/// What follows when the host of an approved execution is not reached: another try later, or the end.
pub(super) fn reach_later(policy: &Policy, loaded: &Loaded, message: &str, now: Timestamp) -> Vec<(Event, Evidence)> {
    reach::later(loaded, &reach::policy(policy, loaded), message, now)
}

/// What the metrics tell of a run that this process has let go.
async fn report(engine: &Engine, loaded: &Loaded) {
    let Loaded { row, state, plan, .. } = loaded;
    if !state.status.is_final() {
        engine.metrics.execution_left();
        return;
    }
    failpoint::pass(failpoint::RESULT_COMMITTED);
    tracing::info!(
        execution = %row.id,
        runbook = row.runbook,
        server = row.server,
        status = row.status.as_str(),
        rollback = row.rollback.as_str(),
        error = row.error_message,
        "execution ended"
    );
    let took = Duration::from_millis(row.duration_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0));
    engine.metrics.execution_ended(&row.runbook, row.status, row.mode.as_str(), took);
    if state.rollback != RollbackState::None {
        engine.metrics.rolled_back(&row.runbook, state.rollback);
    }
    let began = plan.context["alert"]["starts_at"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    if let (Status::Completed, Origin::Alert, Some(began), Some(ended)) =
        (row.status, row.origin, began, row.completed_at)
    {
        engine.metrics.remediated(ended.since(began));
    }
    let has_helped = matches!(row.verification, Verification::None | Verification::Effective);
    if row.status == Status::Completed && has_helped && !engine.metrics.is_breaker_open(&row.runbook) {
        // No success opens one.
        return;
    }
    let runbook = row.runbook.clone();
    match engine.store.read(move |db| breakers::get(db, &runbook)).await {
        Ok(Some(breaker)) => engine.metrics.breaker(&row.runbook, breaker.state == CircuitState::Open),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "a breaker's metric is not up to date"),
    }
}

/// An execution while this engine runs it.
struct Run<'a> {
    engine: &'a Engine,
    loaded: Loaded,
    /// What later steps may use.
    inputs: StepInputs,
    mask: Mask,
    /// The log knows the run's secrets as long as it runs.
    _known: redact::Held,
    cancel: CancellationToken,
    time: Time,
    /// What each write has to show.
    hold: Hold,
    /// Asked right before a host is given something to do.
    tenure: Arc<Tenure>,
}

impl<'a> Run<'a> {
    fn new(
        engine: &'a Engine,
        loaded: Loaded,
        steps: BTreeMap<String, ready::StepResult>,
        cancel: CancellationToken,
        (hold, tenure): (Hold, Arc<Tenure>),
    ) -> Self {
        let time = Time::new(&engine.clock);
        let secrets = engine.secrets.of(loaded.row.id);
        let mask = Mask::new(secrets.values().map(String::as_str));
        let known = redact::hold(secrets.values().map(String::as_str));
        let inputs = StepInputs { execution_id: loaded.row.id.to_string(), now: time.now(), steps, secrets };
        Self { engine, loaded, inputs, mask, _known: known, cancel, time, hold, tenure }
    }

    async fn drive(&mut self) -> Result<(), StoreError> {
        while !self.engine.stopping.is_cancelled() {
            match next(&self.loaded.state, &self.loaded.plan, self.time.now()) {
                Effect::Record(event) => self.follow(event).await?,
                Effect::EvaluateCondition(place) => self.evaluate(place).await?,
                Effect::RunAttempt { place, number, timeout } => self.attempt(place, number, timeout).await?,
                Effect::AwaitAttempt { place, attempt } => {
                    // This loop waits for its own attempts; one that it finds was left by an engine that died.
                    self.reattach(place, attempt).await?;
                }
                Effect::WaitUntil(at) => self.wait_until(at).await?,
                Effect::WaitForRelease => self.wait_for_release().await?,
                Effect::ReachAgain(message) => return self.reach_again(message).await,
                Effect::WaitForPerson | Effect::WaitForTurn | Effect::Nothing => return Ok(()),
            }
        }
        Ok(())
    }

    /// Records what follows from the state; the last event takes the runbook's outputs with it.
    async fn follow(&mut self, event: Event) -> Result<(), StoreError> {
        let evidence = match &event {
            Event::Finished { status, .. } => self.results(*status),
            _ => Evidence::None,
        };
        self.write_if_unchanged(event, evidence).await
    }

    /// The runbook's outputs; a failed run has those that can be rendered, or says why there are none.
    fn results(&mut self, status: Status) -> Evidence {
        if self.loaded.plan.outputs.is_empty() || self.loaded.state.undoes.is_some() {
            return Evidence::None;
        }
        self.inputs.now = self.time.now();
        match ready::results(&self.loaded.plan, &self.inputs) {
            Ok(values) => {
                let hidden = ready::sensitive_results(&self.loaded.plan);
                let shown = |(name, value): (String, String)| {
                    let value = if hidden.contains(&name) { MASKED.to_owned() } else { self.mask.apply(&value) };
                    (name, value)
                };
                let values: BTreeMap<String, String> = values.into_iter().map(shown).collect();
                let lines: Vec<String> = values.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                Evidence::Results { outputs: serde_json::json!(values), summary: lines.join("\n") }
            }
            Err(error) if status == Status::Completed => {
                Evidence::Results { outputs: serde_json::json!({}), summary: self.mask.apply(&error.message) }
            }
            Err(_) => Evidence::None,
        }
    }

    /// Until `at`, a cancel, or the engine's stop.
    async fn wait_until(&mut self, at: Timestamp) -> Result<(), StoreError> {
        while self.time.now() < at && !self.engine.stopping.is_cancelled() {
            let tick = at.since(self.time.now()).min(limits::POLL_INTERVAL);
            if self.tick(tick).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Until the kill switch is released, a cancel, or the engine's stop.
    async fn wait_for_release(&mut self) -> Result<(), StoreError> {
        while self.loaded.state.halted_since.is_some() && !self.engine.stopping.is_cancelled() {
            if self.tick(limits::POLL_INTERVAL).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets `time` pass and looks around; `true` if the execution is to be thought over at once.
    async fn tick(&mut self, time: Duration) -> Result<bool, StoreError> {
        let is_asked_to_stop = self.loaded.state.cancelled_by.is_some();
        tokio::select! {
            () = self.engine.clock.sleep(time) => {}
            () = self.engine.wake.runs.notified() => {}
            () = self.engine.stopping.cancelled() => {}
            () = self.cancel.cancelled(), if !is_asked_to_stop => {}
        }
        let seq = self.loaded.seq;
        self.look().await?;
        Ok(self.loaded.seq != seq)
    }

    /// Nothing was run on the host: back to `approved`, or given up after too many tries.
    async fn reach_again(&mut self, message: String) -> Result<(), StoreError> {
        let bounds = reach::policy(&self.engine.policy(), &self.loaded);
        let now = self.time.now();
        let events = reach::later(&self.loaded, &bounds, &message, now);
        self.write(move |_, fresh, _| Ok(if fresh.state.unreached.is_some() { events.clone() } else { Vec::new() }))
            .await
    }

    /// A defect: nothing more is done, and a person has to look. The reason is kept if the database takes it.
    async fn give_up(&mut self, error: &StoreError) -> Result<(), StoreError> {
        tracing::error!(execution = %self.loaded.row.id, %error, "an execution cannot go on");
        let reason = format!("Douse could not go on with it: {error}");
        self.write(move |_, fresh, _| {
            let state = &fresh.state;
            let event = match (state.in_flight, state.phase) {
                _ if state.status != Status::Running => return Ok(Vec::new()),
                (Some(flight), _) => Event::AttemptFinished {
                    place: flight.place,
                    attempt: flight.attempt,
                    outcome: Outcome::Lost(reason.clone()),
                    after: crate::execution::After::Interrupted,
                },
                (None, crate::execution::Phase::Rollback) => Event::RollbackFinished { is_stuck: true },
                (None, _) => Event::Interrupted { reason: reason.clone() },
            };
            Ok(vec![(event, Evidence::None)])
        })
        .await
    }
}

/// The moment, by the wall clock when the run was taken up and the monotonic clock from there: a wall clock that is
/// set must not end a step. A manual clock is believed.
struct Time {
    clock: Clock,
    anchor: Timestamp,
    began: Instant,
}

impl Time {
    fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), anchor: clock.now(), began: clock.instant() }
    }

    fn now(&self) -> Timestamp {
        match &self.clock {
            Clock::Manual(_) => self.clock.now(),
            Clock::System => self.anchor.plus(self.clock.instant().saturating_duration_since(self.began)),
        }
    }
}

/// What a write makes of the execution as it is now: the events to record, none for nothing.
type Told = Vec<(Event, Evidence)>;

/// Where an event belongs, for the log.
fn place_name(loaded: &Loaded, place: Place) -> String {
    let index = match place {
        Place::Step(index) => Some(index),
        Place::Undo(position) => loaded.state.undos.get(position).map(|undo| undo.step),
    };
    index.and_then(|index| loaded.plan.steps.get(index)).map_or_else(String::new, |step| step.id.clone())
}

/// Whether a pause stops `loaded` at `now`, and in whose words.
fn pause(db: &mut Db, loaded: &Loaded, now: Timestamp) -> Result<Option<String>, StoreError> {
    let row = &loaded.row;
    let stops = |pause: &PauseRow| match pause.scope {
        PauseScope::Global => true,
        PauseScope::Runbook => pause.name == row.runbook,
        PauseScope::Group => row.server_group.as_ref() == Some(&pause.name),
        PauseScope::Server => pause.name == row.server,
    };
    let found = pauses::active(db, now)?.into_iter().find(stops);
    Ok(found.map(|pause| format!("paused by {}: {}", pause.created_by, pause.reason)))
}
