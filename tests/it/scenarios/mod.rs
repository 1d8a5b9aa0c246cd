//! The whole engine with real programs around it, end to end.

mod outages;
mod refusals;
mod remediation;
mod storms;

use std::time::Duration;

/// An alert takes a scrape, an evaluation, a group's wait and a login; minutes only on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

/// The seed's runbook in automatic mode, with the guards out of the tests' way.
const RESTART: &str = r#"
name: restart-service
description: Restart a failing service
mode: auto
target_os: linux
timeout_seconds: 60
environment_vars:
  SERVICE_NAME: "{{ alert.labels.service }}"
steps:
  - name: Check service status
    command: systemctl status {{ SERVICE_NAME }}
    expected_exit_codes: [0, 3]
    timeout_seconds: 30
  - name: Restart service
    command: sudo systemctl restart {{ SERVICE_NAME }}
    timeout_seconds: 60
    rollback_command: sudo systemctl stop {{ SERVICE_NAME }}
  - name: Verify service
    command: systemctl is-active {{ SERVICE_NAME }}
    timeout_seconds: 30
triggers:
  - name: Service down alert
    alert_name_pattern: "ServiceDown*"
    severity_pattern: critical
    labels_match: {type: service}
    cooldown_seconds: 300
"#;

/// The same, asking a person first.
fn restart_with_approval() -> String {
    RESTART.replace("mode: auto", "mode: semi_auto\nrequires_approval: true\napproval_roles: [admin, engineer]")
}

/// `name: status` of an execution's steps in their order, undos behind.
fn steps(execution: &serde_json::Value) -> Vec<String> {
    let steps = execution["steps"].as_array().expect("steps");
    let word = |step: &serde_json::Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    steps
        .iter()
        .map(|step| format!("{} {}: {}", word(step, "phase"), word(step, "name"), word(step, "status")))
        .collect()
}
