//! Tests of `wire`.

use serde_json::json;

use super::*;
use crate::alert::AlertStatus;
use crate::limits::{ALERT_LABELS_MAX, LABEL_BYTES_MAX};

fn body(alerts: Value) -> Value {
    json!({
        "version": "4", "status": "firing", "receiver": "ops", "groupKey": "{}:{}", "truncatedAlerts": 0,
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am", "alerts": alerts,
    })
}

fn good() -> Value {
    json!({
        "status": "firing", "labels": {"alertname": "A"}, "annotations": {"summary": "s"},
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://p",
        "fingerprint": "0123456789abcdef",
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut alert = good();
    alert[field] = value;
    alert
}

fn without(field: &str) -> Value {
    let mut alert = good();
    alert.as_object_mut().unwrap().remove(field);
    alert
}

fn read(body: &Value) -> Result<Delivery, WireError> {
    parse(body.to_string().as_bytes())
}

fn one(alert: Value) -> Result<Alert, String> {
    match read(&body(json!([alert]))).unwrap().entries.remove(0) {
        Entry::Alert { alert, .. } => Ok(*alert),
        Entry::Quarantined { reason, .. } => Err(reason),
    }
}

#[test]
fn an_alert_is_read_in_full() {
    let alert = one(good()).unwrap();
    assert_eq!(alert.status, AlertStatus::Firing);
    assert_eq!((alert.name(), alert.annotations["summary"].as_str()), ("A", "s"));
    assert_eq!(alert.starts_at, "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!((alert.ends_at, alert.fingerprint.as_str()), (None, "0123456789abcdef"));
    assert_eq!(alert.generator_url, "http://p");
}

#[test]
fn unknown_fields_are_kept_in_the_raw_alert_and_change_nothing() {
    let mut sent = body(json!([with("values", json!({"B": null, "A": 1.5}))]));
    sent["notification_reason"] = json!("repeat interval elapsed");
    sent["routeLabels"] = json!({"team": "db"});
    let delivery = read(&sent).unwrap();
    let Entry::Alert { raw, .. } = &delivery.entries[0] else { panic!("{delivery:?}") };
    assert_eq!(raw["values"], json!({"B": null, "A": 1.5}));
}

#[test]
fn both_versions_are_told_apart() {
    let mut sent = body(json!([good()]));
    assert_eq!(read(&sent).unwrap().format, Format::AlertmanagerV4);
    sent["version"] = json!("1");
    assert_eq!(read(&sent).unwrap().format, Format::GrafanaV1);
}

#[test]
fn what_old_senders_leave_out_is_empty() {
    let delivery = read(&json!({"version": "4", "alerts": [], "groupKey": null})).unwrap();
    assert_eq!((delivery.truncated_alerts, delivery.group_key.as_str(), delivery.entries.len()), (0, "", 0));
}

#[test]
fn what_is_not_json_says_so() {
    for text in ["", "hello", "{", "{\"version\":\"4\"} x", "\u{1}"] {
        assert!(matches!(parse(text.as_bytes()), Err(WireError::NotJson(_))), "{text}");
    }
}

#[test]
fn a_wrong_shape_names_the_field() {
    let change = |field: &str, value: Value| {
        let mut sent = body(json!([good()]));
        sent[field] = value;
        sent
    };
    for (sent, expected) in [
        (json!([]), "version"),
        (json!("text"), "version"),
        (json!(7), "version"),
        (json!({}), "version"),
        (change("version", json!("3")), "version"),
        (change("version", json!(4)), "version"),
        (change("version", json!(null)), "version"),
        (json!({"version": "4"}), "alerts"),
        (change("alerts", json!({"a": [1]})), "alerts"),
        (change("alerts", json!("none")), "alerts"),
        (change("alerts", json!(null)), "alerts"),
        (change("receiver", json!(1)), "receiver"),
        (change("groupLabels", json!([])), "groupLabels"),
        (change("truncatedAlerts", json!(-1)), "truncatedAlerts"),
    ] {
        match read(&sent) {
            Err(WireError::WrongShape { field, .. }) => assert_eq!(field, expected, "{sent}"),
            other => panic!("{sent}: {other:?}"),
        }
    }
}

#[test]
fn ten_thousand_alerts_are_taken_and_one_more_is_not() {
    let many = |count: usize| body(Value::Array(vec![json!(1); count]));
    assert_eq!(read(&many(WEBHOOK_ALERTS_MAX)).unwrap().entries.len(), WEBHOOK_ALERTS_MAX);
    let count = WEBHOOK_ALERTS_MAX + 1;
    assert_eq!(read(&many(count)), Err(WireError::TooManyAlerts { count }));
}

#[test]
fn a_bad_alert_is_kept_aside_with_its_reason() {
    let labels = |count: usize| (0..count).map(|n| (format!("l{n}"), json!("v"))).collect::<Map<_, _>>();
    let long = "x".repeat(LABEL_BYTES_MAX + 1);
    for (alert, words) in [
        (json!(1), "is a number, not an object"),
        (json!(null), "is null, not an object"),
        (without("status"), "`status` is missing"),
        (with("status", json!("burning")), "\"burning\", not firing or resolved"),
        (without("labels"), "`labels` is missing"),
        (with("labels", json!({})), "names nothing"),
        (with("labels", json!(["a"])), "`labels` is a list"),
        (with("labels", json!({"alertname": "A", "n": 1})), "label `n` is a number, not a text"),
        (with("labels", json!({"alertname": null})), "label `alertname` is null"),
        (with("labels", json!(labels(ALERT_LABELS_MAX + 1))), "513 labels, at most 512"),
        (with("labels", json!({"a": long})), "the value of label `a` has 16385 bytes"),
        (with("labels", json!({long.as_str(): "a"})), "the name of label `xxx"),
        (with("annotations", json!("text")), "`annotations` is a text"),
        (without("startsAt"), "`startsAt` is missing"),
        (with("startsAt", json!("yesterday")), "`startsAt` is \"yesterday\""),
        (with("startsAt", json!(1_700_000_000)), "`startsAt` is a number"),
        (with("fingerprint", json!(12)), "`fingerprint`"),
        (with("fingerprint", json!("a\u{0}b")), "`fingerprint`"),
    ] {
        let reason = one(alert.clone()).unwrap_err();
        assert!(reason.contains(words), "{words}: {reason}");
    }
    assert!(one(with("labels", json!(labels(ALERT_LABELS_MAX)))).is_ok());
    assert!(one(with("labels", json!({"a": "x".repeat(LABEL_BYTES_MAX)}))).is_ok());
}

#[test]
fn the_neighbours_of_a_bad_alert_are_kept() {
    let mut alerts = vec![good(); 100];
    alerts[42] = with("labels", json!({"alertname": 42}));
    let delivery = read(&body(json!(alerts))).unwrap();
    for (place, entry) in delivery.entries.iter().enumerate() {
        match entry {
            Entry::Alert { .. } => assert_ne!(place, 42),
            Entry::Quarantined { position, raw, fingerprint, .. } => {
                assert_eq!((place, *position), (42, 42));
                assert_eq!(raw["labels"]["alertname"], 42);
                assert_eq!(fingerprint.as_deref(), Some("0123456789abcdef"));
            }
        }
    }
}

#[test]
fn a_missing_fingerprint_is_computed() {
    for alert in [without("fingerprint"), with("fingerprint", json!("")), with("fingerprint", json!(null))] {
        let labels = json!({"alertname": "FutureStart"});
        let mut alert = alert;
        alert["labels"] = labels;
        assert_eq!(one(alert).unwrap().fingerprint, "3ae10dec5e477379");
    }
}

#[test]
fn times_have_zones_and_nanoseconds_and_a_year_1() {
    for (sent, expected) in [
        ("2024-02-29T23:59:59.123456789+05:30", "2024-02-29T18:29:59.123456Z"),
        ("2023-06-30T23:59:60Z", "2023-07-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
    ] {
        assert_eq!(one(with("startsAt", json!(sent))).unwrap().starts_at.to_string(), expected);
    }
    let resolved = |end: Value| {
        let mut alert = with("status", json!("resolved"));
        alert["endsAt"] = end;
        one(alert).unwrap().ends_at
    };
    assert_eq!(resolved(json!("2026-01-01T00:05:00Z")), Some("2026-01-01T00:05:00Z".parse().unwrap()));
    for none in [json!("0001-01-01T00:00:00Z"), json!(null)] {
        assert_eq!(resolved(none), None);
    }
    assert_eq!(one(with("endsAt", json!("2026-01-01T00:05:00Z"))).unwrap().ends_at, None, "a firing alert has no end");
}

#[test]
fn nul_becomes_the_replacement_character_and_the_fingerprint_stays_the_senders() {
    let sent = json!({"alertname": "A\u{0}B", "x\u{0}": "y"});
    let mut alert = without("fingerprint");
    alert["labels"] = sent;
    alert["annotations"] = json!({"a": "\u{0}"});
    let alert = one(alert).unwrap();
    assert_eq!(
        (alert.name(), alert.label("x\u{fffd}"), alert.annotations["a"].as_str()),
        ("A\u{fffd}B", "y", "\u{fffd}")
    );
    let raw: Labels = [("alertname", "A\0B"), ("x\0", "y")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(alert.fingerprint, crate::alert::fingerprint::fingerprint(&raw));
}

#[test]
fn annotations_are_cut_between_characters_and_flagged() {
    let long = "é".repeat(ANNOTATION_BYTES_MAX);
    let alert = one(with("annotations", json!({"a": long, "b": 1.5, "c": null}))).unwrap();
    assert!(alert.annotations_cut);
    assert_eq!(alert.annotations["a"].len(), ANNOTATION_BYTES_MAX);
    assert_eq!((alert.annotations["b"].as_str(), alert.annotations["c"].as_str()), ("1.5", ""));
    assert!(!one(good()).unwrap().annotations_cut);
}

#[test]
fn bytes_that_are_not_text_become_replacement_characters() {
    let mut sent = body(json!([good()])).to_string().into_bytes();
    let at = sent.windows(3).position(|window| window == b"\"s\"").unwrap() + 1;
    sent[at] = 0xff;
    let delivery = parse(&sent).unwrap();
    let Entry::Alert { alert, .. } = &delivery.entries[0] else { panic!("{delivery:?}") };
    assert_eq!(alert.annotations["summary"], "\u{fffd}");
    let marked = [b"\xef\xbb\xbf", body(json!([])).to_string().as_bytes()].concat();
    assert!(parse(&marked).is_ok(), "a byte order mark is skipped");
}

#[test]
fn the_api_lists_what_fires_and_when_it_was_last_told() {
    let listed = json!([
        {
            "labels": {"alertname": "A"}, "annotations": {}, "fingerprint": "0123456789abcdef", "generatorURL": "",
            "receivers": [{"name": "ops"}], "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:09:00Z",
            "updatedAt": "2026-01-01T00:05:00Z", "status": {"state": "suppressed", "inhibitedBy": [], "silencedBy": ["x"]},
        },
        {"labels": {}},
    ]);
    let delivery = parse_api(listed.to_string().as_bytes()).unwrap();
    let [Entry::Alert { alert, seen_at, .. }, Entry::Quarantined { .. }] = delivery.entries.as_slice() else {
        panic!("{delivery:?}")
    };
    assert_eq!((alert.status, alert.ends_at), (AlertStatus::Firing, None));
    assert_eq!(*seen_at, Some("2026-01-01T00:05:00Z".parse().unwrap()));
    assert!(matches!(parse_api(b"{}"), Err(WireError::WrongShape { field: "alerts", .. })));
    assert!(matches!(parse_api(b"<html>"), Err(WireError::NotJson(_))));
}
