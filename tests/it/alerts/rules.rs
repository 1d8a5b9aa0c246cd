//! 1,093 alerting rules that projects ship, matched by generated triggers: the index selects what the obvious matcher
//! selects, for every rule and every set of triggers.

use chrono_tz::Tz;
use douse::alert::{Alert, AlertStatus, Labels, fingerprint::fingerprint};
use douse::trigger::{Index, Trigger, TriggerSpec};
use proptest::prelude::*;
use proptest::sample::{Index as Pick, select};

use super::naive;
use crate::support::read_fixture;

const SOURCES: [&str; 2] = ["main", "lab"];

/// An alert as each rule would fire it.
fn alerts() -> Vec<Alert> {
    let lines = read_fixture("alerts.jsonl");
    let alerts: Vec<Alert> = lines.lines().enumerate().map(|(number, line)| alert(number, line)).collect();
    assert_eq!(alerts.len(), 1_093);
    alerts
}

fn alert(number: usize, line: &str) -> Alert {
    let rule: serde_json::Value = serde_json::from_str(line).unwrap();
    let texts = |field: &str| -> Labels {
        let map = rule[field].as_object().unwrap();
        map.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    };
    let mut labels = texts("labels");
    labels.insert("alertname".to_owned(), rule["alertname"].as_str().unwrap().to_owned());
    // What the expression would add; some rules go without.
    if !number.is_multiple_of(3) {
        labels.insert("instance".to_owned(), format!("host{}.example:9100", number % 40));
        labels.insert("job".to_owned(), ["node", "db", "blackbox"][number % 5 % 3].to_owned());
    }
    Alert {
        status: if number % 10 == 9 { AlertStatus::Resolved } else { AlertStatus::Firing },
        fingerprint: fingerprint(&labels),
        labels,
        annotations: texts("annotations"),
        starts_at: "2026-03-02T00:00:00Z".parse().unwrap(),
        ends_at: None,
        generator_url: String::new(),
        annotations_cut: false,
    }
}

