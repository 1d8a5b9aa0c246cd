//! The client: posts alerts as Alertmanager does, keeps what was answered, and answers what people are asked.

use std::sync::Mutex;
use std::time::Duration;

use oorandom::Rand64;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::engine::{ADMIN_TOKEN, ENGINEER_TOKEN, WEBHOOK_TOKEN};
use crate::support::http::{self, Answer};

use super::below;
use super::world::{KINDS, SERVERS};

/// One alert that the client made.
#[derive(Clone, Debug)]
pub struct Made {
    pub uid: String,
    pub runbook: &'static str,
    pub server: usize,
    /// Which firing of it this is, from 1.
    pub firing: u32,
    /// Whether it is over.
    pub is_resolved: bool,
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
    /// Posts bodies until `over`, each until somebody accepts it.
    pub fn post(&self, random: &mut Rand64, urls: &[String], over: impl Fn() -> bool) {
        let mut number = 0;
        // What was accepted and may go on: firing alerts to be resolved, resolved ones to fire again.
        let mut open: Vec<Made> = Vec::new();
        while !over() {
            let alerts: Vec<Made> = if open.len() > 3 && random.rand_range(0..3) == 0 {
                vec![open.swap_remove(below(random, open.len())).next()]
            } else {
                let fresh = (0..1 + random.rand_range(0..3)).map(|_| {
                    number += 1;
                    let kind = below(random, KINDS.len());
                    let (uid, server) = (format!("u{number}"), below(random, SERVERS));
                    Made { uid, runbook: KINDS[kind].0, server, firing: 1, is_resolved: false, is_accepted: false }
                });
                fresh.collect()
            };
            let body = body(&alerts);
            self.made.lock().unwrap().extend(alerts.iter().cloned());
            let mut is_accepted = false;
            while !is_accepted && !over() {
                is_accepted = urls.iter().any(|url| self.offer(url, &body, &alerts));
                std::thread::sleep(Duration::from_millis(20 + random.rand_range(0..80)));
            }
            // Alertmanager repeats what it is not sure of, and what still fires.
            if random.rand_range(0..3) == 0 {
                let url = &urls[below(random, urls.len())];
                self.offer(url, &body, &alerts);
            }
            open.extend(alerts.into_iter().filter(|made| is_accepted && made.firing < 3));
            std::thread::sleep(Duration::from_millis(random.rand_range(0..150)));
        }
    }

    /// How many alerts were accepted.
    pub fn accepted(&self) -> usize {
        self.made.lock().unwrap().iter().filter(|made| made.is_accepted).count()
    }

    fn offer(&self, url: &str, body: &Value, alerts: &[Made]) -> bool {
        let is_accepted = match post(&format!("{url}/api/v1/webhooks/main"), WEBHOOK_TOKEN, body) {
            Some(answer) if answer.status == 200 => true,
            Some(answer) => {
                assert_eq!(answer.status, 503, "a webhook that Alertmanager would drop: {}", answer.text);
                false
            }
            None => false,
        };
        if is_accepted {
            for made in self.made.lock().unwrap().iter_mut() {
                let is_it = |alert: &Made| {
                    (&alert.uid, alert.firing, alert.is_resolved) == (&made.uid, made.firing, made.is_resolved)
                };
                made.is_accepted |= alerts.iter().any(is_it);
            }
        }
        is_accepted
    }

    /// Looks at the executions once: remembers those that are final, says yes to those that ask. With `whims`, cancels one now
    /// and then; without, frees those that wait for a look. Answers how many are not at rest; `None` when nobody answers.
    pub fn attend(&self, url: &str, mut whims: Option<&mut Rand64>) -> Option<usize> {
        let mut unsettled = 0;
        let mut cursor = String::new();
        loop {
            let page = get(&format!("{url}/api/v1/executions?limit=200{cursor}"), ADMIN_TOKEN)?;
            if page.status != 200 {
                return None;
            }
            let page = page.json();
            for execution in page["items"].as_array().unwrap() {
                unsettled += usize::from(!self.tend(url, execution, whims.as_deref_mut())?);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(unsettled),
            }
        }
    }

    /// Whether an execution is at rest.
    fn tend(&self, url: &str, execution: &Value, whims: Option<&mut Rand64>) -> Option<bool> {
        let is_releasing = whims.is_none();
        let id = execution["id"].as_str().unwrap().to_owned();
        let status = execution["status"].as_str().unwrap();
        let is_stuck = execution["rollback"] == "stuck" && execution["released_at"].is_null();
        let act =
            |act: &str, token: &str, body: Value| post(&format!("{url}/api/v1/executions/{id}/{act}"), token, &body);
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
            "approved" | "running" => {
                if whims.is_some_and(|random| random.rand_range(0..60) == 0) {
                    act("cancel", ENGINEER_TOKEN, json!({"reason": "a whim"}))?;
                }
                Some(false)
            }
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

/// How long an engine may take to answer; a stopped one does not.
const PATIENCE: Duration = Duration::from_secs(2);

fn get(url: &str, token: &str) -> Option<Answer> {
    http::send(Method::GET, url, Some(token), None, &[], PATIENCE)
}

fn post(url: &str, token: &str, body: &Value) -> Option<Answer> {
    http::send(Method::POST, url, Some(token), Some(body.to_string()), &[], PATIENCE)
}

impl Made {
    /// What comes after it: its end, or its next firing.
    fn next(self) -> Self {
        let firing = self.firing + u32::from(self.is_resolved);
        Self { firing, is_resolved: !self.is_resolved, is_accepted: false, ..self }
    }
}

fn body(alerts: &[Made]) -> Value {
    let alert = |made: &Made| {
        let (hour, is_over) = (made.firing, made.is_resolved);
        json!({
            "status": if is_over { "resolved" } else { "firing" }, "annotations": {}, "generatorURL": "", "fingerprint": "",
            "labels": {"alertname": made.runbook, "uid": made.uid, "instance": format!("web{}:9100", made.server)},
            "startsAt": format!("2026-01-01T0{hour}:00:00Z"),
            "endsAt": if is_over { format!("2026-01-01T0{hour}:30:00Z") } else { "0001-01-01T00:00:00Z".to_owned() },
        })
    };
    json!({
        "version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{}", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "", "truncatedAlerts": 0,
        "alerts": alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}
