//! Two real engines on one PostgreSQL: one is stopped for several leases and goes on, or is killed.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::postgres;
use crate::support::sshd::{Sshd, kill};
use crate::support::wait::{wait_for, wait_until};

const LIMIT: Duration = Duration::from_secs(60);
/// Of the replicas' leases; the configuration says the same.
const LEASE: Duration = Duration::from_secs(2);

/// Two replicas, and what commands write.
struct Pair {
    replicas: [Engine; 2],
    sshd: Sshd,
}

impl Pair {
    fn start() -> Self {
        let (url, sshd) = (postgres::database(), Sshd::start());
        let effects = sshd.dir().join("effects").display().to_string();
        let runbook = json!({
            "name": "slow", "description": "Takes its time", "mode": "auto", "timeout_seconds": 120,
            "steps": [
                {"name": "One", "command": format!("echo one >>{effects}; sleep 3; echo end >>{effects}")},
                {"name": "Two", "command": format!("echo two >>{effects}")},
            ],
            "triggers": [{"name": "down", "alert_name_pattern": "Down"}],
        });
        let replica = || {
            let setup = Engine::setup().storage(&url).lease(&format!("{}s", LEASE.as_secs()));
            setup.runbook("slow.yml", &runbook.to_string()).server(sshd.server_yaml("web1")).start()
        };
        Self { replicas: [replica(), replica()], sshd }
    }

    fn effects(&self) -> Vec<String> {
        let text = fs::read_to_string(self.sshd.dir().join("effects")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// An alert comes to the first replica, which runs its first step from now on.
    fn begin(&self) -> String {
        let alert = json!({
            "status": "firing", "labels": {"alertname": "Down", "instance": "web1:9100"}, "annotations": {},
            "startsAt": "2026-03-03T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        });
        let body = json!({
            "version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{}", "groupLabels": {},
            "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "truncatedAlerts": 0, "alerts": [alert],
        });
        assert_eq!(self.replicas[0].deliver(&body).status, 200);
        let id = self.replicas[0].wait_execution("slow", LIMIT);
        wait_for("the first step is under way", LIMIT, || (self.effects() == ["one"]).then_some(()));
        assert!(self.replicas[0].log().contains("attempt started"), "the replica that decided runs it");
        id
    }

    /// Waits until the second replica has brought it to its end, or to a person.
    fn settled(&self, id: &str) -> Value {
        let is_settled = |seen: &Value| seen["status"] == "completed" || seen["status"] == "interrupted";
        wait_until("the other replica took it up", LIMIT, || self.replicas[1].execution(id), is_settled)
    }
}

#[test]
fn a_replica_that_stood_still_for_leases_writes_and_starts_nothing_when_it_wakes() {
    let pair = Pair::start();
    let id = pair.begin();
    kill("STOP", pair.replicas[0].pid());
    let settled = pair.settled(&id);
    std::thread::sleep(LEASE * 3);
    let (trail, effects) = (pair.replicas[1].get(&format!("/api/v1/executions/{id}/audit")), pair.effects());
    let told = pair.replicas[0].log();
    kill("CONT", pair.replicas[0].pid());
    wait_for("it has heard of it", LIMIT, || pair.replicas[0].log().contains("gave this replica up").then_some(()));
    // It answers, and takes part again.
    wait_for("it is ready", LIMIT, || {
        let answer = crate::support::http::get(&format!("{}/-/ready", pair.replicas[0].url), None)?;
        (answer.status == 200).then_some(())
    });
    assert_eq!(pair.replicas[1].get(&format!("/api/v1/executions/{id}/audit")), trail, "it wrote nothing");
    assert_eq!(pair.replicas[1].execution(&id), settled);
    assert_eq!(pair.effects(), effects, "it started nothing");
    let since = pair.replicas[0].log()[told.len()..].to_owned();
    assert!(!since.contains("attempt started"), "{since}");
    assert_eq!(pair.effects().iter().filter(|line| *line == "one").count(), 1);
    assert_eq!(pair.replicas[1].executions().len(), 1);
}

#[test]
fn what_a_killed_replica_ran_is_taken_up_by_the_other() {
    let mut pair = Pair::start();
    let id = pair.begin();
    pair.replicas[0].kill();
    pair.settled(&id);
    assert!(pair.replicas[1].log().contains("a replica was not heard of"), "{}", pair.replicas[1].log());
    assert_eq!(pair.effects().iter().filter(|line| *line == "one").count(), 1);
    // A second one starts beside the survivor, and sees the same.
    pair.replicas[0].start();
    assert_eq!(pair.replicas[0].execution(&id), pair.replicas[1].execution(&id));
}

#[test]
fn a_replica_that_ends_in_good_order_is_not_waited_for() {
    let mut pair = Pair::start();
    let id = pair.begin();
    // It lets the step end, and the other one goes on from there at once.
    assert!(pair.replicas[0].stop().expect("it ran").success());
    let ended = pair.settled(&id);
    assert_eq!(ended["status"], "completed");
    assert_eq!(pair.effects(), ["one", "end", "two"]);
    assert!(!pair.replicas[1].log().contains("a replica was not heard of"), "{}", pair.replicas[1].log());
}

#[test]
fn replicas_that_start_at_once_on_an_empty_database_all_become_ready() {
    let url = postgres::database();
    let step = json!([{"name": "One", "command": "true", "idempotent": true}]);
    let mut replicas: Vec<Engine> = (0..4)
        .map(|_| {
            (0..10)
                .fold(Engine::setup().storage(&url), |setup, n| {
                    let name = format!("runbook{n}");
                    let trigger = json!([{"name": "down", "alert_name_pattern": name}]);
                    let runbook =
                        json!({"name": name, "description": "Same everywhere", "steps": step, "triggers": trigger});
                    setup.runbook(&format!("{name}.yml"), &runbook.to_string())
                })
                .write()
        })
        .collect();
    std::thread::scope(|scope| replicas.iter_mut().for_each(|replica| drop(scope.spawn(|| replica.start()))));
}
