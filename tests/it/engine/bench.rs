//! An engine on a real database with a scripted transport, and executions put in front of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use douse::alert::{Alert, AlertStatus};
use douse::clock::{Clock, Timestamp};
use douse::config::Role;
use douse::engine::acts::Person;
use douse::engine::policy::{Draft, PolicySource};
use douse::engine::record::{self, Author, Loaded};
use douse::engine::{Engine, Policy, Replica, execute, recover, replica};
use douse::execution::{Phase, Status};
use douse::id::ExecutionId;
use douse::runbook::parameters::{self, ParameterSources};
use douse::runbook::plan::{PlanInput, plan, plan_hash};
use douse::store::attempts::{self, AttemptRow, OutputRow};
use douse::store::audit::{self, AuditRow};
use douse::store::details::DetailsRow;
use douse::store::executions::ExecutionRow;
use douse::store::steps::{self, StepRow};
use douse::store::target_locks::{self, LockRow};
use douse::store::{Json, Store, StoreError};
use douse::telemetry::Metrics;
use douse::transport::fake::FakeTransport;
use serde_json::json;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::store::harness::Fixture;
use crate::store::samples;

/// Everything that one test of the engine needs.
pub struct Bench {
    pub engine: Arc<Engine>,
    pub transport: Arc<FakeTransport>,
    pub tasks: TaskTracker,
    pub store: Store,
    running: Mutex<Vec<AbortHandle>>,
    source: PolicySource,
    clock: Clock,
    tick: Duration,
    files: tempfile::TempDir,
    _fixture: Fixture,
}

/// What an engine is started with.
pub struct Setup {
    pub runbooks: Vec<String>,
    /// Entries of `limits`.
    pub limits: String,
    /// `servers.yml`.
    pub servers: String,
    pub clock: Clock,
    /// What [`Bench::until`] lets a manual clock go on whenever it looks.
    pub tick: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let (runbooks, limits, tick) = (Vec::new(), String::new(), Duration::ZERO);
        Self { runbooks, limits, servers: SERVERS.to_owned(), clock: Clock::System, tick }
    }
}

/// An execution as the database shows it.
#[derive(Debug)]
pub struct Shown {
    pub loaded: Loaded,
    pub steps: Vec<StepRow>,
    pub attempts: Vec<AttemptRow>,
    pub outputs: Vec<OutputRow>,
    pub audit: Vec<AuditRow>,
    pub locks: Vec<LockRow>,
}

impl Shown {
    pub fn status(&self) -> Status {
        self.loaded.row.status
    }

    /// Ids of the steps that were attempted in this phase, in the order of their first attempts.
    pub fn attempted(&self, phase: Phase) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for attempt in &self.attempts {
            let step = self.steps.iter().find(|step| step.id == attempt.step_run_id).unwrap();
            if step.phase == phase && !found.contains(&step.step_id) {
                found.push(step.step_id.clone());
            }
        }
        found
    }

    pub fn step(&self, phase: Phase, id: &str) -> &StepRow {
        self.steps.iter().find(|step| step.phase == phase && step.step_id == id).unwrap()
    }

    /// The audit log's kinds, in order.
    pub fn trail(&self) -> Vec<&'static str> {
        self.audit.iter().map(|row| row.event_type.as_str()).collect()
    }

    pub fn error(&self) -> &str {
        self.loaded.row.error_message.as_deref().unwrap_or("")
    }
}

/// A server of every operating system; keys are never looked at by the fake transport.
const SERVERS: &str = "servers:
  - {name: web1, hostname: 10.0.0.11, auth_type: agent, tags: [web], group: web}
  - {name: web2, hostname: 10.0.0.12, auth_type: agent, tags: [web], group: web}
  - {name: web3, hostname: 10.0.0.13, auth_type: agent, tags: [web], group: web}
  - {name: web4, hostname: 10.0.0.14, auth_type: agent, tags: [web], group: web}
";

impl Bench {
    /// With these runbook files.
    pub async fn new(fixture: Fixture, runbooks: &[&str]) -> Self {
        Self::with_limits(fixture, runbooks, "").await
    }

    /// The same, and these `limits`.
    pub async fn with_limits(fixture: Fixture, runbooks: &[&str], limits: &str) -> Self {
        let runbooks = runbooks.iter().map(|text| (*text).to_owned()).collect();
        Self::open(fixture, Setup { runbooks, limits: limits.to_owned(), ..Setup::default() }).await
    }

    /// With these runbook files, and [`Bench::until`] lets five seconds of the engine's time pass whenever it looks, so
    /// that delays between tries do not have to be waited for.
    pub async fn with_virtual_time(fixture: Fixture, runbooks: &[&str]) -> Self {
        let runbooks = runbooks.iter().map(|text| (*text).to_owned()).collect();
        let (clock, tick) = (Clock::manual(Clock::System.now()), Duration::from_secs(5));
        Self::open(fixture, Setup { runbooks, clock, tick, ..Setup::default() }).await
    }

