//! Figures over what happened: `stats/…`. Each takes `since`; without it, the time that its name is about.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::StatisticsQuery;
use super::{Asked, Error, seen};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::statistics::{self as figures, Pattern};
use crate::id::ExecutionId;
use crate::limits;
use crate::store::statistics::{self, Failed, RunbookFigures, Skips, SuccessRate};
use crate::store::{Db, StoreError};
use crate::web::auth::Person;
use crate::web::error::ApiError;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Figures, and the time since which they are.
#[derive(Serialize, ToSchema, Debug)]
pub struct Since<T> {
    pub since: Timestamp,
    pub items: Vec<T>,
}

/// What the executions of a runbook came to.
#[derive(Serialize, ToSchema, Debug)]
pub struct ExecutionFigures {
    pub runbook: String,
    pub total: i64,
    pub successful: i64,
    /// Failed or timed out.
    pub failed: i64,
    /// Cancelled, rejected or expired.
    pub ended_otherwise: i64,
    pub avg_duration_ms: Option<i64>,
    pub p50_duration_ms: Option<i64>,
    pub p95_duration_ms: Option<i64>,
    pub last_execution: Option<Timestamp>,
}

impl From<RunbookFigures> for ExecutionFigures {
    fn from(row: RunbookFigures) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a run are far below 2^53")]
        let average = row.avg_duration_ms.map(|average| average.round() as i64);
        Self {
            runbook: row.runbook,
            total: row.total,
            successful: row.successful,
            failed: row.failed,
            ended_otherwise: row.ended_otherwise,
            avg_duration_ms: average,
            p50_duration_ms: row.p50_duration_ms,
            p95_duration_ms: row.p95_duration_ms,
            last_execution: row.last_execution,
        }
    }
}

/// How often a runbook worked on a server.
#[derive(Serialize, ToSchema, Debug)]
pub struct RateFigures {
    pub runbook: String,
    pub server: String,
    pub total: i64,
    pub successful: i64,
    /// Two decimals.
    pub success_rate_pct: f64,
}

impl From<SuccessRate> for RateFigures {
    fn from(row: SuccessRate) -> Self {
        // Hundredths of a percent, rounded, in whole numbers.
        let hundredths = (row.successful * 20_000 + row.total) / (2 * row.total.max(1));
        #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
        let success_rate_pct = hundredths as f64 / 100.0;
        let SuccessRate { runbook, server, total, successful } = row;
        Self { runbook, server, total, successful, success_rate_pct }
    }
}

/// Why something did not run.
#[derive(Serialize, ToSchema, Debug)]
pub struct SkipFigures {
    pub reason: String,
    pub count: i64,
    /// Of these, with another execution named that was in the way.
    pub conflicts: i64,
    pub last: Timestamp,
}

impl From<Skips> for SkipFigures {
    fn from(row: Skips) -> Self {
        let Skips { reason, count, conflicts, last } = row;
        Self { reason, count, conflicts, last }
    }
}

/// A run that failed.
#[derive(Serialize, ToSchema, Debug)]
pub struct FailureFigures {
    pub execution_id: ExecutionId,
    pub runbook: String,
    pub server: String,
    pub status: String,
    /// Of the first step that failed.
    pub failure_reason: Option<String>,
    pub failure_message: Option<String>,
    pub completed_at: Timestamp,
}

impl From<Failed> for FailureFigures {
    fn from(row: Failed) -> Self {
        Self {
            execution_id: row.execution_id,
            runbook: row.runbook,
            server: row.server,
            status: row.status,
            failure_reason: row.error_code,
            failure_message: row.error_message,
            completed_at: row.completed_at,
        }
    }
}

/// Failures that are alike.
#[derive(Serialize, ToSchema, Debug)]
pub struct PatternFigures {
    /// The message without numbers, ids, times and hosts.
    pub signature: String,
    pub runbook: String,
    pub count: usize,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub servers: Vec<String>,
    /// The last one.
    pub example_execution_id: ExecutionId,
    pub example_message: String,
}

impl From<Pattern> for PatternFigures {
    fn from(pattern: Pattern) -> Self {
        Self {
            signature: pattern.signature,
            runbook: pattern.runbook,
            count: pattern.count,
            first_seen: pattern.first_seen,
            last_seen: pattern.last_seen,
            servers: pattern.servers.into_iter().collect(),
            example_execution_id: pattern.example,
            example_message: pattern.message,
        }
    }
}

