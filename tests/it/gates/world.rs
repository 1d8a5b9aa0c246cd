//! One engine on one database, and many scopes in it: each has its runbook, its group of two servers and its alert, so
//! that what is changed for one changes nothing for the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use douse::alert::wire::parse_api;
use douse::clock::{Clock, Timestamp};
use douse::config::Role;
use douse::engine::dispatch::start_due;
use douse::engine::people::breakers::{self, BreakerAct};
use douse::engine::people::{blackouts, pauses, runbooks, servers};
use douse::engine::receive::{AlertResult, Incoming, Ingest, Taken};
use douse::engine::{gating, matching};
use douse::execution::{Origin, Status};
use douse::gate::GateVerdict;
use douse::gate::blackout::RunbookScope;
use douse::gate::blackout::spec::{BlackoutSpec, OnceSpec};
use douse::id::{EpisodeId, ExecutionId};
use douse::store::decisions::DecisionRow;
use douse::store::executions::{ExecutionFilter, ExecutionRow};
use douse::store::{Page, PauseScope, RunbookOverride, decisions, executions};
use douse::transport::fake::Answer;
use serde_json::{Map, Value, json};

use super::cases::{Act, Case, Past, Then};
use crate::engine::bench::{Bench, Setup, person};
use crate::store::harness::Fixture;

pub const MINUTE: Duration = Duration::from_secs(60);
/// The one trigger of every runbook.
pub const TRIGGER: &str = "down";

/// When the alerts are decided.
pub fn noon() -> Timestamp {
    "2026-03-03T12:00:00Z".parse().unwrap()
}

pub struct World {
    pub bench: Bench,
    pub scopes: Vec<Scope>,
    time: Arc<Mutex<Timestamp>>,
}

/// A runbook, its servers, and the changes that are made to it.
pub struct Scope {
    pub runbook: String,
    pub group: String,
    pub server: String,
    pub neighbour: String,
    pub cases: Vec<Case>,
    /// Of the alert that is looked at.
    pub episode: Option<EpisodeId>,
}

impl Scope {
    fn new(number: usize, cases: Vec<Case>) -> Self {
        Self {
            runbook: format!("fix-{number}"),
            group: format!("pool-{number}"),
            server: format!("a{number}"),
            neighbour: format!("b{number}"),
            cases,
            episode: None,
        }
    }

    pub fn name(&self) -> String {
        self.cases.iter().map(|case| format!("{} ({})", case.gate, case.name)).collect::<Vec<_>>().join(" + ")
    }

    /// The runbook's file; JSON is YAML.
    fn file(&self, is_changed: bool) -> String {
        let mut file = json!({
            "name": self.runbook, "description": "Puts the unit right", "mode": "auto",
            "parameters": [{"name": "service", "pattern": "[a-z]+", "from_label": "service"}],
            "guard": {
                "recently_remediated": "0s", "attempts": {"count": 0, "window": "1h"},
                "blast_radius": {"min": 0, "percent": 0},
            },
            "steps": [{"name": "Fix", "command": "fix {{ alert.labels.unit }}"}],
            "triggers": [{"name": TRIGGER, "labels_match": {"scope": self.runbook}}],
        });
        for case in &self.cases {
            (case.always)(&mut file);
            if is_changed {
                (case.runbook)(&mut file);
            }
        }
        file.to_string()
    }

    /// Labels of its alert; `round` tells one alert from another.
    pub fn labels(&self, round: &str, server: &str) -> Map<String, Value> {
        let labels = json!({
            "alertname": "Down", "severity": "critical", "instance": format!("{server}:9100"), "scope": self.runbook,
            "round": round, "unit": "nginx", "service": "nginx",
        });
        labels.as_object().unwrap().clone()
    }

    /// The same as the scope's changes make them.
    pub fn changed_labels(&self) -> Map<String, Value> {
        let mut labels = self.labels("now", &self.server);
        self.cases.iter().for_each(|case| (case.labels)(&mut labels));
        labels
    }

    fn has(&self, past: Past) -> bool {
        self.cases.iter().any(|case| case.past.contains(&past))
    }
}

/// An entry of a delivery.
pub fn firing(labels: Map<String, Value>, starts_at: Timestamp) -> Value {
    let ends_at = "0001-01-01T00:00:00Z";
    json!({"status": "firing", "labels": labels, "annotations": {}, "startsAt": starts_at, "endsAt": ends_at})
}

