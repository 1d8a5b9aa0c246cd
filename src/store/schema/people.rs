//! Who may log in, and with what.

diesel::table! {
    use crate::store::types::sql::*;

    users (id) {
        id -> SqlId,
        name -> Text,
        role -> Text,
        scopes -> Nullable<SqlJson>,
        password_hash -> Nullable<Text>,
        password_changed_at -> Nullable<SqlTs>,
        created_by -> Text,
        created_at -> SqlTs,
        updated_at -> SqlTs,
        last_login_at -> Nullable<SqlTs>,
        disabled_at -> Nullable<SqlTs>,
        removed_at -> Nullable<SqlTs>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    api_tokens (id) {
        id -> SqlId,
        user_id -> SqlId,
        name -> Text,
        prefix -> Text,
        token_hash -> Text,
        role -> Text,
        scopes -> Nullable<SqlJson>,
        created_at -> SqlTs,
        expires_at -> SqlTs,
        last_used_at -> Nullable<SqlTs>,
        last_used_from -> Nullable<Text>,
        revoked_at -> Nullable<SqlTs>,
        revoked_by -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    sessions (id) {
        id -> SqlId,
        user_id -> SqlId,
        kind -> Text,
        secret_hash -> Text,
        created_at -> SqlTs,
        seen_at -> SqlTs,
        ends_at -> SqlTs,
        ended_at -> Nullable<SqlTs>,
        ended_by -> Nullable<Text>,
        ip_address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    setup_tokens (id) {
        id -> SqlId,
        token_hash -> Text,
        user_id -> Nullable<SqlId>,
        created_by -> Text,
        created_at -> SqlTs,
        expires_at -> SqlTs,
        used_at -> Nullable<SqlTs>,
    }
}

diesel::table! {
    use crate::store::types::sql::*;

    login_failures (key) {
        key -> Text,
        count -> Integer,
        last_at -> SqlTs,
        blocked_until -> Nullable<SqlTs>,
    }
}
