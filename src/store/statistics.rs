//! Figures over what happened: counts, rates, durations. Each asks for a time, and groups in the database.

use diesel::prelude::*;
use diesel::sql_types::{Double, Nullable, Text};

use super::types::sql::{BigInt, SqlId, SqlTs};
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::execution::{Origin, Status};
use crate::id::ExecutionId;
use crate::store::DecisionVerdict;

/// What the executions of a runbook came to.
#[derive(QueryableByName, Clone, PartialEq, Debug)]
pub struct RunbookFigures {
    #[diesel(sql_type = Text)]
    pub runbook: String,
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    #[diesel(sql_type = BigInt)]
    pub successful: i64,
    #[diesel(sql_type = BigInt)]
    pub failed: i64,
    /// Cancelled, rejected or expired.
    #[diesel(sql_type = BigInt)]
    pub ended_otherwise: i64,
    #[diesel(sql_type = Nullable<Double>)]
    pub avg_duration_ms: Option<f64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub p50_duration_ms: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub p95_duration_ms: Option<i64>,
    #[diesel(sql_type = Nullable<SqlTs>)]
    pub last_execution: Option<Timestamp>,
}

/// How often a runbook worked on a server.
#[derive(QueryableByName, Clone, PartialEq, Eq, Debug)]
pub struct SuccessRate {
    #[diesel(sql_type = Text)]
    pub runbook: String,
    #[diesel(sql_type = Text)]
    pub server: String,
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    #[diesel(sql_type = BigInt)]
    pub successful: i64,
}

/// Why something did not run.
#[derive(QueryableByName, Clone, PartialEq, Eq, Debug)]
pub struct Skips {
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
    /// Of these, with another execution named that was in the way.
    #[diesel(sql_type = BigInt)]
    pub conflicts: i64,
    #[diesel(sql_type = SqlTs)]
    pub last: Timestamp,
}

/// A run that failed.
#[derive(QueryableByName, Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    #[diesel(sql_type = SqlId)]
    pub execution_id: ExecutionId,
    #[diesel(sql_type = Text)]
    pub runbook: String,
    #[diesel(sql_type = Text)]
    pub server: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_message: Option<String>,
    #[diesel(sql_type = SqlTs)]
    pub completed_at: Timestamp,
}

/// A word and how often it stands.
#[derive(QueryableByName, Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    #[diesel(sql_type = Text)]
    pub word: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// A run that put its alert out: when that began, and when it ended.
#[derive(QueryableByName, Clone, PartialEq, Eq, Debug)]
pub struct Remedied {
    #[diesel(sql_type = SqlTs)]
    pub began: Timestamp,
    #[diesel(sql_type = SqlTs)]
    pub ended: Timestamp,
}

/// Statuses as SQL's list.
fn words(statuses: &[Status]) -> String {
    statuses.iter().map(|status| format!("'{status}'")).collect::<Vec<_>>().join(", ")
}

const FAILED: &[Status] = &[Status::Failed, Status::Timeout];
const RAN: &[Status] = &[Status::Completed, Status::Failed, Status::Timeout];
const ENDED_OTHERWISE: &[Status] = &[Status::Cancelled, Status::Rejected, Status::Expired];

/// The condition that leaves one runbook, if one is asked for. Names are bound, never written into the text.
const OF_RUNBOOK: &str = "($2 = '' OR runbook = $2)";

macro_rules! ask {
    ($db:expr, $sql:expr, $since:expr, $runbook:expr) => {{
        let sql: String = $sql;
        let runbook: &str = $runbook.unwrap_or_default();
        each_backend!($db, c => diesel::sql_query(&sql)
            .bind::<SqlTs, _>($since)
            .bind::<Text, _>(runbook)
            .load(c))?
    }};
}

/// What became of the executions made since then, by runbook; a runbook without any stands with zeros.
pub fn by_runbook(db: &mut Db, since: Timestamp, runbook: Option<&str>) -> Result<Vec<RunbookFigures>, StoreError> {
    let sql = format!(
        "WITH made AS (SELECT * FROM executions WHERE created_at >= $1 AND {OF_RUNBOOK}), \
         ranked AS (SELECT runbook, duration_ms, ROW_NUMBER() OVER (PARTITION BY runbook ORDER BY duration_ms) AS place, \
          COUNT(*) OVER (PARTITION BY runbook) AS places FROM made WHERE duration_ms IS NOT NULL AND status IN ({ran})), \
         known AS (SELECT name FROM runbooks WHERE $2 = '' OR name = $2) \
         SELECT known.name AS runbook, COUNT(e.id) AS total, \
         COUNT(CASE WHEN e.status = '{completed}' THEN 1 END) AS successful, \
         COUNT(CASE WHEN e.status IN ({failed}) THEN 1 END) AS failed, \
         COUNT(CASE WHEN e.status IN ({otherwise}) THEN 1 END) AS ended_otherwise, \
         CAST(AVG(CASE WHEN e.status IN ({ran}) THEN e.duration_ms END) AS double precision) AS avg_duration_ms, \
         (SELECT MIN(duration_ms) FROM ranked WHERE ranked.runbook = known.name AND place * 100 >= places * 50) AS p50_duration_ms, \
         (SELECT MIN(duration_ms) FROM ranked WHERE ranked.runbook = known.name AND place * 100 >= places * 95) AS p95_duration_ms, \
         MAX(e.started_at) AS last_execution \
         FROM known LEFT JOIN made e ON e.runbook = known.name GROUP BY known.name ORDER BY known.name",
        ran = words(RAN),
        completed = Status::Completed,
        failed = words(FAILED),
        otherwise = words(ENDED_OTHERWISE),
    );
    Ok(ask!(db, sql, since, runbook))
}

