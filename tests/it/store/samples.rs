//! Rows that are valid and otherwise unremarkable.

use douse::alert::episode::EpisodeState;
use douse::alert::{AlertStatus, Labels};
use douse::clock::{Clock, Timestamp};
use douse::execution::{Origin, Phase, RollbackState, Status, Verification};
use douse::id::*;
use douse::runbook::model::Mode;
use douse::store::alerts::AlertRow;
use douse::store::decisions::DecisionRow;
use douse::store::deliveries::DeliveryRow;
use douse::store::details::DetailsRow;
use douse::store::episodes::EpisodeRow;
use douse::store::executions::ExecutionRow;
use douse::store::*;
use serde_json::json;

pub fn now() -> Timestamp {
    Clock::System.now()
}

pub fn labels(pairs: &[(&str, &str)]) -> Json<Labels> {
    Json(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

pub fn delivery() -> DeliveryRow {
    DeliveryRow {
        id: DeliveryId::new(),
        source: "main".to_owned(),
        received_at: now(),
        remote_addr: Some("[::1]:4000".to_owned()),
        content_type: None,
        body: vec![0, 159, 146, 150],
        body_sha256: "00".to_owned(),
        format: DeliveryFormat::AlertmanagerV4,
        receiver: "douse".to_owned(),
        group_key: "{}:{}".to_owned(),
        external_url: "http://am:9093".to_owned(),
        truncated_alerts: 0,
        alert_count: 1,
        quarantined_count: 0,
    }
}

pub fn episode(fingerprint: &str, number: i32) -> EpisodeRow {
    let now = now();
    EpisodeRow {
        id: EpisodeId::new(),
        source: "main".to_owned(),
        fingerprint: fingerprint.to_owned(),
        number,
        state: EpisodeState::Open,
        earliest_starts_at: now,
        latest_starts_at: now,
        last_seen_firing: now,
        ended_at: None,
        suspect: false,
        alert_id: None,
        alert_name: "Down".to_owned(),
        severity: "critical".to_owned(),
        instance: "web-1:9100".to_owned(),
        decide_state: DecideState::Undecided,
        created_at: now,
        updated_at: now,
    }
}

pub fn alert(delivery: &DeliveryRow, episode: &EpisodeRow) -> AlertRow {
    AlertRow {
        id: AlertId::new(),
        delivery_id: delivery.id,
        position: 0,
        source: episode.source.clone(),
        fingerprint: episode.fingerprint.clone(),
        received_at: now(),
        alert_name: "Down".to_owned(),
        severity: "critical".to_owned(),
        instance: "web-1:9100".to_owned(),
        job: "node".to_owned(),
        status: AlertStatus::Firing,
        starts_at: episode.earliest_starts_at,
        ends_at: None,
        generator_url: String::new(),
        labels_json: labels(&[("alertname", "Down"), ("instance", "web-1:9100")]),
        annotations_json: labels(&[]),
        annotations_cut: false,
        raw_alert_json: Json(json!({"status": "firing"})),
        group_json: Json(json!({"receiver": "douse"})),
        identity_hash: "11".to_owned(),
        episode_id: episode.id,
        episode_relation: EpisodeRelation::New,
        matched_trigger: None,
        action_taken: None,
    }
}

pub fn decision(episode: &EpisodeRow, runbook: &str) -> DecisionRow {
    DecisionRow {
        id: DecisionId::new(),
        episode_id: episode.id,
        alert_id: None,
        runbook: Some(runbook.to_owned()),
        runbook_version: Some(1),
        trigger_name: Some("down".to_owned()),
        trigger_position: Some(0),
        server: Some("web-1".to_owned()),
        server_group: None,
        verdict: DecisionVerdict::Held,
        held_until: None,
        hold_reason: Some("blackout".to_owned()),
        waits_since: None,
        queued_ms: 0,
        skip_reason: None,
        conflicting_execution_id: None,
        gates_json: Json(json!([{"gate": "blackout", "verdict": "hold"}])),
        execution_id: None,
        batch_id: None,
        policy_version: "p1".to_owned(),
        rechecks: 0,
        created_at: now(),
        decided_at: now(),
    }
}

/// An approved, manual execution of runbook `fix` on `server`.
pub fn execution(server: &str) -> (ExecutionRow, DetailsRow) {
    let id = ExecutionId::new();
    let row = ExecutionRow {
        id,
        origin: Origin::Manual,
        runbook: "fix".to_owned(),
        runbook_version: 1,
        server: server.to_owned(),
        server_group: Some("web".to_owned()),
        status: Status::Approved,
        phase: Phase::Main,
        rollback: RollbackState::None,
        verification: Verification::None,
        mode: Mode::Auto,
        trigger_name: None,
        alert_id: None,
        episode_id: None,
        decision_id: None,
        batch_id: None,
        policy_version: "p1".to_owned(),
        created_by: "ops".to_owned(),
        created_at: now(),
        approved_by: Some("auto".to_owned()),
        approved_at: Some(now()),
        expires_at: None,
        held_until: None,
        next_try_at: None,
        started_at: None,
        completed_at: None,
        duration_ms: None,
        error_message: None,
        skip_reason: None,
        cancel_requested_at: None,
        breaker_probe: false,
        released_at: None,
    };
    let details = DetailsRow {
        execution_id: id,
        plan_json: Json(json!({"steps": [{"id": "a"}]})),
        plan_hash: "22".to_owned(),
        parameters: Json(json!({"n": 9_007_199_254_740_993_i64, "f": 1.5})),
        context_vars: Json(json!({})),
        inputs_hash: "33".to_owned(),
        run_key: format!("manual:{id}"),
        correlation_id: id.to_string(),
        timeout_secs: 300,
        on_resolved: OnResolved::Finish,
        retry_of: None,
        rollback_of: None,
        reason: None,
        idempotency_key: None,
        idempotency_token: None,
        approval_gates: Json(Vec::new()),
        approval_reason: None,
        rejected_by: None,
        rejected_at: None,
        rejection_reason: None,
        cancel_requested_by: None,
        cancel_reason: None,
        conflicting_execution_id: None,
        waits_since: None,
        queued_ms: 0,
        connect_tries: 0,
        claimed_by: None,
        outputs: Json(json!({})),
        output_summary: None,
        released_by: None,
        released_reason: None,
    };
    (row, details)
}

/// The same, in `status`, with the times that such a row has: started and ended at `at`.
pub fn execution_in(status: Status, server: &str, at: Timestamp) -> (ExecutionRow, DetailsRow) {
    let (mut row, details) = execution(server);
    row.status = status;
    if matches!(status, Status::Running | Status::Interrupted) || status.is_final() {
        row.started_at = Some(at);
    }
    if status.is_final() {
        row.completed_at = Some(at);
    }
    (row, details)
}
