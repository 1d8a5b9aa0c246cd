//! A service breaks, and Douse puts it right, or back.

use crate::support::chain::Chain;
use crate::support::engine::{ENGINEER_TOKEN, Engine};
use crate::support::http;
use crate::support::postgres;
use crate::support::wait::wait_until;

use super::{LIMIT, RESTART, restart_with_approval, steps};

fn a_broken_service_is_restarted_and_its_alert_resolves(storage: Option<&str>) {
    let setup = Engine::setup().runbook("restart-service.yml", RESTART);
    let chain = Chain::start(match storage {
        Some(url) => setup.storage(url),
        None => setup,
    });
    chain.host.break_service("nginx");

    let id = chain.engine.wait_execution("restart-service", LIMIT);
    let execution = chain.engine.wait_status(&id, "completed", LIMIT);
    assert_eq!(chain.host.service("nginx"), "active");
    chain.alertmanager.wait_resolved(LIMIT);

    let expected =
        ["main Check service status: completed", "main Restart service: completed", "main Verify service: completed"];
    assert_eq!(steps(&execution), expected);
    assert_eq!(execution["server"], "web1");
    assert_eq!(execution["approved_by"], "auto");
    assert_eq!(execution["steps"][0]["exit_code"], 3, "the service was down when the run began");
    assert_eq!(chain.host.calls(), ["status nginx", "restart nginx", "is-active nginx"]);
    wait_until(
        "Douse knows that the alert has resolved",
        LIMIT,
        || chain.engine.get("/api/v1/alerts"),
        |alerts| {
            alerts["items"].as_array().is_some_and(|items| items.iter().any(|alert| alert["status"] == "resolved"))
        },
    );
    assert_eq!(chain.engine.executions().len(), 1);
}

#[test]
fn a_broken_service_is_restarted_and_its_alert_resolves_on_sqlite() {
    a_broken_service_is_restarted_and_its_alert_resolves(None);
}

#[test]
fn a_broken_service_is_restarted_and_its_alert_resolves_on_postgresql() {
    a_broken_service_is_restarted_and_its_alert_resolves(Some(&postgres::database()));
}

#[test]
fn a_restart_that_fails_is_rolled_back_and_the_alert_goes_on_firing() {
    let chain = Chain::start(Engine::setup().runbook("restart-service.yml", RESTART));
    chain.host.let_fail("restart", "nginx");
    chain.host.break_service("nginx");

    let id = chain.engine.wait_execution("restart-service", LIMIT);
    let execution = chain.engine.wait_status(&id, "failed", LIMIT);
    assert_eq!(execution["rollback"], "done");
    assert_eq!(chain.host.calls(), ["status nginx", "restart nginx", "stop nginx"]);
    assert_eq!(chain.alertmanager.alerts().len(), 1);
    let restart = execution["steps"].as_array().unwrap().iter().find(|step| step["name"] == "Restart service").unwrap();
    assert_eq!(restart["exit_code"], 1);
    assert!(restart["stderr"].as_str().unwrap().contains("Job for nginx.service failed"), "{restart}");
}

#[test]
fn a_runbook_that_asks_runs_nothing_until_a_person_says_yes() {
    let chain = Chain::start(Engine::setup().runbook("restart-service.yml", &restart_with_approval()));
    chain.host.break_service("nginx");

    let id = chain.engine.wait_execution("restart-service", LIMIT);
    assert_eq!(chain.engine.execution(&id)["status"], "pending");
    assert_eq!(chain.host.calls(), Vec::<String>::new());
    let approve = format!("{}/api/v1/executions/{id}/approve", chain.engine.url);
    let answer = http::post(&approve, Some(ENGINEER_TOKEN), Some(&serde_json::json!({}))).unwrap();
    assert!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.text);

    let execution = chain.engine.wait_status(&id, "completed", LIMIT);
    assert_eq!(execution["approved_by"], "eve");
    assert_eq!(chain.host.calls(), ["status nginx", "restart nginx", "is-active nginx"]);
    chain.alertmanager.wait_resolved(LIMIT);
}