pub fn resolved(labels: Map<String, Value>, starts_at: Timestamp, ends_at: Timestamp) -> Value {
    json!({"status": "resolved", "labels": labels, "annotations": {}, "startsAt": starts_at, "endsAt": ends_at})
}

/// An entry of what an Alertmanager's API answers: it was told at `seen_at` that the alert fires.
pub fn listed(labels: Map<String, Value>, starts_at: Timestamp, seen_at: Timestamp) -> Value {
    json!({
        "labels": labels, "annotations": {}, "startsAt": starts_at, "updatedAt": seen_at,
        "endsAt": seen_at.plus(60 * MINUTE), "status": {"state": "active", "inhibitedBy": [], "silencedBy": []},
    })
}

impl World {
    /// A scope for each list of changes, with the past that they ask for; nothing is decided of their alerts yet.
    pub async fn new(fixture: Fixture, changes: Vec<Vec<Case>>) -> Self {
        let scopes: Vec<Scope> = changes.into_iter().enumerate().map(|(at, cases)| Scope::new(at, cases)).collect();
        let mut list = vec![json!({"name": "twin1", "hostname": "10.9.9.9", "auth_type": "agent"})];
        list.push(json!({"name": "twin2", "hostname": "10.9.9.9", "auth_type": "agent"}));
        for scope in &scopes {
            for name in [&scope.server, &scope.neighbour] {
                let server = json!({"name": name, "hostname": name, "auth_type": "agent", "group": scope.group});
                list.push(server);
            }
        }
        let time = Arc::new(Mutex::new(noon()));
        let setup = Setup {
            runbooks: files(&scopes, false),
            // The same database for all scopes: what counts over all of them has its own tests.
            limits: format!(
                "executions: {}, executions_per_hour: 0",
                8 + scopes.iter().filter(|scope| scope.has(Past::Running)).count()
            ),
            servers: json!({ "servers": list }).to_string(),
            clock: Clock::Manual(Arc::clone(&time)),
            ..Setup::default()
        };
        let world = Self { bench: Bench::open(fixture, setup).await, scopes, time };
        world.live_through().await;
        world.set_time(noon());
        world.bench.reload(&files(&world.scopes, true)).await;
        for scope in &world.scopes {
            for act in scope.cases.iter().filter_map(|case| case.act) {
                world.act(scope, act).await;
            }
        }
        world
    }

    pub fn set_time(&self, time: Timestamp) {
        *self.time.lock().unwrap() = time;
    }

    pub fn now(&self) -> Timestamp {
        self.bench.engine.clock.now()
    }

    /// What the scopes' changes want to have happened; latest first, for a failure may open a breaker.
    async fn live_through(&self) {
        let transport = &self.bench.transport;
        self.set_time(noon().minus(MINUTE));
        let mut alerts = Vec::new();
        for scope in &self.scopes {
            if scope.has(Past::Completed) {
                alerts.push(scope.labels("completed", &scope.server));
            }
            if scope.has(Past::Neighbour) {
                alerts.push(scope.labels("neighbour", &scope.neighbour));
            }
        }
        self.run_all(alerts, Status::Completed).await;
        self.set_time(noon().minus(15 * MINUTE));
        transport.on("fix", [Answer::exit(1)]);
        let failing = self.scopes.iter().filter(|scope| scope.has(Past::Failed));
        self.run_all(failing.map(|scope| scope.labels("failed", &scope.server)).collect(), Status::Failed).await;
        transport.forget_rules();
        self.set_time(noon().minus(2 * MINUTE));
        transport.on("hold", [Answer::endless()]);
        for scope in self.scopes.iter().filter(|scope| scope.has(Past::Running)) {
            self.bench.start(self.bench.execution("holder", &scope.server, &[]).await).await;
        }
    }

    /// Delivers these alerts, and waits until each has an execution that ended so.
    async fn run_all(&self, alerts: Vec<Map<String, Value>>, status: Status) {
        let now = self.now();
        let episodes = self.deliver(alerts.into_iter().map(|labels| firing(labels, now)).collect()).await;
        matching::decide_waiting(&self.bench.engine).await.unwrap();
        self.run_due().await;
        for episode in episodes {
            let found = self.executions_of(episode).await;
            assert!(matches!(found.as_slice(), [one] if one.status == status), "{found:#?}");
        }
    }

