//! Every captured body three times over HTTP: one episode, one decision, one execution.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ASKS, SERVER, Setup, alert, all, on_both_databases, postgres, webhook};
use crate::alerts::bodies;
use crate::support::engine::{Engine, VIEWER_TOKEN, WEBHOOK_TOKEN};
use crate::support::host::Host;
use crate::support::http;
use crate::support::wait::{wait_for, wait_until};

const LIMIT: Duration = Duration::from_secs(120);

fn post(engine: &Engine, name: &str, body: &[u8]) -> Value {
    let text = std::str::from_utf8(body).unwrap();
    let answer = http::ask("POST", &engine.webhook(), Some(WEBHOOK_TOKEN), Some(text), &[]);
    assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    answer.json()
}

/// How many decisions were made; cheaper to ask again and again than the decisions.
fn decided(engine: &Engine) -> usize {
    let text = http::get(&format!("{}/metrics", engine.url), Some(VIEWER_TOKEN)).expect("an answer").text;
    let counts = text.lines().filter(|line| line.starts_with("douse_decisions_total{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

/// Ids by the episode that they belong to.
fn by_episode(items: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in items {
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        found.entry(text("episode_id")).or_default().push(text("id"));
    }
    found
}

on_both_databases! {
    fn every_captured_body_posted_three_times_is_acted_on_once(setup: Setup) {
        let limits = "limits: {executions_per_hour: 0, blast_radius: {min: 0}}";
        let engine = setup.runbook("ask.yml", ASKS).server(SERVER.to_owned()).config(limits).start();
        let bodies = bodies::all();
        for (name, body) in &bodies {
            post(&engine, name, body);
        }
        let begun = |engine: &Engine| {
            let alerts = all(engine, "alerts");
            alerts.iter().filter(|alert| alert["episode_relation"] == "new").count()
        };
        let episodes = begun(&engine);
        assert!(episodes > 1_000, "{episodes}");
        wait_until("every episode is decided", LIMIT, || decided(&engine), |decided| *decided == episodes);
        let (decisions, executions) = (by_episode(&all(&engine, "decisions")), by_episode(&all(&engine, "executions")));
        assert!(decisions.values().all(|ids| ids.len() == 1), "one trigger selects, or none: one decision");
        assert!(executions.values().all(|ids| ids.len() == 1), "one execution for an episode");
        assert!(executions.len() > 60, "{}", executions.len());

        for _ in 0..2 {
            for (name, body) in &bodies {
                let told = post(&engine, name, body);
                let results = told["alerts"].as_array().unwrap();
                assert!(results.iter().all(|result| result["result"] == "duplicate"), "{name}: {told}");
            }
        }
        // Whatever a repetition had begun would be decided before this one, which comes after it.
        let last = webhook(&[alert("Last")]);
        assert_eq!(engine.deliver(&last).json()["alerts"][0]["result"], "stored");
        wait_until("the last alert is decided", LIMIT, || decided(&engine), |decided| *decided > episodes);
        assert_eq!(begun(&engine), episodes + 1);
        let later = by_episode(&all(&engine, "decisions"));
        assert!(decisions.iter().all(|(episode, ids)| later.get(episode) == Some(ids)) && later.len() == decisions.len() + 1);
        let later = by_episode(&all(&engine, "executions"));
        assert!(executions.iter().all(|(episode, ids)| later.get(episode) == Some(ids)));
        assert!(later.len() <= executions.len() + 1, "{} {}", later.len(), executions.len());
    }

    fn an_alert_that_starts_in_the_future_is_run_once(setup: Setup) {
        let host = Host::start(&["nginx"]);
        let runbook = "name: touch\nmode: auto\ntarget: {from: web1}\nsteps: [{name: Restart, command: systemctl restart nginx}]\n\
             triggers: [{name: all, alert_name_pattern: FutureStart}]\n\
             guard: {require_still_firing: true}\n";
        let engine = setup.runbook("touch.yml", runbook).server(host.sshd.server_yaml("web1")).start();
        let (name, captured) = bodies::all().into_iter().find(|(name, _)| name == "15-amtool-FutureStart.json").unwrap();
        let mut body: Value = serde_json::from_slice(&captured).unwrap();
        let ahead = chrono::Utc::now() + chrono::TimeDelta::hours(2);
        body["alerts"][0]["startsAt"] = json!(ahead.to_rfc3339());
        let sent = body.to_string();
        let results: Vec<Value> = (0..3).map(|_| post(&engine, &name, sent.as_bytes())["alerts"][0].clone()).collect();
        assert_eq!(results[0]["result"], "stored");
        for again in &results[1..] {
            assert_eq!((&again["result"], &again["episode_id"]), (&json!("duplicate"), &results[0]["episode_id"]));
        }
        let id = engine.wait_execution("touch", LIMIT);
        engine.wait_status(&id, "completed", LIMIT);
        post(&engine, &name, sent.as_bytes());
        // Another alert that is decided after it tells that the repetition was seen, and began nothing.
        engine.deliver(&webhook(&[alert("Other")]));
        wait_for("the other alert is decided", LIMIT, || (all(&engine, "decisions").len() == 2).then_some(()));
        assert_eq!((all(&engine, "episodes").len(), engine.executions().len()), (2, 1));
        assert_eq!(host.calls(), ["restart nginx"]);
    }
}
