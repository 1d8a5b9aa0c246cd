//! What the database says of the story: each claim is read from the tables, not from the API that told it.

use anyhow::Context;
use serde_json::Value;

use super::stage::Stage;
use crate::alert::episode::EpisodeState;
use crate::execution::{Phase, RollbackState, Status, StepStatus};
use crate::gate::Gate;
use crate::id::{DecisionId, EpisodeId, ExecutionId};
use crate::store::executions::ExecutionRow;
use crate::store::steps::StepRow;
use crate::store::{DecisionVerdict, decisions, episodes, executions, steps};

/// The execution completed, each of its `steps` steps with it, and nothing was undone.
pub async fn completed(stage: &Stage, execution: &Value, count: usize) -> anyhow::Result<bool> {
    let (row, steps) = run(stage, execution).await?;
    let all_completed = steps.len() == count && steps.iter().all(|step| step.status == StepStatus::Completed);
    Ok(row.status == Status::Completed && row.rollback == RollbackState::None && all_completed)
}

/// The episode is closed because its sender said so.
pub async fn episode_resolved(stage: &Stage, episode: &str) -> anyhow::Result<bool> {
    let id: EpisodeId = episode.parse()?;
    let row = stage.running.engine.store.read(move |db| episodes::get(db, id)).await?;
    Ok(row.state == EpisodeState::Resolved)
}

/// The execution failed, and exactly these steps were undone, in this order.
pub async fn rolled_back(stage: &Stage, execution: &Value, undone: &[&str]) -> anyhow::Result<bool> {
    let (row, steps) = run(stage, execution).await?;
    let mut undos: Vec<_> = steps.iter().filter(|step| step.phase == Phase::Rollback).collect();
    undos.sort_by_key(|step| step.started_at);
    let in_order = undos.iter().map(|step| step.name.as_str()).eq(undone.iter().copied());
    let all_worked = undos.iter().all(|step| step.status == StepStatus::Completed);
    Ok(row.status == Status::Failed && row.rollback == RollbackState::Done && in_order && all_worked)
}

/// Held by the cooldown among others, with every gate's verdict on record, and nothing was made of it.
pub async fn held_by_cooldown(stage: &Stage, decision: &Value) -> anyhow::Result<bool> {
    let row = decision_row(stage, decision).await?;
    let gates = row.gates_json.0.as_array().cloned().unwrap_or_default();
    let all_asked = Gate::ALL.iter().all(|gate| gates.iter().any(|answer| answer["gate"] == gate.as_str()));
    let by_cooldown = gates.iter().any(|answer| answer["gate"] == "cooldown" && answer["verdict"] == "hold");
    Ok(row.verdict == DecisionVerdict::Held && row.execution_id.is_none() && all_asked && by_cooldown)
}

/// Refused for `reason`, and nothing was made of it.
pub async fn refused(stage: &Stage, decision: &Value, reason: &str) -> anyhow::Result<bool> {
    let row = decision_row(stage, decision).await?;
    let is_reason = row.skip_reason.as_deref() == Some(reason);
    Ok(row.verdict == DecisionVerdict::Refused && row.execution_id.is_none() && is_reason)
}

/// It waits for a person, and no step was begun.
pub async fn pending(stage: &Stage, id: &str) -> anyhow::Result<bool> {
    let id: ExecutionId = id.parse()?;
    let row = stage.running.engine.store.read(move |db| executions::get(db, id)).await?;
    Ok(row.status == Status::Pending && row.started_at.is_none())
}

/// Completed after `person` said yes.
pub async fn approved_by(stage: &Stage, execution: &Value, person: &str) -> anyhow::Result<bool> {
    let (row, _) = run(stage, execution).await?;
    Ok(row.status == Status::Completed && row.approved_by.as_deref() == Some(person) && row.approved_at.is_some())
}

async fn run(stage: &Stage, execution: &Value) -> anyhow::Result<(ExecutionRow, Vec<StepRow>)> {
    let id: ExecutionId = execution["id"].as_str().context("an execution without an id")?.parse()?;
    Ok(stage.running.engine.store.read(move |db| Ok((executions::get(db, id)?, steps::of_execution(db, id)?))).await?)
}

async fn decision_row(stage: &Stage, decision: &Value) -> anyhow::Result<decisions::DecisionRow> {
    let id: DecisionId = decision["id"].as_str().context("a decision without an id")?.parse()?;
    Ok(stage.running.engine.store.read(move |db| decisions::get(db, id)).await?)
}