    /// Starts what is due until nothing is, and waits for all of it.
    pub async fn run_due(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while start_due(&self.bench.engine, &self.bench.tasks).await.unwrap() > 0
            || self.bench.engine.in_flight.by_runbook().keys().any(|runbook| runbook.starts_with("fix"))
        {
            assert!(Instant::now() < deadline, "they do not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Hands a delivery in; answers to which episode each of its alerts belongs.
    pub async fn deliver(&self, alerts: Vec<Value>) -> Vec<EpisodeId> {
        deliver(&self.bench.engine.ingest, alerts, self.now()).await
    }

    /// Hands in what the Alertmanager answered when it was asked.
    pub async fn listed(&self, alerts: Vec<Value>) {
        let body = Value::from(alerts).to_string().into_bytes();
        let delivery = parse_api(&body).unwrap();
        let incoming = Incoming { source: "main".to_owned(), body, remote_addr: None, content_type: None };
        self.bench.engine.ingest.keep(incoming, delivery, self.now()).await.unwrap();
    }

    /// Every scope's alert comes, which fires for two minutes, and is decided.
    pub async fn decide(&mut self) {
        let starts_at = noon().minus(2 * MINUTE);
        let bodies = self.scopes.iter().map(|scope| firing(scope.changed_labels(), starts_at)).collect();
        let episodes = self.deliver(bodies).await;
        for (scope, episode) in self.scopes.iter_mut().zip(episodes) {
            scope.episode = Some(episode);
        }
        for scope in &self.scopes {
            for then in scope.cases.iter().filter_map(|case| case.then) {
                self.then(scope, then).await;
            }
        }
        assert_eq!(matching::decide_waiting(&self.bench.engine).await.unwrap(), self.scopes.len());
    }

    pub async fn act(&self, scope: &Scope, act: Act) {
        let (engine, ann, why) = (&self.bench.engine, person("ann", Role::Admin), Some("storm".to_owned()));
        let runbook = scope.runbook.clone();
        match act {
            Act::PauseRunbook | Act::PauseServer | Act::PauseGroup => {
                let until = matches!(act, Act::PauseServer).then(|| noon().plus(60 * MINUTE));
                pauses::pause(engine, pause(scope, act), until, why, &ann).await.map(drop)
            }
            Act::DisableRunbook => {
                runbooks::set_override(engine, runbook, RunbookOverride::Disabled, why, &ann).await.map(drop)
            }
            Act::Maintenance => servers::set_maintenance(engine, scope.server.clone(), true, why, &ann).await.map(drop),
            Act::OpenBreaker => breakers::act(engine, runbook, BreakerAct::Open, why, &ann).await.map(drop),
            Act::Blackout(effect) => {
                let spec = BlackoutSpec {
                    name: format!("freeze {runbook}"),
                    effect: Some(effect),
                    once: Some(OnceSpec {
                        start: noon().minus(60 * MINUTE).to_string(),
                        end: noon().plus(60 * MINUTE).to_string(),
                    }),
                    runbooks: RunbookScope { names: vec![runbook], categories: Vec::new() },
                    ..BlackoutSpec::default()
                };
                blackouts::create(engine, spec, &ann).await.map(drop)
            }
        }
        .unwrap();
    }

    /// Takes back what [`World::act`] did.
    pub async fn undo(&self, scope: &Scope, act: Act) {
        let (engine, ann, why) = (&self.bench.engine, person("ann", Role::Admin), Some("over".to_owned()));
        let runbook = scope.runbook.clone();
        match act {
            Act::PauseRunbook | Act::PauseServer | Act::PauseGroup => {
                pauses::resume(engine, pause(scope, act), &ann).await.map(drop)
            }
            Act::DisableRunbook => {
                runbooks::set_override(engine, runbook, RunbookOverride::Active, why, &ann).await.map(drop)
            }
            Act::Maintenance => {
                servers::set_maintenance(engine, scope.server.clone(), false, why, &ann).await.map(drop)
            }
            Act::OpenBreaker => breakers::act(engine, runbook, BreakerAct::Close, why, &ann).await.map(drop),
            Act::Blackout(_) => {
                let name = format!("freeze {runbook}");
                let row = self.bench.store.read(move |db| blackouts::named(db, &name)).await.unwrap().unwrap();
                blackouts::delete(engine, row.id, &ann).await
            }
        }
        .unwrap();
    }

    async fn then(&self, scope: &Scope, then: Then) {
        let starts_at = noon().minus(2 * MINUTE);
        match then {
            Then::Resolved => {
                let ended = resolved(scope.changed_labels(), starts_at, noon().minus(MINUTE / 2));
                assert_eq!(self.deliver(vec![ended]).await, [scope.episode.unwrap()]);
            }
            Then::Execution => {
                let labels = [("unit", "nginx"), ("service", "nginx")];
                let episode = scope.episode;
                let edit = |row: &mut ExecutionRow| {
                    (row.origin, row.episode_id) = (Origin::Alert, episode);
                    row.trigger_name = Some(TRIGGER.to_owned());
                };
                self.bench.prepared_as(&scope.runbook, &scope.server, &labels, None, edit).await;
            }
        }
    }

    /// The decision about a scope's alert.
    pub async fn decision(&self, scope: &Scope) -> DecisionRow {
        let (episode, runbook) = (scope.episode.unwrap(), scope.runbook.clone());
        let found = self.bench.store.read(move |db| decisions::find(db, episode, &runbook, TRIGGER)).await.unwrap();
        found.unwrap_or_else(|| panic!("no decision about {}", scope.name()))
    }

    /// The executions that were made for an episode.
    pub async fn executions_of(&self, episode: EpisodeId) -> Vec<ExecutionRow> {
        let filter = ExecutionFilter { episode: Some(episode), ..ExecutionFilter::default() };
        let page = Page { before: None, limit: 200 };
        let found = self.bench.store.read(move |db| executions::list(db, &filter, page)).await.unwrap();
        found.rows.into_iter().map(|(row, _)| row).collect()
    }

    /// Asks about everything that is due again.
    pub async fn recheck(&self) {
        while gating::recheck_due(&self.bench.engine).await.unwrap() >= 100 {}
    }

    /// The run that holds a scope's server ends.
    pub async fn end_holder(&self, scope: &Scope) {
        let server = scope.server.clone();
        let held = self.bench.store.read(move |db| douse::store::target_locks::holder(db, &server)).await.unwrap();
        let id: ExecutionId = held.unwrap().execution_id;
        douse::engine::acts::cancel(&self.bench.engine, id, &person("ann", Role::Admin), None).await.unwrap();
        self.bench.settled(id).await;
    }
}

/// Hands a delivery in; answers to which episode each of its alerts belongs.
pub async fn deliver(ingest: &Ingest, alerts: Vec<Value>, now: Timestamp) -> Vec<EpisodeId> {
    let body = json!({
        "version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{alertname=\"Down\"}",
        "groupLabels": {"alertname": "Down"}, "commonLabels": {"alertname": "Down"}, "commonAnnotations": {},
        "externalURL": "http://am:9093", "alerts": alerts,
    });
    let body = body.to_string().into_bytes();
    let incoming = Incoming { source: "main".to_owned(), body, remote_addr: None, content_type: None };
    let receipt = ingest.receive(incoming, now).await.unwrap();
    let episode = |result: &AlertResult| {
        assert_ne!(result.taken, Taken::Quarantined, "{result:?}");
        result.episode.unwrap()
    };
    receipt.results.iter().map(episode).collect()
}

/// The recorded answers of all gates.
pub fn gates(row: &DecisionRow) -> Vec<GateVerdict> {
    serde_json::from_value(row.gates_json.0.clone()).unwrap()
}

/// The recorded objections: gate and word.
pub fn objections(row: &DecisionRow) -> BTreeMap<douse::gate::Gate, &'static str> {
    let said = gates(row).into_iter().map(|one| (one.gate, one.verdict.as_str()));
    said.filter(|(_, verdict)| *verdict != "allow").collect()
}

fn pause(scope: &Scope, act: Act) -> pauses::Scope {
    match act {
        Act::PauseServer => pauses::Scope { scope: PauseScope::Server, name: scope.server.clone() },
        Act::PauseGroup => pauses::Scope { scope: PauseScope::Group, name: scope.group.clone() },
        _ => pauses::Scope { scope: PauseScope::Runbook, name: scope.runbook.clone() },
    }
}

fn files(scopes: &[Scope], is_changed: bool) -> Vec<String> {
    let holder = json!({
        "name": "holder", "description": "Holds its server", "mode": "auto", "timeout_seconds": 604_800,
        "steps": [{"name": "Hold", "command": "hold it", "timeout_seconds": 604_800}],
    });
    let mut files: Vec<String> = scopes.iter().map(|scope| scope.file(is_changed)).collect();
    files.push(holder.to_string());
    files
}
