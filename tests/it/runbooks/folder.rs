//! The runbooks that come with Douse: each is read without a complaint and makes a plan for an alert that it is for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use douse::alert::Alert;
use douse::inventory;
use douse::runbook::check::{self, Checked};
use douse::runbook::plan::{PlanReason, PlannedAction, Text, plan_hash};
use douse::trigger::Index;

use super::{alert, plan_for};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks")
}

fn runbooks() -> Vec<Checked> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yml") && name != "servers.yml" && !name.ends_with(".test.yml"))
        .collect();
    names.sort();
    names.iter().map(|name| check::read(name, &std::fs::read_to_string(folder().join(name)).unwrap())).collect()
}

/// For each runbook an alert that must select it, and the label through which a hostile value would come.
fn cases() -> Vec<(&'static str, Alert, &'static str)> {
    let on = |labels: &[(&str, &str)]| alert(&[&[("instance", "web1:9100")], labels].concat());
    vec![
        ("clean-disk", on(&[("alertname", "HostOutOfDiskSpace"), ("mountpoint", "/var")]), "mountpoint"),
        ("flush-mail-queue", on(&[("alertname", "PostfixQueueGrows")]), ""),
        ("reboot-and-wait", on(&[("alertname", "HostRequiresReboot")]), ""),
        (
            "remount-stuck-mount",
            on(&[("alertname", "NfsMountStuck"), ("fstype", "nfs4"), ("mountpoint", "/srv/media")]),
            "mountpoint",
        ),
        ("renew-certificate", on(&[("alertname", "SSLCertExpiringSoon"), ("domain", "www.example.org")]), "domain"),
        (
            "restart-service",
            on(&[("alertname", "ServiceDown"), ("severity", "critical"), ("type", "service"), ("service", "nginx")]),
            "service",
        ),
        ("rotate-logs", on(&[("alertname", "LogGrowsTooFast"), ("logrotate", "nginx")]), "logrotate"),
    ]
}

#[test]
fn each_runbook_is_read_without_a_complaint() {
    let files = runbooks();
    assert!(files.len() >= 7, "only {} runbooks", files.len());
    for file in &files {
        assert_eq!(file.problems, [], "{}", file.file);
        let runbook = file.runbook.as_ref().unwrap();
        assert_eq!(format!("{}.yml", runbook.name), file.file);
        assert!(!runbook.description.is_empty() && !runbook.triggers.is_empty(), "{}", file.file);
    }
    assert_eq!(check::across(&files), []);
}

#[test]
fn each_runbook_makes_a_plan_for_an_alert_that_selects_it() {
    let files = runbooks();
    let loaded: Vec<_> = files.iter().map(|file| file.runbook.as_ref().unwrap()).collect();
    let triggers = loaded.iter().map(|runbook| (runbook.name.as_str(), runbook.triggers.as_slice()));
    let index = Index::new(triggers, chrono_tz::UTC);
    let cases = cases();
    let covered: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        covered,
        loaded.iter().map(|runbook| runbook.name.as_str()).collect::<Vec<_>>(),
        "a case for each runbook"
    );
    for (name, alert, _) in cases {
        let selected = index.select("main", &alert, alert.starts_at);
        assert_eq!(selected.iter().map(|selected| selected.runbook.as_str()).collect::<Vec<_>>(), [name]);
        let runbook = loaded.iter().find(|runbook| runbook.name == name).unwrap();
        let plan = plan_for(runbook, &alert, &BTreeMap::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plan.steps.len(), runbook.steps.len());
        assert_eq!(plan_hash(&plan).unwrap(), plan_hash(&plan.clone()).unwrap());
        let stored = serde_json::to_value(&plan).unwrap();
        assert_eq!(
            serde_json::from_value::<douse::runbook::plan::Plan>(stored).unwrap(),
            plan,
            "{name} survives storing"
        );
    }
}

#[test]
fn each_runbook_refuses_a_hostile_label() {
    let files = runbooks();
    for (name, alert, label) in cases().into_iter().filter(|(.., label)| !label.is_empty()) {
        let runbook =
            files.iter().find_map(|file| file.runbook.as_ref().filter(|runbook| runbook.name == name)).unwrap();
        for hostile in ["nginx; reboot", "$(reboot)", "-rf", "a b", "`reboot`", "a\nreboot", "'", "/mnt/x; reboot"] {
            let mut alert = alert.clone();
            alert.labels.insert(label.to_owned(), hostile.to_owned());
            let error = plan_for(runbook, &alert, &BTreeMap::new()).unwrap_err();
            let wanted = if name == "restart-service" { PlanReason::UnsafeValue } else { PlanReason::ParamRejected };
            assert_eq!(error.reason, wanted, "{name}: {hostile}: {error}");
        }
    }
}

#[test]
fn the_seeds_example_parses_plans_and_is_refused_for_a_hostile_label() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/runbooks/seed-001-section-8.yml");
    let checked = check::read("restart-service.yml", &std::fs::read_to_string(path).unwrap());
    let runbook = checked.runbook.unwrap();
    let of = |service: &str| {
        let labels =
            [("alertname", "ServiceDown"), ("severity", "critical"), ("type", "service"), ("service", service)];
        plan_for(&runbook, &alert(&labels), &BTreeMap::new())
    };
    let plan = of("nginx").unwrap();
    let known = |text: &str| PlannedAction::Command(Text::Known(text.to_owned()));
    let actions: Vec<&PlannedAction> = plan.steps.iter().map(|step| &step.action).collect();
    assert_eq!(
        actions,
        [&known("systemctl status nginx"), &known("sudo systemctl restart nginx"), &known("systemctl is-active nginx"),]
    );
    assert_eq!(plan.steps[1].undo.as_ref().unwrap().action, known("sudo systemctl stop nginx"));
    assert_eq!(plan.environment, [("SERVICE_NAME".to_owned(), Text::Known("nginx".to_owned()))]);
    let error = of("nginx; reboot").unwrap_err();
    assert_eq!((error.reason, error.name.as_str()), (PlanReason::UnsafeValue, "SERVICE_NAME"));
    assert_eq!(error.step.as_deref(), Some("check_service_status"));
    assert!(error.message.contains("';'"), "{error}");
}

#[test]
fn the_runbook_of_the_folder_has_the_seeds_meaning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/runbooks/seed-001-section-8.yml");
    let seed = check::read("seed", &std::fs::read_to_string(path).unwrap()).runbook.unwrap();
    let ours =
        check::read("ours", &std::fs::read_to_string(folder().join("restart-service.yml")).unwrap()).runbook.unwrap();
    let comparable = |mut runbook: douse::runbook::model::Runbook| {
        (runbook.source, runbook.content_hash) = (String::new(), String::new());
        format!("{runbook:?}")
    };
    assert_eq!(comparable(seed), comparable(ours));
}

#[test]
fn the_example_of_servers_is_read() {
    let text = std::fs::read_to_string(folder().join("servers.yml")).unwrap();
    let servers = inventory::file::parse("servers.yml", &folder(), &text).unwrap();
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["web1", "web2", "mail1"]);
    assert_eq!(servers[2].host_keys.len(), 2);
}
