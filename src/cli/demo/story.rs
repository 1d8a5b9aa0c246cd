//! The story in five chapters. Each ends with what the database says of it.

use std::fs;

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};

use super::proof;
use super::stage::Stage;
use super::telling::Telling;

/// An alert on one of the demo's hosts, as Alertmanager would send it.
fn alert(name: &str, instance: &str, extra: &[(&str, &str)], starts_at: &str) -> Value {
    let mut labels =
        json!({"alertname": name, "severity": "critical", "instance": format!("{instance}:9100"), "job": "node"});
    for (key, value) in extra {
        labels[*key] = json!(value);
    }
    json!({
        "status": "firing", "labels": labels, "annotations": {"summary": format!("{name} on {instance}")},
        "startsAt": starts_at, "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus.demo/graph",
    })
}

/// The same alert, resolved.
fn resolved(mut alert: Value, ends_at: &str) -> Value {
    alert["status"] = json!("resolved");
    alert["endsAt"] = json!(ends_at);
    alert
}

/// Chapter 1: an alert is matched and fixed, and resolves.
pub async fn fixed(stage: &Stage, tell: &mut Telling, now: impl Fn() -> String) -> anyhow::Result<()> {
    tell.chapter(1, "An alert is put out").await;
    fs::write(stage.host_dir("web1").join("services/nginx"), "failed\n")?;
    tell.line("nginx on web1 has died. Alertmanager posts ServiceDown.").await;
    let firing = alert("ServiceDown", "web1", &[("type", "service"), ("service", "nginx")], &now());
    let (_, episode) = stage.post(&firing).await?;
    let execution = ended(stage, &decision(stage, &episode).await?).await?;
    show_steps(tell, &execution).await;
    let state = fs::read_to_string(stage.host_dir("web1").join("services/nginx"))?;
    tell.prove("nginx runs again on web1", state.trim() == "running").await;
    tell.prove("the execution completed, all three steps", proof::completed(stage, &execution, 3).await?).await;
    stage.post(&resolved(firing, &now())).await?;
    tell.line("Alertmanager posts that it is resolved.").await;
    tell.prove("the episode is closed as resolved", proof::episode_resolved(stage, &episode).await?).await;
    Ok(())
}

/// Chapter 2: a run fails in its second step and is undone in reverse.
pub async fn rolled_back(stage: &Stage, tell: &mut Telling, now: impl Fn() -> String) -> anyhow::Result<()> {
    tell.chapter(2, "A remediation fails, and is rolled back").await;
    tell.line("A queue on web2 is stuck. The runbook stops the intake, then fails half-way through the second step.")
        .await;
    let (_, episode) = stage.post(&alert("QueueStuck", "web2", &[], &now())).await?;
    let execution = ended(stage, &decision(stage, &episode).await?).await?;
    show_steps(tell, &execution).await;
    let undone = ["Move the stuck jobs aside", "Stop the intake"];
    tell.prove(
        "it failed in step 2; the undos ran in reverse order, step 3 never started",
        proof::rolled_back(stage, &execution, &undone).await?,
    )
    .await;
    let host = stage.host_dir("web2");
    let restored =
        host.join("queue/jobs").exists() && fs::read_to_string(host.join("services/intake"))?.trim() == "running";
    tell.prove("web2 is as it was: the jobs are back, the intake runs", restored).await;
    Ok(())
}

/// Chapter 3: the same alert again is held by its cooldown, and `explain` says so.
pub async fn held(stage: &Stage, tell: &mut Telling, now: impl Fn() -> String) -> anyhow::Result<()> {
    tell.chapter(3, "The same alert again: held, and the reasons").await;
    let again = alert("ServiceDown", "web1", &[("type", "service"), ("service", "nginx")], &now());
    let (alert_id, episode) = stage.post(&again).await?;
    let decision = decision(stage, &episode).await?;
    tell.line(format!("douse explain {alert_id}")).await;
    let explained = stage.api(Method::POST, "decisions/explain", Some(json!({ "alert_id": alert_id }))).await?;
    tell.quote(explained["text"].as_str().context("the explanation has no text")?).await;
    tell.prove(
        "held by its cooldown, with every gate's verdict on record",
        proof::held_by_cooldown(stage, &decision).await?,
    )
    .await;
    Ok(())
}

