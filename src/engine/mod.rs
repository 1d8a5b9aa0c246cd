//! The verbs: one file per stage of an alert's way, in the order in which it passes them.
//!
//! Each stage reads facts, asks a pure function, and writes the answer in one transaction. Stages meet only in the
//! database: `receive` stores, `matching` and `gating` decide, `dispatch` claims, `execute` runs. [`schedule`] drives
//! them: a [`Wake`] makes a stage look at once, polling makes sure that it looks at all.

pub mod receive;

pub mod fetch;

pub mod matching;

pub mod gating;

pub mod dispatch;

pub mod execute;

pub mod acts;
pub mod forget;
pub mod identity;
pub mod keys;
pub mod ledger;
pub mod people;
pub mod policy;
pub mod record;
pub mod recover;
pub mod replica;
pub mod retention;
pub mod schedule;
pub mod statistics;

mod count;
mod secrets;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::audit::{EventKind, NewEvent};
use crate::clock::Clock;
use crate::config::Config;
use crate::id::ExecutionId;
use crate::problem::Problem;
use crate::store::changes::{self, Changed};
use crate::store::{Store, StoreError, Word, audit};
use crate::telemetry::Metrics;
use crate::transport::Transport;

pub use policy::{Draft, Policy, PolicyError, PolicySource};
pub use replica::Replica;
pub use secrets::Secrets;

/// Everything that the stages share. Made once by `app`, shared as `Arc<Engine>`.
pub struct Engine {
    pub store: Store,
    pub clock: Clock,
    pub transport: Arc<dyn Transport>,
    pub metrics: Arc<Metrics>,
    pub wake: Wake,
    /// The way of deliveries into the database.
    pub ingest: receive::Ingest,
    /// Alerts to be asked for at their Alertmanager.
    pub fetch: fetch::Queue,
    pub in_flight: InFlight,
    pub secrets: Secrets,
    /// Hashes passwords, a few at a time.
    pub passwords: identity::Passwords,
    /// What this replica knows of the audit chain.
    pub sealer: ledger::Sealer,
    /// Who was not let in, until it is in the audit log.
    pub refusals: ledger::Refusals,
    /// This process among those on the database.
    pub replica: Arc<Replica>,
    /// Set once, when the process is asked to stop: no new claims from then on.
    pub stopping: CancellationToken,
    policy: RwLock<Arc<Policy>>,
    source: PolicySource,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

impl Engine {
    /// An engine that takes deliveries and starts nothing by itself; [`schedule::start`] does. Call it inside a runtime.
    pub fn new(
        store: Store,
        clock: Clock,
        transport: Arc<dyn Transport>,
        metrics: Arc<Metrics>,
        policy: Policy,
        source: PolicySource,
    ) -> Arc<Self> {
        Arc::new(Self {
            ingest: receive::Ingest::start(store.clone()),
            store,
            clock,
            transport,
            metrics,
            wake: Wake::default(),
            fetch: fetch::Queue::default(),
            in_flight: InFlight::default(),
            secrets: Secrets::default(),
            passwords: identity::Passwords::default(),
            sealer: ledger::Sealer::default(),
            refusals: ledger::Refusals::default(),
            replica: Arc::clone(&policy.replica),
            stopping: CancellationToken::new(),
            policy: RwLock::new(Arc::new(policy)),
            source,
            reloading: tokio::sync::Mutex::new(()),
        })
    }

    /// Hears the other replicas from now on, and is heard by them.
    pub fn listen(self: &Arc<Self>) {
        let me = Arc::downgrade(self);
        let heard = move || {
            if let Some(engine) = me.upgrade() {
                engine.wake.heard();
            }
        };
        if let Some(word) = self.store.listen(&self.replica.id.to_string(), heard) {
            // Called once; a second word would be the same.
            let _known = self.wake.word.set(word);
        }
    }

