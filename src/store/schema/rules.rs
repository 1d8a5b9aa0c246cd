//! What is known and what holds: runbooks, servers, safety, configuration, audit.

diesel::table! {
    use crate::store::types::sql::*;

    system_config (key) {
        key -> Text,
        value_json -> SqlJson,
        updated_at -> SqlTs,
        updated_by -> Text,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    runbooks (id) {
        id -> SqlId,
        name -> Text,
        current_version -> Integer,
        content_hash -> Text,
        category -> Text,
        mode -> Text,
        status -> Text,
        status_override -> Nullable<Text>,
        override_by -> Nullable<Text>,
        override_at -> Nullable<SqlTs>,
        override_reason -> Nullable<Text>,
        present -> Bool,
        created_at -> SqlTs,
        updated_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    runbook_versions (runbook_id, version) {
        runbook_id -> SqlId,
        version -> Integer,
        content_hash -> Text,
        yaml_content -> Text,
        change_summary -> Text,
        path -> Text,
        created_by -> Text,
        created_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    triggers (runbook_id, position) {
        runbook_id -> SqlId,
        position -> Integer,
        name -> Text,
        priority -> Integer,
        enabled -> Bool,
        cooldown_secs -> Nullable<BigInt>,
        last_triggered_at -> Nullable<SqlTs>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    servers (id) {
        id -> SqlId,
        name -> Text,
        origin -> Text,
        hostname -> Nullable<Text>,
        port -> Nullable<Integer>,
        username -> Nullable<Text>,
        os_type -> Nullable<Text>,
        protocol -> Nullable<Text>,
        auth_type -> Nullable<Text>,
        key_file -> Nullable<Text>,
        passphrase_file -> Nullable<Text>,
        password_file -> Nullable<Text>,
        become_password_file -> Nullable<Text>,
        host_keys -> SqlJson,
        tags -> SqlJson,
        server_group -> Nullable<Text>,
        environment -> Nullable<Text>,
        paused_override -> Nullable<Bool>,
        paused_by -> Nullable<Text>,
        paused_at -> Nullable<SqlTs>,
        paused_reason -> Nullable<Text>,
        last_connection_test -> Nullable<SqlTs>,
        last_connection_status -> Nullable<Text>,
        last_connection_message -> Nullable<Text>,
        removed_at -> Nullable<SqlTs>,
        created_by -> Text,
        created_at -> SqlTs,
        updated_at -> SqlTs,
        certificate_file -> Nullable<Text>,
        bastion -> Nullable<Text>,
        last_connection_checks -> Nullable<SqlJson>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    encryption_keys (key_id) {
        key_id -> Text,
        canary -> Text,
        created_at -> SqlTs,
        retired_at -> Nullable<SqlTs>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    server_credentials (server_id) {
        server_id -> SqlId,
        key_id -> Nullable<Text>,
        ssh_key_encrypted -> Nullable<Text>,
        passphrase_encrypted -> Nullable<Text>,
        password_encrypted -> Nullable<Text>,
        become_password_encrypted -> Nullable<Text>,
        certificate -> Nullable<Text>,
        winrm_transport -> Nullable<Text>,
        winrm_use_ssl -> Nullable<Bool>,
        winrm_cert_validation -> Nullable<Bool>,
        domain -> Nullable<Text>,
        updated_by -> Text,
        updated_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    blackouts (id) {
        id -> SqlId,
        name -> Text,
        description -> Text,
        start_time -> Nullable<SqlTs>,
        end_time -> Nullable<SqlTs>,
        recurrence -> Text,
        recurrence_pattern -> SqlJson,
        cron -> Nullable<Text>,
        duration_secs -> Nullable<BigInt>,
        timezone -> Text,
        effect -> Text,
        affected_servers -> SqlJson,
        affected_runbooks -> SqlJson,
        enabled -> Bool,
        created_by -> Text,
        created_at -> SqlTs,
        updated_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    circuit_breakers (runbook) {
        runbook -> Text,
        state -> Text,
        failure_count -> Integer,
        success_count -> Integer,
        last_failure_at -> Nullable<SqlTs>,
        opened_at -> Nullable<SqlTs>,
        half_open_at -> Nullable<SqlTs>,
        changed_at -> SqlTs,
        changed_by -> Text,
        reason -> Nullable<Text>,
        forced_open -> Bool,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    pauses (id) {
        id -> SqlId,
        scope -> Text,
        name -> Text,
        reason -> Text,
        created_by -> Text,
        created_at -> SqlTs,
        until -> Nullable<SqlTs>,
        resumed_at -> Nullable<SqlTs>,
        resumed_by -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    idempotency_keys (key, token) {
        key -> Text,
        token -> Text,
        request_hash -> Text,
        status -> Integer,
        location -> Nullable<Text>,
        body -> SqlJson,
        created_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    audit_events (seq) {
        seq -> BigInt,
        id -> SqlId,
        event_type -> Text,
        actor -> Text,
        resource_type -> Text,
        resource_id -> Text,
        execution_id -> Nullable<SqlId>,
        episode_id -> Nullable<SqlId>,
        ip_address -> Nullable<Text>,
        created_at -> SqlTs,
        policy_version -> Text,
        payload_json -> SqlJson,
        payload_hash -> Text,
        algorithm -> Nullable<Text>,
        key_id -> Nullable<Text>,
        mac -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    audit_links (position) {
        position -> BigInt,
        seq -> BigInt,
        algorithm -> Text,
        key_id -> Text,
        mac -> Text,
        linked_at -> SqlTs,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    legal_holds (id) {
        id -> SqlId,
        scope -> Text,
        name -> Text,
        reason -> Text,
        created_by -> Text,
        created_at -> SqlTs,
        released_at -> Nullable<SqlTs>,
        released_by -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    audit_permits (through_position, through_seq) {
        through_position -> BigInt,
        through_seq -> BigInt,
    }
}
