//! What comes in: deliveries, alerts, episodes, and the decisions about them.

diesel::table! {
    use crate::store::types::sql::*;

    sources (name) {
        name -> Text,
        first_seen_at -> SqlTs,
        last_delivery_at -> SqlTs,
        deliveries -> BigInt,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    deliveries (id) {
        id -> SqlId,
        source -> Text,
        received_at -> SqlTs,
        remote_addr -> Nullable<Text>,
        content_type -> Nullable<Text>,
        body -> Binary,
        body_sha256 -> Text,
        format -> Text,
        receiver -> Text,
        group_key -> Text,
        external_url -> Text,
        truncated_alerts -> Integer,
        alert_count -> Integer,
        quarantined_count -> Integer,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    quarantined_alerts (id) {
        id -> SqlId,
        delivery_id -> SqlId,
        position -> Integer,
        reason -> Text,
        raw_json -> SqlJson,
        created_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    episodes (id) {
        id -> SqlId,
        source -> Text,
        fingerprint -> Text,
        number -> Integer,
        state -> Text,
        earliest_starts_at -> SqlTs,
        latest_starts_at -> SqlTs,
        last_seen_firing -> SqlTs,
        ended_at -> Nullable<SqlTs>,
        suspect -> Bool,
        alert_id -> Nullable<SqlId>,
        alert_name -> Text,
        severity -> Text,
        instance -> Text,
        decide_state -> Text,
        created_at -> SqlTs,
        updated_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    alerts (id) {
        id -> SqlId,
        delivery_id -> SqlId,
        position -> Integer,
        source -> Text,
        fingerprint -> Text,
        received_at -> SqlTs,
        alert_name -> Text,
        severity -> Text,
        instance -> Text,
        job -> Text,
        status -> Text,
        starts_at -> SqlTs,
        ends_at -> Nullable<SqlTs>,
        generator_url -> Text,
        labels_json -> SqlJson,
        annotations_json -> SqlJson,
        annotations_cut -> Bool,
        raw_alert_json -> SqlJson,
        group_json -> SqlJson,
        identity_hash -> Text,
        episode_id -> SqlId,
        episode_relation -> Text,
        matched_trigger -> Nullable<Text>,
        action_taken -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    decisions (id) {
        id -> SqlId,
        episode_id -> SqlId,
        alert_id -> Nullable<SqlId>,
        runbook -> Nullable<Text>,
        runbook_version -> Nullable<Integer>,
        trigger_name -> Nullable<Text>,
        trigger_position -> Nullable<Integer>,
        server -> Nullable<Text>,
        server_group -> Nullable<Text>,
        verdict -> Text,
        held_until -> Nullable<SqlTs>,
        hold_reason -> Nullable<Text>,
        waits_since -> Nullable<SqlTs>,
        queued_ms -> BigInt,
        skip_reason -> Nullable<Text>,
        conflicting_execution_id -> Nullable<SqlId>,
        gates_json -> SqlJson,
        execution_id -> Nullable<SqlId>,
        batch_id -> Nullable<SqlId>,
        policy_version -> Text,
        rechecks -> Integer,
        created_at -> SqlTs,
        decided_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    approval_batches (id) {
        id -> SqlId,
        runbook -> Text,
        server_group -> Text,
        state -> Text,
        window_ends_at -> SqlTs,
        members_json -> SqlJson,
        created_at -> SqlTs,
        decided_at -> Nullable<SqlTs>,
        decided_by -> Nullable<Text>,
        reason -> Nullable<Text>,
    }
}
