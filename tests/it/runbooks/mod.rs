//! Tests: runbooks. The files of `runbooks/`, and hostile values through real shells.

mod cli;
mod folder;
mod shells;

use std::collections::BTreeMap;

use douse::alert::{Alert, AlertStatus};
use douse::inventory::{Auth, Protocol, Server};
use douse::runbook::model::{OsType, Runbook};
use douse::runbook::parameters::{self, ParameterSources};
use douse::runbook::plan::{self, Plan, PlanError, PlanInput};
use serde_json::Value;

/// A firing alert with these labels.
pub(crate) fn alert(labels: &[(&str, &str)]) -> Alert {
    Alert {
        status: AlertStatus::Firing,
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        annotations: BTreeMap::new(),
        starts_at: "2026-03-03T10:00:00Z".parse().unwrap(),
        ends_at: None,
        generator_url: String::new(),
        fingerprint: "0123456789abcdef".to_owned(),
        annotations_cut: false,
    }
}

/// A server called `name`.
pub(crate) fn server(name: &str) -> Server {
    Server {
        name: name.to_owned(),
        hostname: "10.0.0.11".to_owned(),
        port: 22,
        username: "douse".to_owned(),
        os_type: OsType::Linux,
        auth: Auth::Agent,
        host_keys: Vec::new(),
        tags: vec!["web".to_owned()],
        group: None,
        environment: None,
        is_paused: false,
        protocol: Protocol::Ssh,
        become_password: None,
        bastion: None,
        via: None,
    }
}

/// The plan of `runbook` for `alert` on a server called `web1`.
pub(crate) fn plan_for(runbook: &Runbook, alert: &Alert, given: &BTreeMap<String, Value>) -> Result<Plan, PlanError> {
    let sources = ParameterSources { alert: Some(alert), given, is_server: &|_| true };
    let parameters = parameters::resolve(runbook, &sources)?;
    let input = PlanInput {
        runbook_version: 1,
        alert: Some(alert),
        group: None,
        server: &server("web1"),
        parameters: &parameters,
        trigger: runbook.triggers.first().map(|trigger| trigger.name()),
    };
    plan::plan(runbook, &input)
}
