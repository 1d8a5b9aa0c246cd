//! Wiring: the only place that sees everything. Starts the engine and its faces, owns every task, and joins them on stop.
//!
//! Called by `douse serve`, by the demo and by the tests, so that all three run the same engine.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::TaskTracker;

use crate::audit::{EventKind, NewEvent};
use crate::clock::Clock;
use crate::config::{Config, EngineMode, Secret};
use crate::engine::ledger::{refusals, seal};
use crate::engine::policy::{Draft, Policy, PolicyError, PolicySource};
use crate::engine::{Engine, identity, replica, schedule};
use crate::failpoint;
use crate::limits;
use crate::problem::Problem;
use crate::store::{Audited, Store, StoreError, audit};
use crate::telemetry::Metrics;
use crate::transport::Transport;
use crate::transport::ssh::{self, SshTransport};
use crate::web;

/// What to start.
pub struct Options {
    pub source: PolicySource,
    pub clock: Clock,
    /// `None` = SSH.
    pub transport: Option<Arc<dyn Transport>>,
}

impl Options {
    /// The engine of `config_file`, on the machine's clock, over SSH, without values from the environment.
    pub fn from_file(config_file: &Path) -> Self {
        let source =
            PolicySource { config_file: config_file.to_owned(), variables: Vec::new(), listen_addresses: Vec::new() };
        Self { source, clock: Clock::System, transport: None }
    }
}

/// Why the engine did not start, or did not stop in good order.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The operator's files have errors; all of them.
    #[error("{}", list(.0))]
    Files(Vec<Problem>),
    /// What they say cannot be put in force.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit chain cannot go on.
    #[error(transparent)]
    Chain(#[from] seal::KeyError),
    /// An address could not be listened on, or the like.
    #[error("{0}")]
    Web(#[from] std::io::Error),
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// An engine that runs. Call [`Running::stop`]; dropping it leaves its tasks to the runtime.
pub struct Running {
    pub engine: Arc<Engine>,
    web: web::Server,
    stages: JoinSet<()>,
    /// The executions under way.
    runs: TaskTracker,
    /// Keeps the others from taking them up; the last to end.
    lease: JoinHandle<()>,
    /// Makes the first admin; for whoever started this, and never for a log.
    setup_token: Option<Secret>,
}

/// Reads the files, opens the database, takes up what was left undone, and listens.
pub async fn start(options: Options) -> Result<Running, AppError> {
    let Options { source, clock, transport } = options;
    let draft = Arc::new(Draft::read(&source).map_err(AppError::Files)?);
    warn(&draft);
    let store = Store::open(draft.config.storage.url.expose()).await?;
    let metrics = Arc::new(Metrics::new());
    let told = Arc::clone(&metrics);
    store.watch_audit(Box::new(move |audited| match audited {
        Audited::Written(kind, took) => told.audit_written(kind, took),
        Audited::Failed => told.audit_failed(),
    }));
    let now = clock.now();
    metrics.audit_chain(true);
    seal::begin(&store, draft.config.audit.keys.clone(), now).await?;
    let policy = Policy::enforce(&store, Arc::clone(&draft), "engine", None, now).await?;
    let transport = match transport {
        Some(transport) => transport,
        None => Arc::new(over_ssh(&draft.config, &metrics)),
    };
    metrics.reloaded(true);
    let engine = Engine::new(store, clock, transport, metrics, policy, source);
    replica::join(&engine).await?;
    engine.listen();
    record(&engine, EventKind::EngineStarted).await?;
    let setup_token = identity::begin(&engine).await?;
    // Before anything is run: an address that is taken must not leave a half-started engine behind.
    let web = web::Server::start(Arc::clone(&engine)).await?;
    let runs = TaskTracker::new();
    let lease = tokio::spawn(schedule::keep_lease(Arc::clone(&engine)));
    let stages = schedule::start(&engine, &runs);
    for address in web.addresses() {
        tracing::info!(%address, tls = web.is_secure, "listening");
    }
    Ok(Running { engine, web, stages, runs, lease, setup_token })
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.web.addresses()
    }

    /// The token by which somebody becomes the first admin, if one was made at this start.
    pub fn take_setup_token(&mut self) -> Option<Secret> {
        self.setup_token.take()
    }

    /// Reads the operator's files again, as SIGHUP asks.
    pub async fn reload(&self) {
        // The outcome is logged, counted and audited there; the old policy stays in force when it fails.
        let _ = self.engine.reload("SIGHUP").await;
    }

    /// Stops in good order: takes no new work, lets running steps end for a while, closes the door, gives back what it held.
    ///
    /// What still runs after [`limits::DRAIN_TIMEOUT`] is taken up by another replica, or the next start, at once and
    /// without running anything twice.
    pub async fn stop(mut self) -> Result<(), AppError> {
        self.engine.stopping.cancel();
        self.runs.close();
        failpoint::pass(failpoint::SHUTDOWN_DRAINING);
        if tokio::time::timeout(limits::DRAIN_TIMEOUT, self.runs.wait()).await.is_err() {
            let left = self.engine.in_flight.len();
            tracing::warn!(left, "executions still run; another replica or the next start takes them up");
        }
        self.web.stop().await;
        self.engine.transport.close().await;
        while self.stages.join_next().await.is_some() {}
        refusals::record(&self.engine).await?;
        record(&self.engine, EventKind::EngineStopped).await?;
        seal_the_rest(&self.engine).await;
        self.lease.abort();
        replica::leave(&self.engine).await?;
        Ok(())
    }
}

/// What this replica wrote last gets its place, too; if it cannot now, the next one gives it.
async fn seal_the_rest(engine: &Engine) {
    if let Err(error) = seal::keep_sealed(engine).await {
        tracing::warn!(%error, "the last audit events get their places in the chain at the next start");
    } else if engine.replica.keeps_house() {
        engine.sealer.anchor(engine).await;
    }
}

impl ssh::Observer for Metrics {
    fn connected(&self, took: Duration) {
        self.ssh_connected(took);
    }

    fn failed(&self, reason: &'static str) {
        self.ssh_failed(reason);
    }
}

fn over_ssh(config: &Config, metrics: &Arc<Metrics>) -> SshTransport {
    let sessions_per_server = config.limits.sessions_per_server.unwrap_or(limits::SSH_SESSIONS_MAX);
    let options = ssh::Options { sessions_per_server, ..ssh::Options::default() };
    SshTransport::new(options, Arc::clone(metrics) as Arc<dyn ssh::Observer>)
}

fn warn(draft: &Draft) {
    for problem in &draft.warnings {
        tracing::warn!("{problem}");
    }
    let config: &Config = &draft.config;
    for source in config.sources.iter().filter(|source| source.insecure_no_auth) {
        tracing::warn!(
            source = source.name,
            "insecure_no_auth: anybody who reaches this port can send alerts as this source and so run its runbooks"
        );
    }
    if config.audit.keys.is_none() {
        tracing::warn!(
            "audit.key_file is not set: whoever may write to the database can change the audit log without being found"
        );
    }
    if config.global.mode == EngineMode::Observe {
        tracing::warn!("global.mode is `observe`: decisions are recorded, nothing is run");
    }
}

async fn record(engine: &Engine, kind: EventKind) -> Result<(), StoreError> {
    let (now, version) = (engine.clock.now(), engine.policy().version.clone());
    let payload = json!({ "version": env!("CARGO_PKG_VERSION"), "policy_version": version });
    engine
        .store
        .write(move |db| audit::append(db, &NewEvent::of(kind, "engine", "engine", "engine", payload), &version, now))
        .await?;
    Ok(())
}
