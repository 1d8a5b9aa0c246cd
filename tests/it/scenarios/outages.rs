//! Something is gone when the alert comes: nothing is lost, nothing is done twice.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::chain::Chain;
use crate::support::engine::{Engine, WEBHOOK_TOKEN};
use crate::support::http;
use crate::support::postgres;
use crate::support::wait::wait_for;

use super::{LIMIT, RESTART};

#[test]
fn an_alert_that_came_while_the_database_was_gone_arrives_by_alertmanagers_retry() {
    let mut database = postgres::Server::start();
    let chain = Chain::start(Engine::setup().storage(&database.url).runbook("restart-service.yml", RESTART));
    database.stop();

    let body = json!({"version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{}", "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "truncatedAlerts": 0, "alerts": [
            {"status": "firing", "labels": {"alertname": "Other"}, "annotations": {}, "generatorURL": "", "fingerprint": "",
             "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}]});
    let asked = Instant::now();
    let answer = http::post(&chain.engine.webhook(), Some(WEBHOOK_TOKEN), Some(&body)).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(asked.elapsed() < Duration::from_secs(5), "answered after {:?}", asked.elapsed());
    let healthy = http::get(&format!("{}/-/healthy", chain.engine.url), None).unwrap();
    assert_eq!(healthy.status, 200, "health does not depend on the database");
    let ready = http::get(&format!("{}/-/ready", chain.engine.url), None).unwrap();
    assert_eq!(ready.status, 503, "an engine that cannot commit is not ready");

    chain.host.break_service("nginx");
    wait_for("Alertmanager has been told 503", LIMIT, || {
        chain.alertmanager.log().contains("status code 503").then_some(())
    });
    assert_eq!(chain.host.calls(), Vec::<String>::new());
    database.start_again();

    let id = chain.engine.wait_execution("restart-service", LIMIT);
    chain.engine.wait_status(&id, "completed", LIMIT);
    chain.alertmanager.wait_resolved(LIMIT);
    assert_eq!(chain.host.calls(), ["status nginx", "restart nginx", "is-active nginx"]);
    assert_eq!(chain.engine.executions().len(), 1);
}

#[test]
fn an_alert_that_came_while_the_engine_was_down_is_put_out_after_its_start() {
    let mut chain = Chain::start(Engine::setup().runbook("restart-service.yml", RESTART));
    let status = chain.engine.stop().expect("it ran");
    assert!(status.success(), "a SIGTERM is a clean end: {status}");
    chain.host.break_service("nginx");
    wait_for("Alertmanager has the alert", LIMIT, || (!chain.alertmanager.alerts().is_empty()).then_some(()));
    chain.engine.start();

    let id = chain.engine.wait_execution("restart-service", LIMIT);
    chain.engine.wait_status(&id, "completed", LIMIT);
    chain.alertmanager.wait_resolved(LIMIT);
    assert_eq!(chain.host.calls(), ["status nginx", "restart nginx", "is-active nginx"]);
}

#[test]
fn a_host_that_was_down_is_put_right_when_it_is_back() {
    let runbook = RESTART.replace("mode: auto", "mode: auto\nmax_retries: 60\nretry_delay_seconds: 1");
    let mut chain = Chain::start(Engine::setup().runbook("restart-service.yml", &runbook));
    chain.host.sshd.stop();
    chain.host.break_service("nginx");

    let id = chain.engine.wait_execution("restart-service", LIMIT);
    wait_for("the engine has tried to log in", LIMIT, || {
        let execution = chain.engine.execution(&id);
        (execution["status"] == "approved" && !execution["error_message"].is_null()).then_some(())
    });
    chain.host.sshd.boot();
    chain.engine.wait_status(&id, "completed", LIMIT);
    assert_eq!(chain.host.calls(), ["status nginx", "restart nginx", "is-active nginx"]);
}