/// Chapter 4: a label with shell syntax is refused.
pub async fn refused(stage: &Stage, tell: &mut Telling, now: impl Fn() -> String) -> anyhow::Result<()> {
    tell.chapter(4, "A hostile label").await;
    let label = "nginx; touch $HOME/owned";
    tell.line(format!("Somebody exposes a metric with the label service=\"{label}\".")).await;
    let hostile = [("type", "service"), ("service", label)];
    let (_, episode) = stage.post(&alert("ServiceDown", "web2", &hostile, &now())).await?;
    let decision = decision(stage, &episode).await?;
    if let Some(gates) = decision["gates"].as_array() {
        for gate in gates.iter().filter(|gate| gate["verdict"] == "refuse") {
            tell.quote(gate["message"].as_str().unwrap_or_default()).await;
        }
    }
    let untouched = !stage.host_dir("web2").join("owned").exists();
    tell.prove(
        "refused as unsafe_value; nothing ran",
        untouched && proof::refused(stage, &decision, "unsafe_value").await?,
    )
    .await;
    Ok(())
}

/// Chapter 5: a run waits for a person, and gets a yes.
pub async fn approved(stage: &Stage, tell: &mut Telling, now: impl Fn() -> String) -> anyhow::Result<()> {
    tell.chapter(5, "One that asks first").await;
    let (_, episode) = stage.post(&alert("PrimaryGone", "web2", &[], &now())).await?;
    let decision = decision(stage, &episode).await?;
    let id = decision["execution_id"].as_str().context("no execution waits for approval")?.to_owned();
    tell.line("promote-replica is `semi_auto`: it waits.").await;
    tell.prove("pending, nothing has run", proof::pending(stage, &id).await?).await;
    tell.line(format!("douse approvals approve {id}")).await;
    stage.api(Method::POST, &format!("executions/{id}/approve"), Some(json!({}))).await?;
    let execution = ended(stage, &decision).await?;
    show_steps(tell, &execution).await;
    tell.prove("approved by `you`, then completed", proof::approved_by(stage, &execution, "you").await?).await;
    Ok(())
}

/// The one decision of an episode, once it is made.
async fn decision(stage: &Stage, episode: &str) -> anyhow::Result<Value> {
    stage
        .wait_for(&format!("decisions?episode={episode}"), "the decision", |answer| {
            answer["items"].as_array().and_then(|items| items.first().cloned())
        })
        .await
}

/// The execution of a decision, once it has ended.
async fn ended(stage: &Stage, decision: &Value) -> anyhow::Result<Value> {
    let id = decision["execution_id"].as_str().with_context(|| format!("nothing was run: {decision}"))?;
    stage
        .wait_for(&format!("executions/{id}"), "the end of the execution", |execution| {
            let status = execution["status"].as_str()?.parse::<crate::execution::Status>().ok()?;
            status.is_final().then(|| execution.clone())
        })
        .await
}

/// Each step and undo with its end.
async fn show_steps(tell: &Telling, execution: &Value) {
    let steps = execution["steps"].as_array().cloned().unwrap_or_default();
    for step in steps {
        let word = if step["phase"] == "rollback" { "undo" } else { "step" };
        let exit = step["exit_code"].as_i64().map_or_else(String::new, |code| format!(", exit {code}"));
        let (name, status) = (step["name"].as_str().unwrap_or("?"), step["status"].as_str().unwrap_or("?"));
        tell.line(format!("{word} {name}: {status}{exit}")).await;
        if status == "failed" {
            tell.quote(step["stderr"].as_str().unwrap_or_default().trim_end()).await;
        }
    }
}