/// A pattern that has something to do with `text`.
fn pattern_for(text: String) -> impl Strategy<Value = String> {
    let length = text.chars().count();
    (0..11_u8, 0..=length, 0..=length).prop_map(move |(shape, a, b)| {
        let (a, b) = (a.min(b), a.max(b));
        let cut = |from: usize, to: usize| text.chars().skip(from).take(to - from).collect::<String>();
        let glob = |text: String| -> String {
            text.chars().flat_map(|c| "*?[]{}\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
        };
        let escape = |text: String| regex::escape(&text).replace('/', "\\/").replace('"', "\\x22");
        match shape {
            0 | 1 => glob(text.clone()),
            2 => format!("{}*", glob(cut(0, b))),
            3 => format!("*{}", glob(cut(a, length))),
            4 => format!("*{}*", glob(cut(a, b))),
            5 => format!("{}*{}", glob(cut(0, a)), glob(cut(b, length))),
            6 if a < length => format!("{}?{}", glob(cut(0, a)), glob(cut(a + 1, length))),
            7 if a < length => format!("{}[!0-9]{}", glob(cut(0, a)), glob(cut(a + 1, length))),
            8 if !text.contains([',', '{', '}', '\\']) => format!("{{{},Other}}*", cut(0, b)),
            9 => format!("/{}.*|Other/", escape(cut(0, b))),
            10 => format!("/.*({}|Other).+/", escape(cut(a, b))),
            _ => "*".to_owned(),
        }
    })
}

/// A trigger made from one of the alerts, so that it matches some of them.
fn trigger(alerts: &'static [Alert]) -> impl Strategy<Value = TriggerSpec> {
    (any::<Pick>(), any::<u16>(), select(vec![0, 50, 100, 100, 200])).prop_flat_map(move |(pick, keys, priority)| {
        let alert = pick.get(alerts);
        let text = |name: &str| pattern_for(alert.label(name).to_owned());
        let patterns = (text("alertname"), text("severity"), text("instance"), text("job"));
        let annotation = alert
            .annotations
            .iter()
            .next()
            .map_or(("none".to_owned(), String::new()), |(name, value)| (name.clone(), value.clone()));
        let annotation = pattern_for(annotation.1).prop_map(move |pattern| (annotation.0.clone(), pattern));
        let severity = alert.severity().to_owned();
        let rest = (annotation, select(&SOURCES), select(vec!["=", "!=", "=~", "!~"]));
        (patterns, rest).prop_map(move |((name, level, instance, job), (annotation, source, operator))| {
            let has = |bit: u32| keys >> bit & 1 == 1;
            let rarely = |bit: u32| has(bit) && has(bit + 1);
            let mut spec = TriggerSpec::named("t");
            spec.priority = priority;
            spec.alert_name_pattern = (has(0) || has(1)).then_some(name);
            spec.severity_pattern = has(2).then(|| level.clone());
            spec.instance_pattern = rarely(3).then_some(instance);
            spec.job_pattern = rarely(5).then_some(job);
            spec.source_pattern = rarely(6).then(|| source.to_owned());
            if rarely(7) {
                spec.annotations_match.insert(annotation.0, annotation.1);
            }
            if rarely(8) {
                spec.labels_match.insert("severity".to_owned(), level);
            }
            if rarely(9) {
                spec.matchers = vec![format!("severity{operator}\"{severity}\"")];
            }
            spec.status = if rarely(10) { AlertStatus::Resolved } else { AlertStatus::Firing };
            spec.enabled = !rarely(11);
            spec.continue_matching = has(13);
            spec
        })
    })
}

#[test]
fn the_index_selects_what_the_obvious_matcher_selects() {
    let alerts: &'static [Alert] = Box::leak(alerts().into_boxed_slice());
    let selections = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(12));
    let sets = prop::collection::vec((0..5_usize, trigger(alerts)), 1..60);
    runner
        .run(&sets, |set| {
            let mut runbooks: Vec<(String, Vec<Trigger>)> =
                (0..5).map(|number| (format!("runbook-{number}"), Vec::new())).collect();
            let mut written = Vec::new();
            for (number, (runbook, mut spec)) in set.into_iter().enumerate() {
                spec.name = number.to_string();
                let (name, triggers) = &mut runbooks[runbook];
                written.push((name.clone(), triggers.len(), spec.clone()));
                triggers.push(Trigger::compile(spec).map_err(|errors| TestCaseError::fail(format!("{errors:?}")))?);
            }
            let index =
                Index::new(runbooks.iter().map(|(name, triggers)| (name.as_str(), triggers.as_slice())), Tz::UTC);
            for (number, alert) in alerts.iter().enumerate() {
                let source = SOURCES[number % 2];
                let expected: Vec<String> = naive::select(&written, source, alert)
                    .into_iter()
                    .map(|place| written[place].2.name.clone())
                    .collect();
                let found: Vec<String> = index
                    .select(source, alert, alert.starts_at)
                    .iter()
                    .map(|entry| entry.trigger.name().to_owned())
                    .collect();
                selections.set(selections.get() + found.len());
                prop_assert_eq!(&found, &expected, "{:?}", alert.labels);
            }
            Ok(())
        })
        .unwrap();
    let selections = selections.get();
    assert!(selections > 1_000, "the generated triggers select too little to tell anything: {selections}");
}

/// A trigger for each rule's exact name and severity finds that rule's alert, whatever characters the name holds.
#[test]
fn a_trigger_per_rule_selects_its_own_alert() {
    let alerts = alerts();
    let triggers: Vec<Trigger> = alerts
        .iter()
        .enumerate()
        .map(|(number, alert)| {
            let mut spec = TriggerSpec::named(number.to_string());
            spec.alert_name_pattern = Some(alert.name().to_owned());
            spec.severity_pattern = Some(alert.severity().to_owned());
            spec.status = alert.status;
            Trigger::compile(spec).unwrap()
        })
        .collect();
    let index = Index::new([("all", triggers.as_slice())], Tz::UTC);
    for alert in &alerts {
        let selected = index.select("main", alert, alert.starts_at);
        let found = &alerts[selected[0].trigger.name().parse::<usize>().unwrap()];
        let key = |alert: &Alert| (alert.name().to_owned(), alert.severity().to_owned(), alert.status);
        assert_eq!(key(found), key(alert));
    }
}
