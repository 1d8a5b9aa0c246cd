//! The tables as Diesel knows them. The migrations are the truth; `tests/it/store/schema.rs` compares the two.

mod duty;
mod incidents;
mod people;
mod rules;
mod runs;

pub use duty::*;
pub use incidents::*;
pub use people::*;
pub use rules::*;
pub use runs::*;

diesel::joinable!(quarantined_alerts -> deliveries (delivery_id));
diesel::joinable!(alerts -> deliveries (delivery_id));
diesel::joinable!(alerts -> episodes (episode_id));
diesel::joinable!(runbook_versions -> runbooks (runbook_id));
diesel::joinable!(triggers -> runbooks (runbook_id));
diesel::joinable!(decisions -> episodes (episode_id));
diesel::joinable!(decisions -> alerts (alert_id));
diesel::joinable!(executions -> alerts (alert_id));
diesel::joinable!(executions -> episodes (episode_id));
diesel::joinable!(executions -> decisions (decision_id));
diesel::joinable!(executions -> approval_batches (batch_id));
diesel::joinable!(execution_details -> executions (execution_id));
diesel::joinable!(execution_events -> executions (execution_id));
diesel::joinable!(steps -> executions (execution_id));
diesel::joinable!(attempts -> steps (step_run_id));
diesel::joinable!(attempts -> executions (execution_id));
diesel::joinable!(outputs -> attempts (attempt_id));
diesel::joinable!(target_locks -> executions (execution_id));
diesel::joinable!(server_credentials -> servers (server_id));
diesel::joinable!(server_credentials -> encryption_keys (key_id));
diesel::joinable!(execution_leases -> executions (execution_id));
diesel::joinable!(api_tokens -> users (user_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(setup_tokens -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(
    system_config,
    sources,
    deliveries,
    quarantined_alerts,
    episodes,
    alerts,
    runbooks,
    runbook_versions,
    triggers,
    servers,
    encryption_keys,
    server_credentials,
    decisions,
    approval_batches,
    executions,
    execution_details,
    execution_events,
    steps,
    attempts,
    outputs,
    target_locks,
    blackouts,
    circuit_breakers,
    pauses,
    idempotency_keys,
    audit_events,
    audit_event_types,
    audit_links,
    audit_permits,
    legal_holds,
    replicas,
    duties,
    changes,
    execution_leases,
    users,
    api_tokens,
    sessions,
    setup_tokens,
    login_failures,
);