    /// What is in force now. A stage takes it once and uses it to its end, so that a reload never mixes two.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the operator's files again and puts them in force, all or nothing; a failure leaves the old policy as it is.
    /// Either outcome is logged, counted and audited.
    pub async fn reload(&self, actor: &str) -> Result<Arc<Policy>, ReloadError> {
        let policy = self.reload_here(actor).await?;
        // Whoever reloads has looked at the time, too.
        self.replica.trust_clock();
        let number = self.store.write(|db| changes::note(db, Changed::Files)).await?;
        self.replica.has_read_files(number);
        self.wake.others();
        Ok(policy)
    }

    /// Reads the files again because another replica did.
    async fn follow_reload(&self) -> Result<Arc<Policy>, ReloadError> {
        self.reload_here("another replica").await
    }

    async fn reload_here(&self, actor: &str) -> Result<Arc<Policy>, ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let result = self.read_and_enforce(actor).await;
        self.metrics.reloaded(result.is_ok());
        match &result {
            Ok(policy) => tracing::info!(actor, version = policy.version, "reloaded"),
            Err(error) => {
                tracing::error!(actor, %error, "not reloaded; what was in force stays in force");
                let payload = json!({ "status": "FAILED", "errorMessage": error.to_string() });
                let (event, version) = (self.reloaded(actor, payload), self.policy().version.clone());
                let now = self.clock.now();
                self.store.write(move |db| audit::append(db, &event, &version, now)).await?;
            }
        }
        result
    }

    fn reloaded(&self, actor: &str, payload: serde_json::Value) -> NewEvent {
        let file = self.source.config_file.display().to_string();
        NewEvent::of(EventKind::ConfigReloaded, actor, "config", file, payload)
    }

    /// Makes the snapshot again after people changed what the database adds to the files: servers.
    pub async fn refresh(&self, actor: &str) -> Result<Arc<Policy>, ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let draft = self.policy().draft();
        Ok(self.put_in_force(Policy::enforce(&self.store, draft, actor, None, self.clock.now()).await?))
    }

    async fn read_and_enforce(&self, actor: &str) -> Result<Arc<Policy>, ReloadError> {
        let source = self.source.clone();
        let draft = tokio::task::spawn_blocking(move || Draft::read(&source))
            .await
            .map_err(|error| ReloadError::Aborted(error.to_string()))?
            .map_err(ReloadError::Files)?;
        for problem in &draft.warnings {
            tracing::warn!("{problem}");
        }
        let waiting = needs_restart(&self.policy().config, &draft.config);
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(", "), "changed in the configuration; in force only after a restart");
        }
        let told = self.reloaded(actor, json!({ "status": "SUCCEEDED", "needsRestart": waiting }));
        let now = self.clock.now();
        let enforced = async {
            ledger::seal::begin(&self.store, draft.config.audit.keys.clone(), now).await?;
            Ok(Policy::enforce(&self.store, Arc::new(draft), actor, Some(told), now).await?)
        };
        match enforced.await {
            Ok(policy) => Ok(self.put_in_force(policy)),
            Err(error) => {
                self.store.seal_with(self.policy().config.audit.keys.clone());
                Err(error)
            }
        }
    }

    fn put_in_force(&self, mut policy: Policy) -> Arc<Policy> {
        policy.replica = Arc::clone(&self.replica);
        let policy = Arc::new(policy);
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&policy);
        self.wake.all();
        policy
    }
}

/// Why what was in force stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The operator's files have errors; all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Files(Vec<Problem>),
    /// What they say cannot be put in force.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The audit chain cannot go on with the keys that they name.
    #[error(transparent)]
    Chain(#[from] ledger::seal::KeyError),
    /// The outcome could not be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The reading task ended early.
    #[error("reading the files ended early: {0}")]
    Aborted(String),
}

/// Wakes stages that may have work. A lost wake-up costs one poll interval, never the work.
#[derive(Default)]
pub struct Wake {
    /// An episode is undecided.
    pub matching: Notify,
    /// A held decision may have become free: a pause, breaker, lock or blackout was released.
    pub gating: Notify,
    /// An execution is approved, or a slot or lock became free.
    pub dispatch: Notify,
    /// Somebody may have stopped or paused a run that is under way.
    pub runs: Notify,
    /// Another replica may have changed something.
    pub replica: Notify,
    /// To the other replicas; empty where there are none.
    word: OnceLock<Word>,
}