    /// With all of this.
    pub async fn open(fixture: Fixture, setup: Setup) -> Self {
        let Setup { runbooks, limits, servers, clock, tick } = setup;
        let files = tempfile::tempdir().unwrap();
        let config = format!(
            "storage: {{url: \"{}\", lease: 1h}}\nsources: [{{name: main, insecure_no_auth: true}}]\nrunbooks: {{dirs: [runbooks]}}\nservers: {{files: [servers.yml]}}\nlimits: {{{limits}}}\n",
            fixture.url
        );
        write_runbooks(files.path(), &runbooks);
        std::fs::write(files.path().join("servers.yml"), servers).unwrap();
        let config_file = files.path().join("douse.yml");
        std::fs::write(&config_file, config).unwrap();
        let source = PolicySource { config_file, variables: Vec::new(), listen_addresses: Vec::new() };
        let transport = Arc::new(FakeTransport::new());
        let store = fixture.store.clone();
        let engine = engine(&store, &source, Arc::clone(&transport), clock.clone()).await;
        let tasks = TaskTracker::new();
        let running = Mutex::default();
        Self { engine, transport, tasks, store, running, source, clock, tick, files, _fixture: fixture }
    }

    /// Another engine on the same database, as a replica is.
    pub async fn replica(&self) -> Arc<Engine> {
        engine(&self.store, &self.source, Arc::clone(&self.transport), self.clock.clone()).await
    }

    /// The same over a transport of its own, with a lease that lasts this long and that nobody renews by itself.
    pub async fn replica_over(&self, transport: Arc<FakeTransport>, lease: Duration) -> Arc<Engine> {
        replica_of(&self.store, &self.source, transport, self.clock.clone(), Some(lease)).await
    }

