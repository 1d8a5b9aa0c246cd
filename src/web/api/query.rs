//! What lists may be asked: their filters, `limit` and `cursor`. An unknown key is 422.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::alert::AlertStatus;
use crate::alert::episode::EpisodeState;
use crate::audit::EventKind;
use crate::clock::Timestamp;
use crate::execution::Origin;
use crate::id::{AlertId, BatchId, DeliveryId, EpisodeId, ExecutionId};
use crate::store::DecisionVerdict;
use crate::web::error::ApiError;
use crate::web::page::page;
use crate::words::words;

/// Which alerts to list.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    pub(super) status: Option<AlertStatus>,
    /// The label `alertname`.
    pub(super) name: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) source: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) episode: Option<EpisodeId>,
    pub(super) delivery: Option<DeliveryId>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

/// Which quarantined alerts to list.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QuarantineQuery {
    pub(super) source: Option<String>,
    pub(super) delivery: Option<DeliveryId>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

/// Which episodes to list.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EpisodeQuery {
    pub(super) state: Option<EpisodeState>,
    pub(super) source: Option<String>,
    pub(super) fingerprint: Option<String>,
    /// The label `alertname`.
    pub(super) name: Option<String>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

/// Which decisions to list.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DecisionQuery {
    pub(super) verdict: Option<DecisionVerdict>,
    pub(super) runbook: Option<String>,
    pub(super) server: Option<String>,
    pub(super) episode: Option<EpisodeId>,
    pub(super) alert: Option<AlertId>,
    pub(super) skip_reason: Option<String>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

/// Which executions to list.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExecutionQuery {
    /// One status, or several with commas.
    pub(super) status: Option<String>,
    pub(super) runbook: Option<String>,
    pub(super) server: Option<String>,
    pub(super) origin: Option<Origin>,
    pub(super) alert: Option<AlertId>,
    pub(super) episode: Option<EpisodeId>,
    pub(super) batch: Option<BatchId>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

/// Which requests to list.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApprovalQuery {
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

/// Which moment to ask about.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BlackoutQuery {
    /// As if it were this moment.
    pub(super) at: Option<Timestamp>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

/// Which events to list.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// As in `STEP_STARTED`.
    #[param(value_type = Option<String>)]
    pub(super) event_type: Option<EventKind>,
    pub(super) actor: Option<String>,
    pub(super) resource_type: Option<String>,
    pub(super) resource_id: Option<String>,
    pub(super) execution: Option<ExecutionId>,
    pub(super) episode: Option<EpisodeId>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

words! {
    /// The form of a copy.
    ExportFormat {
        /// One JSON object a line.
        Jsonl = "jsonl",
        /// Comma-separated, as RFC 4180 has it.
        Csv = "csv",
    }
}

/// Which events to copy.
#[derive(Deserialize, IntoParams, Debug, Clone)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `jsonl` (as without it) or `csv`.
    #[param(value_type = Option<String>)]
    pub(super) format: Option<ExportFormat>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) actor: Option<String>,
    pub(super) resource_type: Option<String>,
    /// As in `STEP_STARTED`.
    #[param(value_type = Option<String>)]
    pub(super) event_type: Option<EventKind>,
}

/// Since when, and of which runbook.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatisticsQuery {
    pub(super) since: Option<Timestamp>,
    pub(super) runbook: Option<String>,
}

/// What to hear of.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// `executions`, `approvals`, `exec:ID`, with commas.
    pub(super) topics: Option<String>,
}

/// `limit` and `cursor` of a list that is read as a whole: runbooks, servers, blackouts, breakers.
#[derive(Deserialize, IntoParams, Debug, Default)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WholeList {
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

impl WholeList {
    /// The rows after the cursor, at most `limit`, and the next cursor. A cursor is the key of the last row shown.
    pub fn cut<Row>(
        &self,
        rows: Vec<Row>,
        key: impl Fn(&Row) -> String,
    ) -> Result<(Vec<Row>, Option<String>), ApiError> {
        let page = page::<String>(self.limit, self.cursor.as_deref())?;
        let start = match &page.before {
            None => 0,
            Some(cursor) => rows.iter().position(|row| key(row) == *cursor).map_or(rows.len(), |found| found + 1),
        };
        let mut rows: Vec<Row> = rows.into_iter().skip(start).collect();
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = if has_more { rows.last().map(key) } else { None };
        Ok((rows, next))
    }
}

/// Whose tokens or sessions to list.
#[derive(Deserialize, IntoParams, Debug)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnerQuery {
    /// A user's name, or `*` for all; for auditors and admins. One's own when it is left out.
    pub(super) owner: Option<String>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}