impl Wake {
    /// Wakes every stage.
    pub fn all(&self) {
        self.matching.notify_one();
        self.gating.notify_one();
        self.dispatch.notify_one();
    }

    /// Wakes every stage and every run, here and at the other replicas: a person did something.
    pub fn everywhere(&self) {
        self.all();
        self.runs.notify_waiters();
        self.others();
    }

    /// Has the other replicas look at once.
    pub fn others(&self) {
        if let Some(word) = self.word.get() {
            word.give();
        }
    }

    /// Another replica gave its word.
    fn heard(&self) {
        self.all();
        self.runs.notify_waiters();
        self.replica.notify_one();
    }
}

/// The keys that a reload does not change: they were used when the engine started.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("storage.url", old.storage.url != new.storage.url),
        ("storage.lease", old.storage.lease != new.storage.lease),
        ("web.tls", old.web.tls.is_some() != new.web.tls.is_some()),
        ("web.listen_addresses", old.web.listen_addresses != new.web.listen_addresses),
        ("limits.sessions_per_server", old.limits.sessions_per_server != new.limits.sessions_per_server),
    ];
    changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
}

/// An execution in this process's hands. Whatever becomes of its task, also a panic, the slot is free afterwards.
pub(crate) struct Flight {
    pub(crate) engine: Arc<Engine>,
    id: ExecutionId,
    /// Cancelled by [`InFlight::cancel`].
    pub(crate) cancel: CancellationToken,
}

impl Engine {
    /// Takes an execution in hand, unless this process has it already.
    pub(crate) fn enter_flight(engine: &Arc<Self>, id: ExecutionId, runbook: &str, server: &str) -> Option<Flight> {
        let cancel = engine.in_flight.enter(id, runbook, server)?;
        Some(Flight { engine: Arc::clone(engine), id, cancel })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.engine.in_flight.leave(self.id);
        // A slot, and perhaps a target, became free.
        self.engine.wake.all();
    }
}

/// The executions that this process has in hand, so that a cancel reaches the running command.
#[derive(Default)]
pub struct InFlight(Mutex<HashMap<ExecutionId, InHand>>);

struct InHand {
    runbook: String,
    server: String,
    cancel: CancellationToken,
}

impl InFlight {
    /// Registers an execution, unless this process has it already; the token is cancelled by [`InFlight::cancel`].
    pub fn enter(&self, id: ExecutionId, runbook: &str, server: &str) -> Option<CancellationToken> {
        match self.lock().entry(id) {
            Entry::Occupied(_) => None,
            Entry::Vacant(vacant) => {
                let (runbook, server) = (runbook.to_owned(), server.to_owned());
                let in_hand = InHand { runbook, server, cancel: CancellationToken::new() };
                Some(vacant.insert(in_hand).cancel.clone())
            }
        }
    }

    /// Whether this process has it in hand.
    pub fn contains(&self, id: ExecutionId) -> bool {
        self.lock().contains_key(&id)
    }

    /// How many there are of each runbook that has any.
    pub fn by_runbook(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for flight in self.lock().values() {
            *counts.entry(flight.runbook.clone()).or_default() += 1;
        }
        counts
    }

    /// The servers that any of them is for.
    pub fn servers(&self) -> BTreeSet<String> {
        self.lock().values().map(|flight| flight.server.clone()).collect()
    }

    /// Forgets an execution that ended.
    pub fn leave(&self, id: ExecutionId) {
        self.lock().remove(&id);
    }

    /// Cancels the running command of `id`; `false` if this process does not run it.
    pub fn cancel(&self, id: ExecutionId) -> bool {
        match self.lock().get(&id) {
            Some(flight) => {
                flight.cancel.cancel();
                true
            }
            None => false,
        }
    }

    /// How many run now.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// None runs now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ExecutionId, InHand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
