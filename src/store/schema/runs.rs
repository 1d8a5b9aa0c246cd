//! What is done: executions with all that belongs to them.

diesel::table! {
    use crate::store::types::sql::*;

    executions (id) {
        id -> SqlId,
        origin -> Text,
        runbook -> Text,
        runbook_version -> Integer,
        server -> Text,
        server_group -> Nullable<Text>,
        status -> Text,
        phase -> Text,
        rollback -> Text,
        verification -> Text,
        mode -> Text,
        trigger_name -> Nullable<Text>,
        alert_id -> Nullable<SqlId>,
        episode_id -> Nullable<SqlId>,
        decision_id -> Nullable<SqlId>,
        batch_id -> Nullable<SqlId>,
        policy_version -> Text,
        created_by -> Text,
        created_at -> SqlTs,
        approved_by -> Nullable<Text>,
        approved_at -> Nullable<SqlTs>,
        expires_at -> Nullable<SqlTs>,
        held_until -> Nullable<SqlTs>,
        next_try_at -> Nullable<SqlTs>,
        started_at -> Nullable<SqlTs>,
        completed_at -> Nullable<SqlTs>,
        duration_ms -> Nullable<BigInt>,
        error_message -> Nullable<Text>,
        skip_reason -> Nullable<Text>,
        cancel_requested_at -> Nullable<SqlTs>,
        breaker_probe -> Bool,
        released_at -> Nullable<SqlTs>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    execution_details (execution_id) {
        execution_id -> SqlId,
        plan_json -> SqlJson,
        plan_hash -> Text,
        parameters -> SqlJson,
        context_vars -> SqlJson,
        inputs_hash -> Text,
        run_key -> Text,
        correlation_id -> Text,
        timeout_secs -> BigInt,
        on_resolved -> Text,
        retry_of -> Nullable<SqlId>,
        rollback_of -> Nullable<SqlId>,
        reason -> Nullable<Text>,
        idempotency_key -> Nullable<Text>,
        idempotency_token -> Nullable<Text>,
        approval_gates -> SqlJson,
        approval_reason -> Nullable<Text>,
        rejected_by -> Nullable<Text>,
        rejected_at -> Nullable<SqlTs>,
        rejection_reason -> Nullable<Text>,
        cancel_requested_by -> Nullable<Text>,
        cancel_reason -> Nullable<Text>,
        conflicting_execution_id -> Nullable<SqlId>,
        waits_since -> Nullable<SqlTs>,
        queued_ms -> BigInt,
        connect_tries -> Integer,
        claimed_by -> Nullable<Text>,
        outputs -> SqlJson,
        output_summary -> Nullable<Text>,
        released_by -> Nullable<Text>,
        released_reason -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    execution_events (execution_id, seq) {
        execution_id -> SqlId,
        seq -> Integer,
        at -> SqlTs,
        kind -> Text,
        event_json -> SqlJson,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    steps (id) {
        id -> SqlId,
        execution_id -> SqlId,
        phase -> Text,
        step_order -> Integer,
        step_id -> Text,
        name -> Text,
        status -> Text,
        sensitive -> Bool,
        retry_attempt -> Integer,
        exit_code -> Nullable<Integer>,
        started_at -> Nullable<SqlTs>,
        completed_at -> Nullable<SqlTs>,
        duration_ms -> Nullable<BigInt>,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    attempts (id) {
        id -> SqlId,
        step_run_id -> SqlId,
        execution_id -> SqlId,
        number -> Integer,
        started_at -> SqlTs,
        finished_at -> Nullable<SqlTs>,
        ending -> Nullable<Text>,
        exit_code -> Nullable<Integer>,
        signal -> Nullable<Text>,
        kill_confirmed -> Nullable<Bool>,
        error_message -> Nullable<Text>,
        hold -> Text,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    outputs (attempt_id, stream) {
        attempt_id -> SqlId,
        stream -> Text,
        head -> Text,
        tail -> Text,
        total_bytes -> BigInt,
        truncated -> Bool,
        sha256 -> Text,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    target_locks (server) {
        server -> Text,
        execution_id -> SqlId,
        taken_at -> SqlTs,
        reason -> Text,
    }
}
