//! The client: posts alerts as Alertmanager does, keeps what was answered, and answers what people are asked.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use oorandom::Rand64;
use serde_json::{Value, json};

use crate::support::engine::{ADMIN_TOKEN, ENGINEER_TOKEN, WEBHOOK_TOKEN};
use crate::support::http;

use super::below;
use super::world::{KINDS, SERVERS};

/// One alert that the client made.
#[derive(Clone, Debug)]
pub struct Made {
    pub uid: String,
    pub runbook: &'static str,
    pub server: usize,
    /// Some engine answered 2xx for a body with it.
    pub is_accepted: bool,
}

/// Everything the client knows.
#[derive(Default)]
pub struct History {
    pub made: Mutex<Vec<Made>>,
    /// Executions as they were first seen when final.
    pub finals: Mutex<std::collections::BTreeMap<String, Value>>,
}

impl History {
    /// Posts bodies until `over`, each until somebody accepts it, or the time for that is over.
    pub fn post(&self, random: &mut Rand64, urls: &[String], over: impl Fn() -> bool, patience: Duration) {
        let mut number = 0;
        while !over() {
            let alerts: Vec<Made> = (0..1 + random.rand_range(0..3))
                .map(|_| {
                    number += 1;
                    let kind = below(random, KINDS.len());
                    let server = below(random, SERVERS);
                    Made { uid: format!("u{number}"), runbook: KINDS[kind].0, server, is_accepted: false }
                })
                .collect();
            let body = body(&alerts);
            self.made.lock().unwrap().extend(alerts.iter().cloned());
            let begun = Instant::now();
            let mut is_accepted = false;
            while !is_accepted && begun.elapsed() < patience {
                is_accepted = urls.iter().any(|url| self.offer(url, &body, &alerts));
                std::thread::sleep(Duration::from_millis(20 + random.rand_range(0..80)));
            }
            // Alertmanager repeats what it is not sure of, and what still fires.
            if random.rand_range(0..3) == 0 {
                let url = &urls[below(random, urls.len())];
                self.offer(url, &body, &alerts);
            }
            std::thread::sleep(Duration::from_millis(random.rand_range(0..150)));
        }
    }

    fn offer(&self, url: &str, body: &Value, alerts: &[Made]) -> bool {
        let answer = http::post(&format!("{url}/api/v1/webhooks/main"), Some(WEBHOOK_TOKEN), Some(body));
        let is_accepted = match answer {
            Some(answer) if answer.status == 200 => true,
            Some(answer) => {
                assert_eq!(answer.status, 503, "a webhook that Alertmanager would drop: {}", answer.text);
                false
            }
            None => false,
        };
        if is_accepted {
            for made in self.made.lock().unwrap().iter_mut() {
                made.is_accepted |= alerts.iter().any(|alert| alert.uid == made.uid);
            }
        }
        is_accepted
    }

    /// Looks at the executions once: remembers those that are final, says yes to those that ask. With `is_releasing`,
    /// frees those that wait for a look. Answers how many are not at rest; `None` when nobody answers.
    pub fn attend(&self, url: &str, is_releasing: bool) -> Option<usize> {
        let mut unsettled = 0;
        let mut cursor = String::new();
        loop {
            let page = http::get(&format!("{url}/api/v1/executions?limit=200{cursor}"), Some(ADMIN_TOKEN))?;
            if page.status != 200 {
                return None;
            }
            let page = page.json();
            for execution in page["items"].as_array().unwrap() {
                unsettled += usize::from(!self.tend(url, execution, is_releasing)?);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(unsettled),
            }
        }
    }

    /// Whether an execution is at rest.
    fn tend(&self, url: &str, execution: &Value, is_releasing: bool) -> Option<bool> {
        let id = execution["id"].as_str().unwrap().to_owned();
        let status = execution["status"].as_str().unwrap();
        let is_stuck = execution["rollback"] == "stuck" && execution["released_at"].is_null();
        let act = |act: &str, token: &str, body: Value| {
            http::post(&format!("{url}/api/v1/executions/{id}/{act}"), Some(token), Some(&body))
        };
        let release = || act("release", ADMIN_TOKEN, json!({"reason": "the harness has looked"}));
        match status {
            "pending" => {
                act("approve", ENGINEER_TOKEN, json!({"reason": "go on"}))?;
                Some(false)
            }
            "interrupted" => {
                if is_releasing {
                    release()?;
                }
                Some(false)
            }
            "approved" | "running" => Some(false),
            _ => {
                let mut seen = execution.clone();
                seen.as_object_mut().unwrap().retain(|key, _| !key.starts_with("released"));
                let before = self.finals.lock().unwrap().entry(id.clone()).or_insert_with(|| seen.clone()).clone();
                assert_eq!(before, seen, "a final execution changed");
                if is_stuck && is_releasing {
                    release()?;
                }
                Some(!is_stuck)
            }
        }
    }
}

fn body(alerts: &[Made]) -> Value {
    let alert = |made: &Made| {
        json!({
            "status": "firing", "annotations": {}, "generatorURL": "", "fingerprint": "",
            "labels": {"alertname": made.runbook, "uid": made.uid, "instance": format!("web{}:9100", made.server)},
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        })
    };
    json!({
        "version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{}", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "", "truncatedAlerts": 0,
        "alerts": alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}
