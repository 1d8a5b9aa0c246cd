-- One value that the API may change at run time.
CREATE TABLE system_config (
    key TEXT NOT NULL,
    value_json TEXT NOT NULL CHECK (json_valid(value_json)),
    updated_at TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (key)
) STRICT;

-- Where webhooks come from, as seen.
CREATE TABLE sources (
    name TEXT NOT NULL,
    first_seen_at TEXT NOT NULL,
    last_delivery_at TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    PRIMARY KEY (name)
) STRICT;

-- One webhook request that was stored.
CREATE TABLE deliveries (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    received_at TEXT NOT NULL,
    remote_addr TEXT,
    content_type TEXT,
    body BLOB NOT NULL,
    body_sha256 TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('alertmanager_v4', 'grafana_v1', 'alertmanager_api')),
    receiver TEXT NOT NULL,
    group_key TEXT NOT NULL,
    external_url TEXT NOT NULL,
    truncated_alerts INTEGER NOT NULL,
    alert_count INTEGER NOT NULL,
    quarantined_count INTEGER NOT NULL,
    PRIMARY KEY (id)
) STRICT;
CREATE INDEX deliveries_source_id ON deliveries (source, id);

-- One alert of a delivery that could not be taken.
CREATE TABLE quarantined_alerts (
    id TEXT NOT NULL,
    delivery_id TEXT NOT NULL REFERENCES deliveries,
    position INTEGER NOT NULL,
    reason TEXT NOT NULL,
    raw_json TEXT NOT NULL CHECK (json_valid(raw_json)),
    created_at TEXT NOT NULL,
    PRIMARY KEY (id)
) STRICT;
CREATE INDEX quarantined_alerts_delivery_id ON quarantined_alerts (delivery_id);

