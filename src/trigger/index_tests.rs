//! Tests of `index`.

use super::*;
use crate::alert::{AlertStatus, Labels};
use crate::trigger::TriggerSpec;

fn alert(labels: &[(&str, &str)]) -> Alert {
    let labels: Labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Alert {
        status: AlertStatus::Firing,
        fingerprint: crate::alert::fingerprint::fingerprint(&labels),
        labels,
        annotations: Labels::new(),
        starts_at: "2026-03-02T00:00:00Z".parse().unwrap(),
        ends_at: None,
        generator_url: String::new(),
        annotations_cut: false,
    }
}

fn trigger(name: &str, change: impl FnOnce(&mut TriggerSpec)) -> Trigger {
    let mut spec = TriggerSpec::named(name);
    change(&mut spec);
    Trigger::compile(spec).unwrap()
}

fn selected(runbooks: &[(&str, &[Trigger])], alert: &Alert) -> Vec<String> {
    let index = Index::new(runbooks.iter().copied(), Tz::UTC);
    let at = "2026-03-02T12:00:00Z".parse().unwrap();
    index.select("main", alert, at).iter().map(|entry| format!("{}/{}", entry.runbook, entry.trigger.name())).collect()
}

#[test]
fn the_first_match_wins_by_priority_then_runbook_then_position() {
    let disk = alert(&[("alertname", "DiskFull")]);
    let any = |name: &str, priority: i32| trigger(name, |spec| spec.priority = priority);
    let late = [any("z", 50)];
    let early = [any("second", 100), any("third", 100)];
    assert_eq!(selected(&[("b", &early), ("a", &early), ("c", &late)], &disk), ["c/z"]);
    assert_eq!(selected(&[("b", &early), ("a", &early)], &disk), ["a/second"], "whatever the load order");
}

#[test]
fn continue_lets_the_next_ones_match_too() {
    let disk = alert(&[("alertname", "DiskFull")]);
    let triggers = [
        trigger("first", |spec| spec.continue_matching = true),
        trigger("other", |spec| spec.alert_name_pattern = Some("Other".to_owned())),
        trigger("second", |spec| spec.alert_name_pattern = Some("Disk*".to_owned())),
        trigger("never", |_| {}),
    ];
    assert_eq!(selected(&[("r", &triggers)], &disk), ["r/first", "r/second"]);
}

#[test]
fn every_condition_has_to_hold() {
    let firing = alert(&[
        ("alertname", "ServiceDown"),
        ("severity", "critical"),
        ("instance", "web1:9100"),
        ("job", "node"),
        ("service.name", "nginx"),
    ]);
    type Change = fn(&mut TriggerSpec);
    let yes: &[Change] = &[
        |spec| spec.alert_name_pattern = Some("Service*".into()),
        |spec| spec.severity_pattern = Some("{critical,page}".into()),
        |spec| spec.source_pattern = Some("main".into()),
        |spec| spec.instance_pattern = Some("web?:*".into()),
        |spec| spec.job_pattern = Some("/node|db/".into()),
        |spec| spec.labels_match = [("service.name".into(), "ng*".into())].into(),
        |spec| spec.labels_match = [("absent".into(), "*".into())].into(),
        |spec| spec.labels_match = [("absent".into(), "".into())].into(),
        |spec| spec.annotations_match = [("absent".into(), "".into())].into(),
        |spec| spec.matchers = vec!["severity=~crit.*, job!=db".into(), r#""service.name"="nginx""#.into()],
        |spec| spec.time_window_end = Some("12:01".into()),
    ];
    let no: &[Change] = &[
        |spec| spec.alert_name_pattern = Some("service*".into()),
        |spec| spec.severity_pattern = Some("warning".into()),
        |spec| spec.source_pattern = Some("other".into()),
        |spec| spec.instance_pattern = Some("web1".into()),
        |spec| spec.job_pattern = Some("/nod/".into()),
        |spec| spec.labels_match = [("service.name".into(), "apache".into())].into(),
        |spec| spec.labels_match = [("absent".into(), "?*".into())].into(),
        |spec| spec.annotations_match = [("summary".into(), "*x*".into())].into(),
        |spec| spec.matchers = vec!["severity!~crit.*".into()],
        |spec| spec.status = AlertStatus::Resolved,
        |spec| spec.enabled = false,
        |spec| spec.time_window_end = Some("12:00".into()),
    ];
    for (place, change) in yes.iter().enumerate() {
        assert_eq!(selected(&[("r", &[trigger("t", change)])], &firing), ["r/t"], "yes {place}");
    }
    for (place, change) in no.iter().enumerate() {
        assert!(selected(&[("r", &[trigger("t", change)])], &firing).is_empty(), "no {place}");
    }
}

#[test]
fn an_alert_meets_few_of_many_triggers() {
    type Change = fn(&mut TriggerSpec, usize);
    let shapes: &[Change] = &[
        |spec, n| spec.alert_name_pattern = Some(format!("Alert{n}")),
        |spec, n| spec.alert_name_pattern = Some(format!("Alert{n}x*")),
        |spec, n| spec.alert_name_pattern = Some(format!("*t{n}x*")),
        |spec, n| spec.alert_name_pattern = Some(format!("/.*(Alert|Alarm){n}x.+/")),
        // By its beginnings, although the number alone is one text and these are two.
        |spec, n| spec.alert_name_pattern = Some(format!("/(Alert|Alarm){n}x.+/")),
        |spec, n| {
            spec.alert_name_pattern = Some("Alert*".into());
            spec.matchers = vec![format!("service=s{n}")];
        },
    ];
    for (place, shape) in shapes.iter().enumerate() {
        let triggers: Vec<Trigger> = (0..500).map(|n| trigger(&n.to_string(), |spec| shape(spec, n))).collect();
        let index = Index::new([("r", triggers.as_slice())], Tz::UTC);
        let name = if place == 0 { "Alert499" } else { "Alert499x1" };
        let firing = alert(&[("alertname", name), ("service", "s499")]);
        assert_eq!(index.select("main", &firing, firing.starts_at)[0].trigger.name(), "499", "shape {place}");
        let candidates = index.candidates("main", &firing).len();
        assert!(candidates <= if place == 4 { 1 } else { 5 }, "shape {place}: {candidates}");
    }
}

#[test]
fn a_text_that_repeats_a_needle_a_hundred_thousand_times_is_no_burden() {
    let triggers = [trigger("t", |spec| spec.annotations_match = [("a".into(), "*x*y*".into())].into())];
    let mut firing = alert(&[("alertname", "A")]);
    firing.annotations.insert("a".into(), "x".repeat(60_000));
    let index = Index::new([("r", &triggers[..])], Tz::UTC);
    assert!(index.candidates("main", &firing).len() <= 1);
}