/// From alerts to alerts that went away.
#[derive(Serialize, ToSchema, Debug)]
pub struct Funnel {
    pub since: Timestamp,
    pub alerts: i64,
    pub episodes: i64,
    /// By verdict.
    pub decisions: BTreeMap<String, i64>,
    /// By status.
    pub executions: BTreeMap<String, i64>,
    /// Ended runs, by whether their alerts went away.
    pub verifications: BTreeMap<String, i64>,
    /// From the alert's start to the end of the run that completed; null if there was none.
    pub time_to_remediate: Option<RemediationTimes>,
}

/// Times from alarm to quiet.
#[derive(Serialize, ToSchema, Debug)]
pub struct RemediationTimes {
    pub count: usize,
    pub p50_ms: u64,
    pub p95_ms: u64,
}

/// Everything about one runbook.
#[derive(Serialize, ToSchema, Debug)]
pub struct RunbookStatistics {
    pub since: Timestamp,
    pub executions: ExecutionFigures,
    pub success_rates: Vec<RateFigures>,
    pub skips: Vec<SkipFigures>,
    pub failure_patterns: Vec<PatternFigures>,
    /// Decisions by verdict.
    pub decisions: BTreeMap<String, i64>,
    /// Ended runs, by whether their alerts went away.
    pub verifications: BTreeMap<String, i64>,
    pub time_to_remediate: Option<RemediationTimes>,
}

/// What the executions of each runbook came to (30 days)
#[utoipa::path(tag = "stats", params(StatisticsQuery), responses((status = 200, body = Since<ExecutionFigures>), (status = 422, body = Error)))]
#[get("/api/v1/stats/executions")]
pub async fn executions(
    engine: web::Data<Engine>,
    person: Person,
    query: Asked<StatisticsQuery>,
) -> Result<HttpResponse, ApiError> {
    answer::<_, ExecutionFigures>(&engine, &person, query, 30 * DAY, statistics::by_runbook).await
}

/// How often each runbook worked on each server (30 days)
#[utoipa::path(tag = "stats", params(StatisticsQuery), responses((status = 200, body = Since<RateFigures>), (status = 422, body = Error)))]
#[get("/api/v1/stats/success-rates")]
pub async fn success_rates(
    engine: web::Data<Engine>,
    person: Person,
    query: Asked<StatisticsQuery>,
) -> Result<HttpResponse, ApiError> {
    answer::<_, RateFigures>(&engine, &person, query, 30 * DAY, statistics::success_rates).await
}

/// Why nothing ran: decisions held or refused, executions ended before their start (7 days)
#[utoipa::path(tag = "stats", params(StatisticsQuery), responses((status = 200, body = Since<SkipFigures>), (status = 422, body = Error)))]
#[get("/api/v1/stats/skips")]
pub async fn skips(
    engine: web::Data<Engine>,
    person: Person,
    query: Asked<StatisticsQuery>,
) -> Result<HttpResponse, ApiError> {
    answer::<_, SkipFigures>(&engine, &person, query, 7 * DAY, statistics::skips).await
}

/// What failed, the last one first (24 hours; at most 200)
#[utoipa::path(tag = "stats", params(StatisticsQuery), responses((status = 200, body = Since<FailureFigures>), (status = 422, body = Error)))]
#[get("/api/v1/stats/failures")]
pub async fn failures(
    engine: web::Data<Engine>,
    person: Person,
    query: Asked<StatisticsQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = usize::try_from(limits::PAGE_MAX).unwrap_or(usize::MAX);
    answer::<_, FailureFigures>(&engine, &person, query, DAY, move |db, since, runbook| {
        statistics::failures(db, since, runbook, limit)
    })
    .await
}

/// Failures that are alike, the most frequent first (30 days)
#[utoipa::path(tag = "stats", params(StatisticsQuery), responses((status = 200, body = Since<PatternFigures>), (status = 422, body = Error)))]
#[get("/api/v1/stats/failure-patterns")]
pub async fn failure_patterns(
    engine: web::Data<Engine>,
    person: Person,
    query: Asked<StatisticsQuery>,
) -> Result<HttpResponse, ApiError> {
    answer::<_, PatternFigures>(&engine, &person, query, 30 * DAY, patterns).await
}