-- One incident of one alert of one source.
CREATE TABLE episodes (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'resolved', 'superseded')),
    earliest_starts_at TEXT NOT NULL,
    latest_starts_at TEXT NOT NULL,
    last_seen_firing TEXT NOT NULL,
    ended_at TEXT,
    suspect INTEGER NOT NULL CHECK (suspect IN (0, 1)),
    alert_id TEXT,
    alert_name TEXT NOT NULL,
    severity TEXT NOT NULL,
    instance TEXT NOT NULL,
    decide_state TEXT NOT NULL CHECK (decide_state IN ('undecided', 'decided')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX episodes_source_fingerprint_number ON episodes (source, fingerprint, number);
CREATE UNIQUE INDEX episodes_one_open ON episodes (source, fingerprint) WHERE state = 'open';
CREATE INDEX episodes_decide_state_id ON episodes (decide_state, id) WHERE decide_state = 'undecided';
CREATE INDEX episodes_state_id ON episodes (state, id);

-- One label set with a status, as one delivery told it.
CREATE TABLE alerts (
    id TEXT NOT NULL,
    delivery_id TEXT NOT NULL REFERENCES deliveries,
    position INTEGER NOT NULL,
    source TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    received_at TEXT NOT NULL,
    alert_name TEXT NOT NULL,
    severity TEXT NOT NULL,
    instance TEXT NOT NULL,
    job TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('firing', 'resolved')),
    starts_at TEXT NOT NULL,
    ends_at TEXT,
    generator_url TEXT NOT NULL,
    labels_json TEXT NOT NULL CHECK (json_valid(labels_json)),
    annotations_json TEXT NOT NULL CHECK (json_valid(annotations_json)),
    annotations_cut INTEGER NOT NULL CHECK (annotations_cut IN (0, 1)),
    raw_alert_json TEXT NOT NULL CHECK (json_valid(raw_alert_json)),
    group_json TEXT NOT NULL CHECK (json_valid(group_json)),
    identity_hash TEXT NOT NULL,
    episode_id TEXT NOT NULL REFERENCES episodes,
    episode_relation TEXT NOT NULL CHECK (episode_relation IN ('new', 'same', 'late', 'resolved', 'stale', 'reopened')),
    matched_trigger TEXT,
    action_taken TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX alerts_episode_id_identity_hash ON alerts (episode_id, identity_hash);
CREATE INDEX alerts_delivery_id ON alerts (delivery_id);
CREATE INDEX alerts_source_fingerprint ON alerts (source, fingerprint);
CREATE INDEX alerts_source_identity_hash ON alerts (source, identity_hash);
CREATE INDEX alerts_alert_name_id ON alerts (alert_name, id);
CREATE INDEX alerts_status_id ON alerts (status, id);

-- A runbook that the database has seen, and what an operator decided about it.
CREATE TABLE runbooks (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    current_version INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    category TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('auto', 'semi_auto', 'manual', 'observe')),
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled', 'draft')),
    status_override TEXT CHECK (status_override IN ('active', 'disabled')),
    override_by TEXT,
    override_at TEXT,
    override_reason TEXT,
    present INTEGER NOT NULL CHECK (present IN (0, 1)),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX runbooks_name ON runbooks (name);
CREATE INDEX runbooks_category ON runbooks (category);
CREATE INDEX runbooks_status_mode ON runbooks (status, mode);

-- One content that a runbook has had.
CREATE TABLE runbook_versions (
    runbook_id TEXT NOT NULL REFERENCES runbooks,
    version INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    yaml_content TEXT NOT NULL,
    change_summary TEXT NOT NULL,
    path TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (runbook_id, version)
) STRICT;
CREATE UNIQUE INDEX runbook_versions_runbook_id_content_hash ON runbook_versions (runbook_id, content_hash);

-- A trigger of the present version of a runbook, for listing.
CREATE TABLE triggers (
    runbook_id TEXT NOT NULL REFERENCES runbooks,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    priority INTEGER NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    cooldown_secs INTEGER,
    last_triggered_at TEXT,
    PRIMARY KEY (runbook_id, position)
) STRICT;
CREATE UNIQUE INDEX triggers_runbook_id_name ON triggers (runbook_id, name);
CREATE INDEX triggers_enabled_priority ON triggers (enabled, priority);

-- A server made through the API, or the state of one that a file declares.
CREATE TABLE servers (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('file', 'api')),
    hostname TEXT,
    port INTEGER,
    username TEXT,
    os_type TEXT CHECK (os_type IN ('linux', 'windows')),
    protocol TEXT,
    auth_type TEXT CHECK (auth_type IN ('key', 'password', 'agent')),
    key_file TEXT,
    passphrase_file TEXT,
    password_file TEXT,
    become_password_file TEXT,
    host_keys TEXT NOT NULL CHECK (json_valid(host_keys)),
    tags TEXT NOT NULL CHECK (json_valid(tags)),
    server_group TEXT,
    environment TEXT,
    paused_override INTEGER CHECK (paused_override IN (0, 1)),
    paused_by TEXT,
    paused_at TEXT,
    paused_reason TEXT,
    last_connection_test TEXT,
    last_connection_status TEXT CHECK (last_connection_status IN ('success', 'failed')),
    last_connection_message TEXT,
    removed_at TEXT,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT servers_api_is_whole CHECK (origin = 'file' OR (hostname IS NOT NULL AND port IS NOT NULL AND username IS NOT NULL AND os_type IS NOT NULL AND auth_type IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX servers_name ON servers (name);

-- All gates' answers for one episode, runbook and trigger.
CREATE TABLE decisions (
    id TEXT NOT NULL,
    episode_id TEXT NOT NULL REFERENCES episodes,
    alert_id TEXT REFERENCES alerts,
    runbook TEXT,
    runbook_version INTEGER,
    trigger_name TEXT,
    trigger_position INTEGER,
    server TEXT,
    server_group TEXT,
    verdict TEXT NOT NULL CHECK (verdict IN (
        'allowed', 'approval', 'held', 'refused', 'no_match', 'observed', 'withdrawn')),
    held_until TEXT,
    hold_reason TEXT,
    waits_since TEXT,
    queued_ms INTEGER NOT NULL,
    skip_reason TEXT,
    conflicting_execution_id TEXT,
    gates_json TEXT NOT NULL CHECK (json_valid(gates_json)),
    execution_id TEXT,
    batch_id TEXT,
    policy_version TEXT NOT NULL,
    rechecks INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT decisions_name_their_trigger CHECK (verdict = 'no_match' OR (runbook IS NOT NULL AND trigger_name IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX decisions_episode_id_runbook_trigger_name ON decisions (episode_id, runbook, trigger_name);
CREATE UNIQUE INDEX decisions_one_no_match ON decisions (episode_id) WHERE verdict = 'no_match';
CREATE INDEX decisions_held_until ON decisions (held_until) WHERE verdict = 'held';
CREATE INDEX decisions_verdict_id ON decisions (verdict, id);
CREATE INDEX decisions_runbook_id ON decisions (runbook, id);
CREATE INDEX decisions_alert_id ON decisions (alert_id);

-- Several pending executions of one runbook in one group that are approved by one yes.
CREATE TABLE approval_batches (
    id TEXT NOT NULL,
    runbook TEXT NOT NULL,
    server_group TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'approved', 'rejected', 'expired')),
    window_ends_at TEXT NOT NULL,
    members_json TEXT NOT NULL CHECK (json_valid(members_json)),
    created_at TEXT NOT NULL,
    decided_at TEXT,
    decided_by TEXT,
    reason TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX approval_batches_one_open ON approval_batches (runbook, server_group) WHERE state = 'open';
CREATE INDEX approval_batches_state_id ON approval_batches (state, id);

-- Where one run of a plan stands.
CREATE TABLE executions (
    id TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('alert', 'manual', 'retry', 'schedule', 'rollback')),
    runbook TEXT NOT NULL,
    runbook_version INTEGER NOT NULL,
    server TEXT NOT NULL,
    server_group TEXT,
    status TEXT NOT NULL CHECK (status IN (
        'pending', 'approved', 'running', 'completed', 'failed', 'timeout', 'cancelled', 'rejected',
        'expired', 'interrupted')),
    phase TEXT NOT NULL CHECK (phase IN ('main', 'verify', 'rollback', 'finally')),
    rollback TEXT NOT NULL CHECK (rollback IN ('none', 'running', 'done', 'stuck')),
    verification TEXT NOT NULL CHECK (verification IN (
        'none', 'pending', 'effective', 'ineffective', 'inconclusive')),
    mode TEXT NOT NULL CHECK (mode IN ('auto', 'semi_auto', 'manual', 'observe')),
    trigger_name TEXT,
    alert_id TEXT REFERENCES alerts,
    episode_id TEXT REFERENCES episodes,
    decision_id TEXT REFERENCES decisions,
    batch_id TEXT REFERENCES approval_batches,
    policy_version TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    approved_by TEXT,
    approved_at TEXT,
    expires_at TEXT,
    held_until TEXT,
    next_try_at TEXT,
    started_at TEXT,
    completed_at TEXT,
    duration_ms INTEGER,
    error_message TEXT,
    skip_reason TEXT,
    cancel_requested_at TEXT,
    breaker_probe INTEGER NOT NULL CHECK (breaker_probe IN (0, 1)),
    released_at TEXT,
    PRIMARY KEY (id),
    CONSTRAINT executions_running_have_started CHECK (status <> 'running' OR started_at IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX executions_one_per_trigger ON executions (episode_id, runbook, trigger_name) WHERE origin = 'alert';
CREATE UNIQUE INDEX executions_one_running ON executions (server) WHERE status = 'running';
CREATE INDEX executions_status_id ON executions (status, id);
CREATE INDEX executions_runbook_started_at ON executions (runbook, started_at);
CREATE INDEX executions_server_started_at ON executions (server, started_at);
CREATE INDEX executions_started_at ON executions (started_at);
CREATE INDEX executions_completed_at ON executions (completed_at);
CREATE INDEX executions_episode_id ON executions (episode_id);
CREATE INDEX executions_alert_id ON executions (alert_id);
CREATE INDEX executions_batch_id ON executions (batch_id);

-- What an execution was made from, and what people said to it: one row beside each execution.
CREATE TABLE execution_details (
    execution_id TEXT NOT NULL REFERENCES executions,
    plan_json TEXT NOT NULL CHECK (json_valid(plan_json)),
    plan_hash TEXT NOT NULL,
    parameters TEXT NOT NULL CHECK (json_valid(parameters)),
    context_vars TEXT NOT NULL CHECK (json_valid(context_vars)),
    inputs_hash TEXT NOT NULL,
    run_key TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    timeout_secs INTEGER NOT NULL,
    on_resolved TEXT NOT NULL CHECK (on_resolved IN ('finish', 'stop_after_step', 'rollback')),
    retry_of TEXT,
    rollback_of TEXT,
    reason TEXT,
    idempotency_key TEXT,
    idempotency_token TEXT,
    approval_gates TEXT NOT NULL CHECK (json_valid(approval_gates)),
    approval_reason TEXT,
    rejected_by TEXT,
    rejected_at TEXT,
    rejection_reason TEXT,
    cancel_requested_by TEXT,
    cancel_reason TEXT,
    conflicting_execution_id TEXT,
    waits_since TEXT,
    queued_ms INTEGER NOT NULL,
    connect_tries INTEGER NOT NULL,
    claimed_by TEXT,
    outputs TEXT NOT NULL CHECK (json_valid(outputs)),
    output_summary TEXT,
    released_by TEXT,
    released_reason TEXT,
    PRIMARY KEY (execution_id)
) STRICT;
CREATE INDEX execution_details_run_key ON execution_details (run_key);
CREATE INDEX execution_details_retry_of ON execution_details (retry_of);
CREATE INDEX execution_details_rollback_of ON execution_details (rollback_of);

-- What the execution's machine was told, in order; its state is their replay.
CREATE TABLE execution_events (
    execution_id TEXT NOT NULL REFERENCES executions,
    seq INTEGER NOT NULL,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    event_json TEXT NOT NULL CHECK (json_valid(event_json)),
    PRIMARY KEY (execution_id, seq)
) STRICT;

-- A step or undo of an execution, as far as it has come.
CREATE TABLE steps (
    id TEXT NOT NULL,
    execution_id TEXT NOT NULL REFERENCES executions,
    phase TEXT NOT NULL CHECK (phase IN ('main', 'verify', 'rollback', 'finally')),
    step_order INTEGER NOT NULL,
    step_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN (
        'pending', 'running', 'completed', 'failed', 'timeout', 'skipped', 'cancelled', 'interrupted')),
    sensitive INTEGER NOT NULL CHECK (sensitive IN (0, 1)),
    retry_attempt INTEGER NOT NULL,
    exit_code INTEGER,
    started_at TEXT,
    completed_at TEXT,
    duration_ms INTEGER,
    error_code TEXT,
    error_message TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX steps_execution_id_phase_step_order ON steps (execution_id, phase, step_order);

-- One try of one step, stored when it starts.
CREATE TABLE attempts (
    id TEXT NOT NULL,
    step_run_id TEXT NOT NULL REFERENCES steps,
    execution_id TEXT NOT NULL REFERENCES executions,
    number INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    ending TEXT CHECK (ending IN ('exited', 'signalled', 'timed_out', 'cancelled', 'not_started', 'lost')),
    exit_code INTEGER,
    signal TEXT,
    kill_confirmed INTEGER CHECK (kill_confirmed IN (0, 1)),
    error_message TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX attempts_step_run_id_number ON attempts (step_run_id, number);
CREATE INDEX attempts_execution_id ON attempts (execution_id);

-- What one attempt printed on one stream, bounded and masked.
CREATE TABLE outputs (
    attempt_id TEXT NOT NULL REFERENCES attempts,
    stream TEXT NOT NULL CHECK (stream IN ('stdout', 'stderr')),
    head TEXT NOT NULL,
    tail TEXT NOT NULL,
    total_bytes INTEGER NOT NULL,
    truncated INTEGER NOT NULL CHECK (truncated IN (0, 1)),
    sha256 TEXT NOT NULL,
    PRIMARY KEY (attempt_id, stream)
) STRICT;

-- Which execution holds a server.
CREATE TABLE target_locks (
    server TEXT NOT NULL,
    execution_id TEXT NOT NULL REFERENCES executions,
    taken_at TEXT NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN ('running', 'stuck', 'interrupted')),
    PRIMARY KEY (server)
) STRICT;
CREATE UNIQUE INDEX target_locks_execution_id ON target_locks (execution_id);

-- A window, made through the API, in which nothing may start.
CREATE TABLE blackouts (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    start_time TEXT,
    end_time TEXT,
    recurrence TEXT NOT NULL CHECK (recurrence IN ('none', 'daily', 'weekly', 'monthly', 'cron')),
    recurrence_pattern TEXT NOT NULL CHECK (json_valid(recurrence_pattern)),
    cron TEXT,
    duration_secs INTEGER,
    timezone TEXT NOT NULL,
    effect TEXT NOT NULL CHECK (effect IN ('hold', 'refuse', 'approve')),
    affected_servers TEXT NOT NULL CHECK (json_valid(affected_servers)),
    affected_runbooks TEXT NOT NULL CHECK (json_valid(affected_runbooks)),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT blackouts_end_after_start CHECK (end_time IS NULL OR start_time IS NULL OR end_time > start_time)
) STRICT;
CREATE UNIQUE INDEX blackouts_name ON blackouts (name);

-- A runbook's breaker.
CREATE TABLE circuit_breakers (
    runbook TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    failure_count INTEGER NOT NULL,
    success_count INTEGER NOT NULL,
    last_failure_at TEXT,
    opened_at TEXT,
    half_open_at TEXT,
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    reason TEXT,
    forced_open INTEGER NOT NULL CHECK (forced_open IN (0, 1)),
    PRIMARY KEY (runbook)
) STRICT;

-- One use of the kill switch.
CREATE TABLE pauses (
    id TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('global', 'runbook', 'group', 'server')),
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    until TEXT,
    resumed_at TEXT,
    resumed_by TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE INDEX pauses_resumed_at ON pauses (resumed_at);

-- The answer that a key got.
CREATE TABLE idempotency_keys (
    key TEXT NOT NULL,
    token TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status INTEGER NOT NULL,
    location TEXT,
    body TEXT NOT NULL CHECK (json_valid(body)),
    created_at TEXT NOT NULL,
    PRIMARY KEY (key, token)
) STRICT;
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- What runs did and what people did; only ever added to.
CREATE TABLE audit_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    event_type TEXT NOT NULL CHECK (event_type IN (
        'PLANNED', 'STEP_STARTED', 'STEP_FINISHED', 'VERIFICATION_STARTED', 'VERIFICATION_FINISHED',
        'STATUS_UPDATED', 'COMPLETED', 'FAILED', 'DECIDED', 'APPROVED', 'REJECTED', 'ROLLBACK_STARTED',
        'UNDO_STARTED', 'UNDO_FINISHED', 'ROLLBACK_FINISHED', 'INTERRUPTED', 'REATTACHED',
        'CANCEL_REQUESTED', 'RELEASED', 'MANUAL_REQUESTED', 'ALERT_REPLAYED', 'PAUSED', 'RESUMED',
        'BLACKOUT_CREATED', 'BLACKOUT_UPDATED', 'BLACKOUT_DELETED', 'BREAKER_CHANGED', 'SERVER_CREATED',
        'SERVER_UPDATED', 'SERVER_DELETED', 'MAINTENANCE_CHANGED', 'RUNBOOK_VERSIONED',
        'RUNBOOK_OVERRIDDEN', 'CONFIG_RELOADED', 'CONFIG_CHANGED', 'ENGINE_STARTED', 'ENGINE_STOPPED')),
    actor TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    execution_id TEXT,
    episode_id TEXT,
    ip_address TEXT,
    created_at TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    payload_json TEXT NOT NULL CHECK (json_valid(payload_json)),
    payload_hash TEXT NOT NULL,
    algorithm TEXT,
    key_id TEXT,
    mac TEXT
) STRICT;
CREATE UNIQUE INDEX audit_events_id ON audit_events (id);
CREATE INDEX audit_events_execution_id_seq ON audit_events (execution_id, seq);
CREATE INDEX audit_events_resource_type_resource_id_seq ON audit_events (resource_type, resource_id, seq);
CREATE INDEX audit_events_event_type_seq ON audit_events (event_type, seq);
CREATE INDEX audit_events_created_at ON audit_events (created_at);

-- Final executions are frozen, but for their release.
CREATE TRIGGER executions_final BEFORE UPDATE OF
    id, origin, runbook, runbook_version, server, server_group, status, phase, rollback,
    verification, mode, trigger_name, alert_id, episode_id, decision_id, batch_id, policy_version,
    created_by, created_at, approved_by, approved_at, expires_at, held_until, next_try_at,
    started_at, completed_at, duration_ms, error_message, skip_reason, cancel_requested_at,
    breaker_probe
    ON executions WHEN OLD.status IN ('completed', 'failed', 'timeout', 'cancelled', 'rejected', 'expired')
BEGIN SELECT RAISE(ABORT, 'frozen: this execution is final'); END;
CREATE TRIGGER execution_details_final BEFORE UPDATE OF
    execution_id, plan_json, plan_hash, parameters, context_vars, inputs_hash, run_key,
    correlation_id, timeout_secs, on_resolved, retry_of, rollback_of, reason, idempotency_key,
    idempotency_token, approval_gates, approval_reason, rejected_by, rejected_at, rejection_reason,
    cancel_requested_by, cancel_reason, conflicting_execution_id, waits_since, queued_ms,
    connect_tries, claimed_by, outputs, output_summary
    ON execution_details WHEN EXISTS (
        SELECT 1 FROM executions WHERE id = OLD.execution_id
        AND status IN ('completed', 'failed', 'timeout', 'cancelled', 'rejected', 'expired'))
BEGIN SELECT RAISE(ABORT, 'frozen: this execution is final'); END;
-- What an execution was made from never changes.
CREATE TRIGGER execution_details_plan BEFORE UPDATE OF
    execution_id, plan_json, plan_hash, parameters, context_vars, inputs_hash, run_key, correlation_id,
    timeout_secs, on_resolved, retry_of, rollback_of
    ON execution_details
BEGIN SELECT RAISE(ABORT, 'frozen: the plan of an execution never changes'); END;
CREATE TRIGGER execution_events_append BEFORE UPDATE ON execution_events
BEGIN SELECT RAISE(ABORT, 'frozen: events are only added'); END;
CREATE TRIGGER execution_events_keep BEFORE DELETE ON execution_events WHEN EXISTS (
        SELECT 1 FROM executions WHERE id = OLD.execution_id
        AND status NOT IN ('completed', 'failed', 'timeout', 'cancelled', 'rejected', 'expired'))
BEGIN SELECT RAISE(ABORT, 'frozen: this execution is not over'); END;
-- The audit log is only added to.
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'frozen: the audit log is only added to'); END;
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'frozen: the audit log is only added to'); END;
