//! Tests of `explain`.

use super::*;
use crate::alert::{AlertStatus, Labels};
use crate::trigger::TriggerSpec;

fn alert() -> Alert {
    let labels = [("alertname", "DiskFull"), ("severity", "warning"), ("instance", "web1\u{1b}[31m")];
    Alert {
        status: AlertStatus::Firing,
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        annotations: Labels::new(),
        starts_at: "2026-03-02T00:00:00Z".parse().unwrap(),
        ends_at: None,
        generator_url: String::new(),
        fingerprint: "0".repeat(16),
        annotations_cut: false,
    }
}

fn at() -> Timestamp {
    "2026-03-02T23:10:00Z".parse().unwrap()
}

#[test]
fn each_condition_says_what_was_asked_and_what_was_found() {
    let spec = TriggerSpec {
        alert_name_pattern: Some("Disk*".into()),
        severity_pattern: Some("critical".into()),
        source_pattern: Some("lab".into()),
        instance_pattern: Some("web1".into()),
        labels_match: [("service".into(), "nginx".into())].into(),
        matchers: vec![r#"severity!="warning""#.into()],
        time_window_start: Some("09:00".into()),
        time_window_end: Some("17:00".into()),
        time_window_days: vec!["mon-fri".into()],
        timezone: Some("Europe/Berlin".into()),
        ..TriggerSpec::named("t")
    };
    let findings = explain(&Trigger::compile(spec).unwrap(), "main", &alert(), at(), Tz::UTC);
    let lines: Vec<String> =
        findings.iter().map(|found| format!("{} {}: {}", found.matched, found.key, found.message)).collect();
    assert_eq!(
        lines,
        [
            "true status: the alert is firing, the trigger asks for firing",
            "true alert_name_pattern: label `alertname` is `DiskFull`, the trigger asks for `Disk*`",
            "false severity_pattern: label `severity` is `warning`, the trigger asks for `critical`",
            "false source_pattern: the source is `main`, the trigger asks for `lab`",
            "false instance_pattern: label `instance` is `web1\\u{1b}[31m`, the trigger asks for `web1`",
            "false labels_match: the alert has no label `service`, the trigger asks for `nginx`",
            "false matchers: label `severity` is `warning`, the trigger asks for `severity!=\"warning\"`",
            "false time_window: Tue 00:10 Europe/Berlin is outside the window mon-fri 09:00–17:00",
        ]
    );
}

#[test]
fn explanations_agree_with_the_selection_and_name_the_winner() {
    let named = |name: &str, change: fn(&mut TriggerSpec)| {
        let mut spec = TriggerSpec::named(name);
        change(&mut spec);
        Trigger::compile(spec).unwrap()
    };
    let triggers = [
        named("off", |spec| spec.enabled = false),
        named("goes on", |spec| spec.continue_matching = true),
        named("wins", |_| {}),
        named("shadowed", |_| {}),
        named("other", |spec| spec.severity_pattern = Some("critical".into())),
    ];
    let index = Index::new([("r", &triggers[..])], Tz::UTC);
    let explained = explain_all(&index, "main", &alert(), at());
    let standings: Vec<&Standing> = explained.iter().map(|explained| &explained.standing).collect();
    let shadowed = Standing::Shadowed { runbook: "r".to_owned(), trigger: "wins".to_owned() };
    assert_eq!(
        standings,
        [&Standing::NotMatched, &Standing::Selected, &Standing::Selected, &shadowed, &Standing::NotMatched]
    );
    assert_eq!(explained[0].findings[0].message, "the trigger is switched off (`enabled: false`)");
    let selected: Vec<&str> = index.select("main", &alert(), at()).iter().map(|entry| entry.trigger.name()).collect();
    assert_eq!(selected, ["goes on", "wins"]);
}
