//! What it costs to match an alert: 10,000 triggers against 10, for an alert that matches the last one.
//!
//! `cargo bench --bench matching` prints the ratio of each shape of trigger and fails if one is above 3.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark fails by panicking")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use criterion::Criterion;
use douse::alert::fingerprint::fingerprint;
use douse::alert::{Alert, AlertStatus, Labels};
use douse::trigger::{Index, Trigger, TriggerSpec};

/// The target of the project.
const RATIO_MAX: f64 = 3.0;

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

fn name(number: usize, pattern: String) -> TriggerSpec {
    TriggerSpec {
        alert_name_pattern: Some(pattern),
        severity_pattern: Some("critical".to_owned()),
        ..TriggerSpec::named(number.to_string())
    }
}

fn index(count: usize, shape: fn(usize) -> TriggerSpec) -> Index {
    let triggers: Vec<Trigger> = (0..count).map(|n| Trigger::compile(shape(n)).unwrap()).collect();
    Index::new([("runbook", triggers.as_slice())], Tz::UTC)
}

/// An alert as node_exporter's rules make them, that matches trigger `n` alone.
fn alert(n: usize) -> Alert {
    let labels: Labels = [
        ("alertname", format!("Service{n}Down")),
        ("severity", "critical".to_owned()),
        ("instance", "web17.example:9100".to_owned()),
        ("job", "node".to_owned()),
        ("service", format!("svc-{n}")),
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

/// The median time of one selection.
fn measure(index: &Index, alert: &Alert) -> Duration {
    const ROUND: u32 = 200;
    let mut rounds: Vec<Duration> = (0..400)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..ROUND {
                assert_eq!(black_box(index.select("main", black_box(alert), alert.starts_at)).len(), 1);
            }
            started.elapsed() / ROUND
        })
        .collect();
    rounds.sort();
    rounds[rounds.len() / 2]
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().without_plots();
    let mut worst: f64 = 0.0;
    for (shape, spec) in SHAPES {
        let [few, many] = [10, 10_000].map(|count| (index(count, *spec), alert(count - 1)));
        for (count, (index, alert)) in [(10, &few), (10_000, &many)] {
            criterion.bench_function(&format!("{shape}/{count}"), |bencher| {
                bencher.iter(|| black_box(index.select("main", black_box(alert), alert.starts_at)));
            });
        }
        let (ten, ten_thousand) = (measure(&few.0, &few.1), measure(&many.0, &many.1));
        let ratio = ten_thousand.as_secs_f64() / ten.as_secs_f64();
        println!("matching: {shape}: 10 triggers {ten:?}, 10,000 triggers {ten_thousand:?}, ratio {ratio:.2}");
        worst = worst.max(ratio);
    }
    criterion.final_summary();
    println!("matching: worst ratio {worst:.2} (target: at most {RATIO_MAX})");
    if worst > RATIO_MAX {
        panic!("matching against 10,000 triggers costs {worst:.2} times as much as against 10");
    }
}
