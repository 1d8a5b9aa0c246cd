//! What it costs to match an alert, by the number of triggers; the limit is ten of them.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use chrono_tz::Tz;
use douse::alert::fingerprint::fingerprint;
use douse::alert::{Alert, AlertStatus, Labels};
use douse::trigger::{Index, Trigger, TriggerSpec};
use serde::Deserialize;

use super::table::{Measure, Table, Target, Unit};

const RULES: &str = include_str!("../../tests/fixtures/alerts.jsonl");
const MANY: usize = 10_000;
const ROUNDS: usize = 301;

/// A rule that people run.
#[derive(Deserialize)]
struct Rule {
    alertname: String,
    severity: Option<String>,
}

type Shape = (&'static str, fn(usize) -> TriggerSpec);

/// Ways in which people tell their triggers apart.
const SHAPES: &[Shape] = &[
    ("name, literal", |n| name(n, format!("Service{n}Down"))),
    ("name, prefix*", |n| name(n, format!("Service{n}D*"))),
    ("name, *middle*", |n| name(n, format!("*ice{n}Do*"))),
    ("name, regex", |n| name(n, format!("/(Service|Host){n}(Down|Gone).*/"))),
    ("same name, label", |n| TriggerSpec {
        labels_match: BTreeMap::from([("service".to_owned(), format!("svc-{n}"))]),
        ..name(n, "Service*Down".to_owned())
    }),
    ("same name, matcher", |n| TriggerSpec {
        matchers: vec![format!("severity=critical, service=\"svc-{n}\"")],
        ..name(n, "*".to_owned())
    }),
];

pub fn measure(table: &mut Table) {
    let rules = RULES.lines().map(|line| serde_json::from_str::<Rule>(line).unwrap());
    // Some of them hold templates, which an alert never does.
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let rules: Vec<Rule> =
        rules.filter(|rule| is_plain(&rule.alertname) && rule.severity.as_deref().is_none_or(is_plain)).collect();
    let realistic = |n: usize| realistic(&rules, n);
    let told = |n: usize| {
        let rule = &rules[n % rules.len()];
        alert(n, &rule.alertname, rule.severity.as_deref().unwrap_or("warning"), n / rules.len())
    };
    let ten = select(&index(10, realistic), &(0..10).map(told).collect::<Vec<_>>());
    for count in [10, 100, 1_000, MANY] {
        let begun = Instant::now();
        let index = index(count, realistic);
        let loaded = begun.elapsed();
        // Spread over all triggers, so that no cache knows the answer.
        let alerts: Vec<Alert> = (0..count.min(997)).map(|n| told(n * 7_919 % count)).collect();
        let cost = select(&index, &alerts);
        let subject = format!("an alert against {count} realistic triggers");
        let target = if count == MANY { Target::Times(1.5) } else { Target::None };
        table.limit(&subject, Unit::Microseconds, target, Measure::value(ten));
        table.douse(&subject, Unit::Microseconds, target, Measure::value(cost));
        if count == MANY {
            let subject = format!("{subject}: absolute");
            table.douse(&subject, Unit::Microseconds, Target::AtMost(5.0), Measure::value(cost));
            let loaded = Measure::value(loaded.as_secs_f64() * 1_000.0);
            table.douse("compiling 10,000 triggers", Unit::Milliseconds, Target::AtMost(500.0), loaded);
        }
    }
    for (shape, spec) in SHAPES {
        let [few, many] = [10, MANY].map(|count| {
            let last = count - 1;
            select(&index(count, spec), &[alert(last, &format!("Service{last}Down"), "critical", 0)])
        });
        let subject = format!("an alert against 10,000 triggers: {shape}");
        table.limit(&subject, Unit::Microseconds, Target::Times(1.5), Measure::value(few));
        table.douse(&subject, Unit::Microseconds, Target::Times(1.5), Measure::value(many));
    }
}

fn name(number: usize, pattern: String) -> TriggerSpec {
    TriggerSpec {
        alert_name_pattern: Some(pattern),
        severity_pattern: Some("critical".to_owned()),
        ..TriggerSpec::named(number.to_string())
    }
}

/// A rule's name for each team; one in twenty is a pattern, a regex, or a matcher.
fn realistic(rules: &[Rule], n: usize) -> TriggerSpec {
    let rule = &rules[n % rules.len()];
    let pattern = match n % 20 {
        17 => format!("{}*", rule.alertname),
        18 => format!("/{}(Soon)?/", rule.alertname),
        _ => rule.alertname.clone(),
    };
    let team = format!("team-{}", n / rules.len());
    let spec = TriggerSpec { severity_pattern: rule.severity.clone(), ..name(n, pattern) };
    match n % 20 {
        19 => TriggerSpec { matchers: vec![format!("team=\"{team}\", cluster=~\"eu-.*\"")], ..spec },
        _ => TriggerSpec { labels_match: BTreeMap::from([("team".to_owned(), team)]), ..spec },
    }
}

fn index(count: usize, spec: impl Fn(usize) -> TriggerSpec) -> Index {
    let triggers: Vec<Trigger> = (0..count).map(|n| Trigger::compile(spec(n)).unwrap()).collect();
    Index::new([("runbook", triggers.as_slice())], Tz::UTC)
}

/// An alert as node_exporter's rules make them.
fn alert(n: usize, name: &str, severity: &str, team: usize) -> Alert {
    let labels: Labels = [
        ("alertname", name.to_owned()),
        ("severity", severity.to_owned()),
        ("instance", "web17.example:9100".to_owned()),
        ("job", "node".to_owned()),
        ("service", format!("svc-{n}")),
        ("team", format!("team-{team}")),
        ("cluster", "eu-1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    Alert {
        status: AlertStatus::Firing,
        fingerprint: fingerprint(&labels),
        labels,
        annotations: [("summary".to_owned(), "a service is down".repeat(8))].into(),
        starts_at: "2026-03-02T00:00:00Z".parse().unwrap(),
        ends_at: None,
        generator_url: String::new(),
        annotations_cut: false,
    }
}

/// The median time of one selection, µs.
fn select(index: &Index, alerts: &[Alert]) -> f64 {
    let each = 200_u32;
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for alert in alerts.iter().cycle().take(200) {
                assert!(!black_box(index.select("main", black_box(alert), alert.starts_at)).is_empty());
            }
            started.elapsed().as_secs_f64() * 1e6 / f64::from(each)
        })
        .collect();
    Measure::times(&mut rounds).value
}