/// How often each runbook worked on each server since then.
pub fn success_rates(db: &mut Db, since: Timestamp, runbook: Option<&str>) -> Result<Vec<SuccessRate>, StoreError> {
    let sql = format!(
        "SELECT runbook, server, COUNT(*) AS total, COUNT(CASE WHEN status = '{}' THEN 1 END) AS successful FROM executions \
         WHERE completed_at >= $1 AND {OF_RUNBOOK} AND status IN ({}) GROUP BY runbook, server \
         ORDER BY total DESC, runbook, server",
        Status::Completed,
        words(RAN),
    );
    Ok(ask!(db, sql, since, runbook))
}

/// Why decisions and executions made since then did not lead to a run, the most frequent first.
pub fn skips(db: &mut Db, since: Timestamp, runbook: Option<&str>) -> Result<Vec<Skips>, StoreError> {
    let verdicts =
        [DecisionVerdict::Held, DecisionVerdict::Refused, DecisionVerdict::Observed, DecisionVerdict::Withdrawn]
            .map(|verdict| format!("'{verdict}'"))
            .join(", ");
    let sql = format!(
        "SELECT reason, COUNT(*) AS count, COUNT(conflict) AS conflicts, MAX(at) AS last FROM ( \
         SELECT COALESCE(skip_reason, hold_reason) AS reason, conflicting_execution_id AS conflict, created_at AS at \
         FROM decisions WHERE created_at >= $1 AND {OF_RUNBOOK} AND verdict IN ({verdicts}) \
         UNION ALL SELECT e.skip_reason, d.conflicting_execution_id, e.created_at FROM executions e \
         JOIN execution_details d ON d.execution_id = e.id \
         WHERE e.created_at >= $1 AND {OF_RUNBOOK} AND e.started_at IS NULL AND e.status IN ({})) AS skipped \
         WHERE reason IS NOT NULL GROUP BY reason ORDER BY count DESC, reason",
        words(ENDED_OTHERWISE),
    );
    Ok(ask!(db, sql, since, runbook))
}

/// The runs that failed since then, the last one first, at most `limit`.
pub fn failures(db: &mut Db, since: Timestamp, runbook: Option<&str>, limit: usize) -> Result<Vec<Failed>, StoreError> {
    let sql = format!(
        "SELECT id AS execution_id, runbook, server, status, error_message, completed_at, \
         (SELECT s.error_code FROM steps s WHERE s.execution_id = executions.id AND s.error_code IS NOT NULL \
          ORDER BY s.step_order LIMIT 1) AS error_code \
         FROM executions WHERE completed_at >= $1 AND {OF_RUNBOOK} AND status IN ({}) \
         ORDER BY completed_at DESC, id DESC LIMIT {limit}",
        words(FAILED),
    );
    Ok(ask!(db, sql, since, runbook))
}

/// Decisions made since then, by verdict.
pub fn verdicts(db: &mut Db, since: Timestamp, runbook: Option<&str>) -> Result<Vec<Counted>, StoreError> {
    let sql = format!(
        "SELECT verdict AS word, COUNT(*) AS count FROM decisions WHERE created_at >= $1 AND {OF_RUNBOOK} GROUP BY verdict"
    );
    Ok(ask!(db, sql, since, runbook))
}

/// Executions made since then, by status.
pub fn statuses(db: &mut Db, since: Timestamp, runbook: Option<&str>) -> Result<Vec<Counted>, StoreError> {
    let sql = format!(
        "SELECT status AS word, COUNT(*) AS count FROM executions WHERE created_at >= $1 AND {OF_RUNBOOK} GROUP BY status"
    );
    Ok(ask!(db, sql, since, runbook))
}

/// Runs that ended since then, by whether their alerts went away.
pub fn verifications(db: &mut Db, since: Timestamp, runbook: Option<&str>) -> Result<Vec<Counted>, StoreError> {
    let sql = format!(
        "SELECT verification AS word, COUNT(*) AS count FROM executions WHERE completed_at >= $1 AND {OF_RUNBOOK} \
         AND status IN ({}) GROUP BY verification",
        words(RAN),
    );
    Ok(ask!(db, sql, since, runbook))
}

/// Alerts and episodes that came since then.
pub fn arrivals(db: &mut Db, since: Timestamp) -> Result<(i64, i64), StoreError> {
    let sql = "SELECT 'alerts' AS word, COUNT(*) AS count FROM alerts WHERE received_at >= $1 AND $2 = '' \
               UNION ALL SELECT 'episodes', COUNT(*) FROM episodes WHERE created_at >= $1 AND $2 = ''";
    let found: Vec<Counted> = ask!(db, sql.to_owned(), since, None::<&str>);
    let of = |word: &str| found.iter().find(|row| row.word == word).map_or(0, |row| row.count);
    Ok((of("alerts"), of("episodes")))
}

/// The runs for alerts that completed since then, the last ones, at most `limit`.
pub fn remedied(
    db: &mut Db,
    since: Timestamp,
    runbook: Option<&str>,
    limit: usize,
) -> Result<Vec<Remedied>, StoreError> {
    let sql = format!(
        "SELECT p.earliest_starts_at AS began, e.completed_at AS ended FROM executions e JOIN episodes p ON p.id = e.episode_id \
         WHERE e.completed_at >= $1 AND {OF_RUNBOOK} AND e.status = '{}' AND e.origin = '{}' \
         ORDER BY e.completed_at DESC LIMIT {limit}",
        Status::Completed,
        Origin::Alert,
    );
    Ok(ask!(db, sql, since, runbook))
}
