//! Who does it: replicas, and what they hold.

diesel::table! {
    use crate::store::types::sql::*;

    replicas (id) {
        id -> SqlId,
        name -> Text,
        version -> Text,
        policy_version -> Text,
        started_at -> SqlTs,
        seen_at -> SqlTs,
        lease_until -> SqlTs,
        ended_at -> Nullable<SqlTs>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    duties (name) {
        name -> Text,
        replica_id -> Nullable<SqlId>,
        fence -> BigInt,
        taken_at -> Nullable<SqlTs>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    changes (name) {
        name -> Text,
        number -> BigInt,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    execution_leases (execution_id) {
        execution_id -> SqlId,
        made_by -> Nullable<SqlId>,
        replica_id -> Nullable<SqlId>,
        fence -> BigInt,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    audit_event_types (event_type) {
        event_type -> Text,
    }
}