/// From alerts to alerts that went away (7 days)
#[utoipa::path(tag = "stats", params(StatisticsQuery), responses((status = 200, body = Funnel), (status = 422, body = Error)))]
#[get("/api/v1/stats/funnel")]
pub async fn funnel(
    engine: web::Data<Engine>,
    person: Person,
    query: Asked<StatisticsQuery>,
) -> Result<HttpResponse, ApiError> {
    let (since, runbook) = asked(&engine, &person, query, 7 * DAY)?;
    let funnel = engine.store.read(move |db| {
        let (alerts, episodes) = statistics::arrivals(db, since)?;
        let runbook = runbook.as_deref();
        Ok(Funnel {
            since,
            alerts,
            episodes,
            decisions: counted(statistics::verdicts(db, since, runbook)?),
            executions: counted(statistics::statuses(db, since, runbook)?),
            verifications: counted(statistics::verifications(db, since, runbook)?),
            time_to_remediate: times(db, since, runbook)?,
        })
    });
    Ok(HttpResponse::Ok().json(funnel.await?))
}

/// Everything about one runbook (30 days)
#[utoipa::path(tag = "runbooks", params(("name" = String, Path), StatisticsQuery),
    responses((status = 200, body = RunbookStatistics), (status = 404, body = Error), (status = 422, body = Error)))]
#[get("/api/v1/runbooks/{name}/stats")]
pub async fn of_runbook(
    engine: web::Data<Engine>,
    name: web::Path<String>,
    person: Person,
    query: Asked<StatisticsQuery>,
) -> Result<HttpResponse, ApiError> {
    let (since, other) = asked(&engine, &person, query, 30 * DAY)?;
    if other.is_some() {
        return Err(ApiError::invalid("invalid_query", "the path names the runbook"));
    }
    let name = name.into_inner();
    let asked = name.clone();
    let found = engine.store.read(move |db| {
        let runbook = Some(asked.as_str());
        let Some(row) = statistics::by_runbook(db, since, runbook)?.into_iter().next() else { return Ok(None) };
        Ok(Some(RunbookStatistics {
            since,
            executions: row.into(),
            success_rates: statistics::success_rates(db, since, runbook)?.into_iter().map(Into::into).collect(),
            skips: statistics::skips(db, since, runbook)?.into_iter().map(Into::into).collect(),
            failure_patterns: patterns(db, since, runbook)?.into_iter().map(Into::into).collect(),
            decisions: counted(statistics::verdicts(db, since, runbook)?),
            verifications: counted(statistics::verifications(db, since, runbook)?),
            time_to_remediate: times(db, since, runbook)?,
        }))
    });
    let found = found.await?.ok_or_else(|| ApiError::not_found(format!("runbook `{name}`")))?;
    Ok(HttpResponse::Ok().json(found))
}

fn patterns(db: &mut Db, since: Timestamp, runbook: Option<&str>) -> Result<Vec<Pattern>, StoreError> {
    Ok(figures::patterns(&statistics::failures(db, since, runbook, limits::PATTERN_FAILURES_MAX)?))
}

fn times(db: &mut Db, since: Timestamp, runbook: Option<&str>) -> Result<Option<RemediationTimes>, StoreError> {
    let times = figures::times(&statistics::remedied(db, since, runbook, limits::REMEDIED_MAX)?);
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(times.map(|times| RemediationTimes { count: times.count, p50_ms: ms(times.median), p95_ms: ms(times.p95) }))
}

fn counted(rows: Vec<statistics::Counted>) -> BTreeMap<String, i64> {
    rows.into_iter().map(|row| (row.word, row.count)).collect()
}

/// The time and the runbook that were asked for.
fn asked(
    engine: &Engine,
    person: &Person,
    query: Asked<StatisticsQuery>,
    back: Duration,
) -> Result<(Timestamp, Option<String>), ApiError> {
    // Sums cannot be narrowed by server.
    seen::unlimited(person, "figures over what all runbooks did")?;
    let query = query.into_inner();
    if query.runbook.as_deref() == Some("") {
        return Err(ApiError::invalid("invalid_query", "`runbook` is empty; leave it out for all"));
    }
    Ok((query.since.unwrap_or_else(|| engine.clock.now().minus(back)), query.runbook))
}

async fn answer<Row, View>(
    engine: &Engine,
    person: &Person,
    query: Asked<StatisticsQuery>,
    back: Duration,
    ask: impl FnOnce(&mut Db, Timestamp, Option<&str>) -> Result<Vec<Row>, StoreError> + Send + 'static,
) -> Result<HttpResponse, ApiError>
where
    Row: Send + 'static,
    View: From<Row> + Serialize,
{
    let (since, runbook) = asked(engine, person, query, back)?;
    let rows = engine.store.read(move |db| ask(db, since, runbook.as_deref())).await?;
    Ok(HttpResponse::Ok().json(Since { since, items: rows.into_iter().map(View::from).collect() }))
}
