//! What must not run does not, and says why.

use serde_json::{Value, json};

use crate::support::chain::Chain;
use crate::support::engine::Engine;
use crate::support::wait::wait_for;

use super::{LIMIT, RESTART};

/// The decision on the alert about `service`, once there is one.
fn wait_decision(engine: &Engine) -> Value {
    wait_for("a decision", LIMIT, || engine.get("/api/v1/decisions")["items"].as_array()?.first().cloned())
}

/// The gate's verdict and reason.
fn gate<'a>(decision: &'a Value, reason: &str) -> &'a Value {
    let gates = decision["gates"].as_array().expect("gates");
    gates.iter().find(|gate| gate["reason"] == reason).unwrap_or_else(|| panic!("no gate says {reason}: {decision:#}"))
}

#[test]
fn a_label_with_shell_syntax_is_refused_and_touches_nothing() {
    let chain = Chain::start(Engine::setup().runbook("restart-service.yml", RESTART));
    let marker = chain.host.folder().join("marker");
    let hostile = format!("nginx; touch {}", marker.display());
    chain.alertmanager.send(&json!([{"labels": {"alertname": "ServiceDown", "severity": "critical", "type": "service",
        "service": hostile, "instance": chain.host.metrics_address()}}]));

    let decision = wait_decision(&chain.engine);
    assert_eq!(decision["verdict"], "refused");
    assert!(gate(&decision, "unsafe_value")["message"].as_str().unwrap().contains("SERVICE_NAME"), "{decision:#}");
    assert_eq!(chain.engine.executions(), Vec::<Value>::new());
    assert!(!marker.exists());
    assert_eq!(chain.host.calls(), Vec::<String>::new());
}

#[test]
fn an_instance_that_the_inventory_does_not_know_is_refused() {
    let chain = Chain::start(Engine::setup().runbook("restart-service.yml", RESTART));
    chain.alertmanager.send(&json!([{"labels": {"alertname": "ServiceDown", "severity": "critical", "type": "service",
        "service": "nginx", "instance": "db9.example.org:9100"}}]));

    let decision = wait_decision(&chain.engine);
    assert_eq!(decision["verdict"], "refused");
    gate(&decision, "unknown_target");
    assert_eq!(chain.host.calls(), Vec::<String>::new());
}

#[test]
fn a_changed_host_key_is_refused_before_any_login() {
    let mut chain = Chain::start(Engine::setup().runbook("restart-service.yml", RESTART));
    chain.host.sshd.change_host_key();
    chain.host.break_service("nginx");

    let id = chain.engine.wait_execution("restart-service", LIMIT);
    let execution = wait_for("the run says why", LIMIT, || {
        let execution = chain.engine.execution(&id);
        (!execution["error_message"].is_null()).then_some(execution)
    });
    let message = execution["error_message"].as_str().unwrap();
    assert!(message.contains("host key"), "{message}");
    assert_eq!(chain.host.calls(), Vec::<String>::new());
    let log = chain.host.sshd.log();
    assert!(!log.contains("Accepted publickey") && !log.contains("userauth-request"), "{log}");
}