    /// The runbook files become these, and the engine reads them.
    pub async fn reload(&self, runbooks: &[String]) {
        write_runbooks(self.files.path(), runbooks);
        self.engine.reload("test").await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The engine ends, and a new one starts on the same database, with a transport that knows these answers.
    ///
    /// What the old one still has to do must not matter: its tasks are aborted where they stand.
    pub async fn die_and_restart_with(&mut self, answers: impl FnOnce(&FakeTransport)) {
        self.engine.stopping.cancel();
        replica::leave(&self.engine).await.unwrap();
        for task in self.running.lock().unwrap().drain(..) {
            task.abort();
        }
        self.tasks = TaskTracker::new();
        self.transport = Arc::new(FakeTransport::new());
        answers(&self.transport);
        self.engine = engine(&self.store, &self.source, Arc::clone(&self.transport), self.clock.clone()).await;
        recover::take_up(&self.engine, &self.tasks).await.unwrap();
    }

    /// Frees a server, whoever holds it: for the next round of a test.
    pub async fn free(&self, server: &'static str) {
        let freed = self.store.write(move |db| match target_locks::holder(db, server)? {
            Some(lock) => target_locks::free(db, lock.execution_id).map(drop),
            None => Ok(()),
        });
        freed.await.unwrap();
    }

    /// Waits until this process has let go of `id`.
    pub async fn idle(&self, id: ExecutionId) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.engine.in_flight.contains(id) {
            assert!(Instant::now() < deadline, "it is not let go");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// An approved execution of `runbook` on `server` for an alert with these labels.
    pub async fn execution(&self, runbook: &str, server: &str, labels: &[(&str, &str)]) -> ExecutionId {
        self.prepared(runbook, server, labels, Some("auto"), "alertmanager").await
    }

    /// The same, perhaps pending, asked for by `created_by`.
    pub async fn prepared(
        &self,
        runbook: &str,
        server: &str,
        labels: &[(&str, &str)],
        approved_by: Option<&str>,
        created_by: &str,
    ) -> ExecutionId {
        self.prepared_as(runbook, server, labels, approved_by, |row| created_by.clone_into(&mut row.created_by)).await
    }

    /// The same, with whatever else its row should say.
    pub async fn prepared_as(
        &self,
        runbook: &str,
        server: &str,
        labels: &[(&str, &str)],
        approved_by: Option<&str>,
        edit: impl FnOnce(&mut ExecutionRow),
    ) -> ExecutionId {
        let policy = self.engine.policy();
        let active = policy.runbooks.get(runbook).unwrap_or_else(|| panic!("no runbook `{runbook}`"));
        let server = policy.servers.get(server).unwrap();
        let alert = alert(&server.name, labels);
        let given = BTreeMap::new();
        let sources = ParameterSources {
            given: &given,
            alert: Some(&alert),
            is_server: &|name| policy.servers.get(name).is_some(),
        };
        let parameters = parameters::resolve(&active.runbook, &sources).unwrap();
        let input = PlanInput {
            runbook_version: active.version,
            alert: Some(&alert),
            group: None,
            server,
            parameters: &parameters,
            trigger: None,
        };
        let plan = plan(&active.runbook, &input).unwrap_or_else(|error| panic!("{runbook}: {error}"));
        let now = self.engine.clock.now();
        let (row, details) = samples::execution(&server.name);
        let mut row = ExecutionRow {
            runbook: runbook.to_owned(),
            runbook_version: active.version,
            server_group: server.group.clone(),
            status: Status::Pending,
            mode: active.runbook.mode,
            policy_version: policy.version.clone(),
            created_by: "alertmanager".to_owned(),
            created_at: now,
            approved_by: approved_by.map(str::to_owned),
            approved_at: approved_by.map(|_| now),
            expires_at: Some(now.plus(active.runbook.approval.expires_after)),
            ..row
        };
        edit(&mut row);
        let details = DetailsRow {
            plan_json: Json(serde_json::to_value(&plan).unwrap()),
            plan_hash: plan_hash(&plan).unwrap(),
            parameters: Json(json!({})),
            timeout_secs: i64::try_from(plan.timeout_secs).unwrap(),
            approval_gates: Json(vec!["mode".to_owned()]),
            ..details
        };
        let author = Author::engine(&self.engine);
        let id = row.id;
        self.store.write(move |db| record::create(db, &row, &details, &plan, None, &author).map(drop)).await.unwrap();
        id
    }

    /// Claims `id` and lets it run.
    pub async fn start(&self, id: ExecutionId) {
        assert!(self.try_start(id).await, "it could not be claimed");
    }

    /// The same, or `false` if it cannot be claimed.
    pub async fn try_start(&self, id: ExecutionId) -> bool {
        let author = Author::engine(&self.engine);
        let claim = self.store.write(move |db| {
            let loaded = record::load(db, id)?;
            record::claim(db, loaded, &author).map(|claimed| claimed.is_ok())
        });
        if !claim.await.unwrap() {
            return false;
        }
        let cancel = self.engine.in_flight.enter(id, "of the bench", "of the bench").unwrap();
        let engine = Arc::clone(&self.engine);
        let task = self.tasks.spawn(async move {
            let run = execute::run(&engine, id, cancel).await;
            engine.in_flight.leave(id);
            assert!(run.as_ref().is_ok_and(|()| true) || run.as_ref().is_err_and(StoreError::is_fenced), "{run:?}");
        });
        self.running.lock().unwrap().push(task.abort_handle());
        true
    }

    /// Claims `id`, and waits until it is over or waits for a person.
    pub async fn run(&self, id: ExecutionId) -> Shown {
        self.start(id).await;
        self.settled(id).await
    }

    /// Waits until `id` is over or waits for a person.
    pub async fn settled(&self, id: ExecutionId) -> Shown {
        self.until(id, |shown| shown.status().is_final() || shown.status() == Status::Interrupted).await
    }

    /// Waits until `id` is as `is` says; a test that waits for too long fails and shows how it stands.
    pub async fn until(&self, id: ExecutionId, is: impl Fn(&Shown) -> bool) -> Shown {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self.shown(id).await;
            if is(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "it does not come to that: {shown:#?}");
            self.engine.clock.advance(self.tick);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// How `id` stands.
    pub async fn shown(&self, id: ExecutionId) -> Shown {
        let read = self.store.read(move |db| {
            Ok(Shown {
                loaded: record::load(db, id)?,
                steps: steps::of_execution(db, id)?,
                attempts: attempts::of_execution(db, id)?,
                outputs: attempts::outputs_of(db, id)?,
                audit: audit::of_execution(db, id)?,
                locks: target_locks::list(db)?,
            })
        });
        read.await.unwrap()
    }
}

fn write_runbooks(files: &Path, runbooks: &[String]) {
    let folder = files.join("runbooks");
    std::fs::create_dir_all(&folder).unwrap();
    for (number, text) in runbooks.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.yml")), text).unwrap();
    }
}

async fn engine(store: &Store, source: &PolicySource, transport: Arc<FakeTransport>, clock: Clock) -> Arc<Engine> {
    replica_of(store, source, transport, clock, None).await
}

async fn replica_of(
    store: &Store,
    source: &PolicySource,
    transport: Arc<FakeTransport>,
    clock: Clock,
    lease: Option<Duration>,
) -> Arc<Engine> {
    let draft = Draft::read(source).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut policy = Policy::enforce(store, Arc::new(draft), "test", None, clock.now()).await.unwrap();
    if let Some(lease) = lease {
        policy.replica = Arc::new(Replica::new(lease));
    }
    let engine = Engine::new(store.clone(), clock, transport, Arc::new(Metrics::new()), policy, source.clone());
    // Not `join`: on SQLite a replica that joins ends all others.
    replica::renew(&engine).await.unwrap();
    engine
}

/// A firing alert of `server` with these labels besides.
pub fn alert(server: &str, labels: &[(&str, &str)]) -> Alert {
    let mut all: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.insert("alertname".to_owned(), "Test".to_owned());
    all.insert("instance".to_owned(), format!("{server}:9100"));
    let starts_at: Timestamp = "2026-03-03T10:00:00Z".parse().unwrap();
    Alert {
        status: AlertStatus::Firing,
        labels: all,
        annotations: BTreeMap::new(),
        starts_at,
        ends_at: None,
        generator_url: String::new(),
        fingerprint: "0123456789abcdef".to_owned(),
        annotations_cut: false,
    }
}

/// A person with this role.
pub fn person(name: &str, role: Role) -> Person {
    Person::new(name, role, Some("192.0.2.7".to_owned()))
}
