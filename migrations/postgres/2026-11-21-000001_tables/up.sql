-- One value that the API may change at run time.
CREATE TABLE system_config (
    key text NOT NULL,
    value_json jsonb NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (key)
);

-- Where webhooks come from, as seen.
CREATE TABLE sources (
    name text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_delivery_at timestamptz NOT NULL,
    deliveries bigint NOT NULL,
    PRIMARY KEY (name)
);

-- One webhook request that was stored.
CREATE TABLE deliveries (
    id uuid NOT NULL,
    source text NOT NULL,
    received_at timestamptz NOT NULL,
    remote_addr text,
    content_type text,
    body bytea NOT NULL,
    body_sha256 text NOT NULL,
    format text NOT NULL CHECK (format IN ('alertmanager_v4', 'grafana_v1', 'alertmanager_api')),
    receiver text NOT NULL,
    group_key text NOT NULL,
    external_url text NOT NULL,
    truncated_alerts integer NOT NULL,
    alert_count integer NOT NULL,
    quarantined_count integer NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX deliveries_source_id ON deliveries (source, id);

-- One alert of a delivery that could not be taken.
CREATE TABLE quarantined_alerts (
    id uuid NOT NULL,
    delivery_id uuid NOT NULL REFERENCES deliveries,
    position integer NOT NULL,
    reason text NOT NULL,
    raw_json jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX quarantined_alerts_delivery_id ON quarantined_alerts (delivery_id);

-- One incident of one alert of one source.
CREATE TABLE episodes (
    id uuid NOT NULL,
    source text NOT NULL,
    fingerprint text NOT NULL,
    number integer NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'resolved', 'superseded')),
    earliest_starts_at timestamptz NOT NULL,
    latest_starts_at timestamptz NOT NULL,
    last_seen_firing timestamptz NOT NULL,
    ended_at timestamptz,
    suspect boolean NOT NULL,
    alert_id uuid,
    alert_name text NOT NULL,
    severity text NOT NULL,
    instance text NOT NULL,
    decide_state text NOT NULL CHECK (decide_state IN ('undecided', 'decided')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX episodes_source_fingerprint_number ON episodes (source, fingerprint, number);
CREATE UNIQUE INDEX episodes_one_open ON episodes (source, fingerprint) WHERE state = 'open';
CREATE INDEX episodes_decide_state_id ON episodes (decide_state, id) WHERE decide_state = 'undecided';
CREATE INDEX episodes_state_id ON episodes (state, id);

-- One label set with a status, as one delivery told it.
CREATE TABLE alerts (
    id uuid NOT NULL,
    delivery_id uuid NOT NULL REFERENCES deliveries,
    position integer NOT NULL,
    source text NOT NULL,
    fingerprint text NOT NULL,
    received_at timestamptz NOT NULL,
    alert_name text NOT NULL,
    severity text NOT NULL,
    instance text NOT NULL,
    job text NOT NULL,
    status text NOT NULL CHECK (status IN ('firing', 'resolved')),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,
    generator_url text NOT NULL,
    labels_json jsonb NOT NULL,
    annotations_json jsonb NOT NULL,
    annotations_cut boolean NOT NULL,
    raw_alert_json jsonb NOT NULL,
    group_json jsonb NOT NULL,
    identity_hash text NOT NULL,
    episode_id uuid NOT NULL REFERENCES episodes,
    episode_relation text NOT NULL CHECK (episode_relation IN ('new', 'same', 'late', 'resolved', 'stale', 'reopened')),
    matched_trigger text,
    action_taken text,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX alerts_episode_id_identity_hash ON alerts (episode_id, identity_hash);
CREATE INDEX alerts_delivery_id ON alerts (delivery_id);
CREATE INDEX alerts_source_fingerprint ON alerts (source, fingerprint);
CREATE INDEX alerts_source_identity_hash ON alerts (source, identity_hash);
-- A hash: a btree refuses names of more than some 2,700 bytes, and labels may be longer.
CREATE INDEX alerts_alert_name_id ON alerts USING hash (alert_name);
CREATE INDEX alerts_status_id ON alerts (status, id);

-- A runbook that the database has seen, and what an operator decided about it.
CREATE TABLE runbooks (
    id uuid NOT NULL,
    name text NOT NULL,
    current_version integer NOT NULL,
    content_hash text NOT NULL,
    category text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('auto', 'semi_auto', 'manual', 'observe')),
    status text NOT NULL CHECK (status IN ('active', 'disabled', 'draft')),
    status_override text CHECK (status_override IN ('active', 'disabled')),
    override_by text,
    override_at timestamptz,
    override_reason text,
    present boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX runbooks_name ON runbooks (name);
CREATE INDEX runbooks_category ON runbooks (category);
CREATE INDEX runbooks_status_mode ON runbooks (status, mode);

-- One content that a runbook has had.
CREATE TABLE runbook_versions (
    runbook_id uuid NOT NULL REFERENCES runbooks,
    version integer NOT NULL,
    content_hash text NOT NULL,
    yaml_content text NOT NULL,
    change_summary text NOT NULL,
    path text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (runbook_id, version)
);
CREATE UNIQUE INDEX runbook_versions_runbook_id_content_hash ON runbook_versions (runbook_id, content_hash);

-- A trigger of the present version of a runbook, for listing.
CREATE TABLE triggers (
    runbook_id uuid NOT NULL REFERENCES runbooks,
    position integer NOT NULL,
    name text NOT NULL,
    priority integer NOT NULL,
    enabled boolean NOT NULL,
    cooldown_secs bigint,
    last_triggered_at timestamptz,
    PRIMARY KEY (runbook_id, position)
);
CREATE UNIQUE INDEX triggers_runbook_id_name ON triggers (runbook_id, name);
CREATE INDEX triggers_enabled_priority ON triggers (enabled, priority);

-- A server made through the API, or the state of one that a file declares.
CREATE TABLE servers (
    id uuid NOT NULL,
    name text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('file', 'api')),
    hostname text,
    port integer,
    username text,
    os_type text CHECK (os_type IN ('linux', 'windows')),
    protocol text,
    auth_type text CHECK (auth_type IN ('key', 'password', 'agent')),
    key_file text,
    passphrase_file text,
    password_file text,
    become_password_file text,
    host_keys jsonb NOT NULL,
    tags jsonb NOT NULL,
    server_group text,
    environment text,
    paused_override boolean,
    paused_by text,
    paused_at timestamptz,
    paused_reason text,
    last_connection_test timestamptz,
    last_connection_status text CHECK (last_connection_status IN ('success', 'failed')),
    last_connection_message text,
    removed_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT servers_api_is_whole CHECK (origin = 'file' OR (hostname IS NOT NULL AND port IS NOT NULL AND username IS NOT NULL AND os_type IS NOT NULL AND auth_type IS NOT NULL))
);
CREATE UNIQUE INDEX servers_name ON servers (name);

-- All gates' answers for one episode, runbook and trigger.
CREATE TABLE decisions (
    id uuid NOT NULL,
    episode_id uuid NOT NULL REFERENCES episodes,
    alert_id uuid REFERENCES alerts,
    runbook text,
    runbook_version integer,
    trigger_name text,
    trigger_position integer,
    server text,
    server_group text,
    verdict text NOT NULL CHECK (verdict IN (
        'allowed', 'approval', 'held', 'refused', 'no_match', 'observed', 'withdrawn')),
    held_until timestamptz,
    hold_reason text,
    waits_since timestamptz,
    queued_ms bigint NOT NULL,
    skip_reason text,
    conflicting_execution_id uuid,
    gates_json jsonb NOT NULL,
    execution_id uuid,
    batch_id uuid,
    policy_version text NOT NULL,
    rechecks integer NOT NULL,
    created_at timestamptz NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT decisions_name_their_trigger CHECK (verdict = 'no_match' OR (runbook IS NOT NULL AND trigger_name IS NOT NULL))
);
CREATE UNIQUE INDEX decisions_episode_id_runbook_trigger_name ON decisions (episode_id, runbook, trigger_name);
CREATE UNIQUE INDEX decisions_one_no_match ON decisions (episode_id) WHERE verdict = 'no_match';
CREATE INDEX decisions_held_until ON decisions (held_until) WHERE verdict = 'held';
CREATE INDEX decisions_verdict_id ON decisions (verdict, id);
CREATE INDEX decisions_runbook_id ON decisions (runbook, id);
CREATE INDEX decisions_alert_id ON decisions (alert_id);

-- Several pending executions of one runbook in one group that are approved by one yes.
CREATE TABLE approval_batches (
    id uuid NOT NULL,
    runbook text NOT NULL,
    server_group text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'closed', 'approved', 'rejected', 'expired')),
    window_ends_at timestamptz NOT NULL,
    members_json jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by text,
    reason text,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX approval_batches_one_open ON approval_batches (runbook, server_group) WHERE state = 'open';
CREATE INDEX approval_batches_state_id ON approval_batches (state, id);

-- Where one run of a plan stands.
CREATE TABLE executions (
    id uuid NOT NULL,
    origin text NOT NULL CHECK (origin IN ('alert', 'manual', 'retry', 'schedule', 'rollback')),
    runbook text NOT NULL,
    runbook_version integer NOT NULL,
    server text NOT NULL,
    server_group text,
    status text NOT NULL CHECK (status IN (
        'pending', 'approved', 'running', 'completed', 'failed', 'timeout', 'cancelled', 'rejected',
        'expired', 'interrupted')),
    phase text NOT NULL CHECK (phase IN ('main', 'verify', 'rollback', 'finally')),
    rollback text NOT NULL CHECK (rollback IN ('none', 'running', 'done', 'stuck')),
    verification text NOT NULL CHECK (verification IN (
        'none', 'pending', 'effective', 'ineffective', 'inconclusive')),
    mode text NOT NULL CHECK (mode IN ('auto', 'semi_auto', 'manual', 'observe')),
    trigger_name text,
    alert_id uuid REFERENCES alerts,
    episode_id uuid REFERENCES episodes,
    decision_id uuid REFERENCES decisions,
    batch_id uuid REFERENCES approval_batches,
    policy_version text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    approved_by text,
    approved_at timestamptz,
    expires_at timestamptz,
    held_until timestamptz,
    next_try_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    duration_ms bigint,
    error_message text,
    skip_reason text,
    cancel_requested_at timestamptz,
    breaker_probe boolean NOT NULL,
    released_at timestamptz,
    PRIMARY KEY (id),
    CONSTRAINT executions_running_have_started CHECK (status <> 'running' OR started_at IS NOT NULL)
);
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
    execution_id uuid NOT NULL REFERENCES executions,
    plan_json jsonb NOT NULL,
    plan_hash text NOT NULL,
    parameters jsonb NOT NULL,
    context_vars jsonb NOT NULL,
    inputs_hash text NOT NULL,
    run_key text NOT NULL,
    correlation_id text NOT NULL,
    timeout_secs bigint NOT NULL,
    on_resolved text NOT NULL CHECK (on_resolved IN ('finish', 'stop_after_step', 'rollback')),
    retry_of uuid,
    rollback_of uuid,
    reason text,
    idempotency_key text,
    idempotency_token text,
    approval_gates jsonb NOT NULL,
    approval_reason text,
    rejected_by text,
    rejected_at timestamptz,
    rejection_reason text,
    cancel_requested_by text,
    cancel_reason text,
    conflicting_execution_id uuid,
    waits_since timestamptz,
    queued_ms bigint NOT NULL,
    connect_tries integer NOT NULL,
    claimed_by text,
    outputs jsonb NOT NULL,
    output_summary text,
    released_by text,
    released_reason text,
    PRIMARY KEY (execution_id)
);
CREATE INDEX execution_details_run_key ON execution_details (run_key);
CREATE INDEX execution_details_retry_of ON execution_details (retry_of);
CREATE INDEX execution_details_rollback_of ON execution_details (rollback_of);

-- What the execution's machine was told, in order; its state is their replay.
CREATE TABLE execution_events (
    execution_id uuid NOT NULL REFERENCES executions,
    seq integer NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    event_json jsonb NOT NULL,
    PRIMARY KEY (execution_id, seq)
);

-- A step or undo of an execution, as far as it has come.
CREATE TABLE steps (
    id uuid NOT NULL,
    execution_id uuid NOT NULL REFERENCES executions,
    phase text NOT NULL CHECK (phase IN ('main', 'verify', 'rollback', 'finally')),
    step_order integer NOT NULL,
    step_id text NOT NULL,
    name text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'pending', 'running', 'completed', 'failed', 'timeout', 'skipped', 'cancelled', 'interrupted')),
    sensitive boolean NOT NULL,
    retry_attempt integer NOT NULL,
    exit_code integer,
    started_at timestamptz,
    completed_at timestamptz,
    duration_ms bigint,
    error_code text,
    error_message text,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX steps_execution_id_phase_step_order ON steps (execution_id, phase, step_order);

-- One try of one step, stored when it starts.
CREATE TABLE attempts (
    id uuid NOT NULL,
    step_run_id uuid NOT NULL REFERENCES steps,
    execution_id uuid NOT NULL REFERENCES executions,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    ending text CHECK (ending IN ('exited', 'signalled', 'timed_out', 'cancelled', 'not_started', 'lost')),
    exit_code integer,
    signal text,
    kill_confirmed boolean,
    error_message text,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX attempts_step_run_id_number ON attempts (step_run_id, number);
CREATE INDEX attempts_execution_id ON attempts (execution_id);

-- What one attempt printed on one stream, bounded and masked.
CREATE TABLE outputs (
    attempt_id uuid NOT NULL REFERENCES attempts,
    stream text NOT NULL CHECK (stream IN ('stdout', 'stderr')),
    head text NOT NULL,
    tail text NOT NULL,
    total_bytes bigint NOT NULL,
    truncated boolean NOT NULL,
    sha256 text NOT NULL,
    PRIMARY KEY (attempt_id, stream)
);

-- Which execution holds a server.
CREATE TABLE target_locks (
    server text NOT NULL,
    execution_id uuid NOT NULL REFERENCES executions,
    taken_at timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason IN ('running', 'stuck', 'interrupted')),
    PRIMARY KEY (server)
);
CREATE UNIQUE INDEX target_locks_execution_id ON target_locks (execution_id);

-- A window, made through the API, in which nothing may start.
CREATE TABLE blackouts (
    id uuid NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    start_time timestamptz,
    end_time timestamptz,
    recurrence text NOT NULL CHECK (recurrence IN ('none', 'daily', 'weekly', 'monthly', 'cron')),
    recurrence_pattern jsonb NOT NULL,
    cron text,
    duration_secs bigint,
    timezone text NOT NULL,
    effect text NOT NULL CHECK (effect IN ('hold', 'refuse', 'approve')),
    affected_servers jsonb NOT NULL,
    affected_runbooks jsonb NOT NULL,
    enabled boolean NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT blackouts_end_after_start CHECK (end_time IS NULL OR start_time IS NULL OR end_time > start_time)
);
CREATE UNIQUE INDEX blackouts_name ON blackouts (name);

-- A runbook's breaker.
CREATE TABLE circuit_breakers (
    runbook text NOT NULL,
    state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    failure_count integer NOT NULL,
    success_count integer NOT NULL,
    last_failure_at timestamptz,
    opened_at timestamptz,
    half_open_at timestamptz,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    reason text,
    forced_open boolean NOT NULL,
    PRIMARY KEY (runbook)
);

-- One use of the kill switch.
CREATE TABLE pauses (
    id uuid NOT NULL,
    scope text NOT NULL CHECK (scope IN ('global', 'runbook', 'group', 'server')),
    name text NOT NULL,
    reason text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    until timestamptz,
    resumed_at timestamptz,
    resumed_by text,
    PRIMARY KEY (id)
);
CREATE INDEX pauses_resumed_at ON pauses (resumed_at);

-- The answer that a key got.
CREATE TABLE idempotency_keys (
    key text NOT NULL,
    token text NOT NULL,
    request_hash text NOT NULL,
    status integer NOT NULL,
    location text,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (key, token)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- What runs did and what people did; only ever added to.
CREATE TABLE audit_events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL,
    event_type text NOT NULL CHECK (event_type IN (
        'PLANNED', 'STEP_STARTED', 'STEP_FINISHED', 'VERIFICATION_STARTED', 'VERIFICATION_FINISHED',
        'STATUS_UPDATED', 'COMPLETED', 'FAILED', 'DECIDED', 'APPROVED', 'REJECTED', 'ROLLBACK_STARTED',
        'UNDO_STARTED', 'UNDO_FINISHED', 'ROLLBACK_FINISHED', 'INTERRUPTED', 'REATTACHED',
        'CANCEL_REQUESTED', 'RELEASED', 'MANUAL_REQUESTED', 'ALERT_REPLAYED', 'PAUSED', 'RESUMED',
        'BLACKOUT_CREATED', 'BLACKOUT_UPDATED', 'BLACKOUT_DELETED', 'BREAKER_CHANGED', 'SERVER_CREATED',
        'SERVER_UPDATED', 'SERVER_DELETED', 'MAINTENANCE_CHANGED', 'RUNBOOK_VERSIONED',
        'RUNBOOK_OVERRIDDEN', 'CONFIG_RELOADED', 'CONFIG_CHANGED', 'ENGINE_STARTED', 'ENGINE_STOPPED')),
    actor text NOT NULL,
    resource_type text NOT NULL,
    resource_id text NOT NULL,
    execution_id uuid,
    episode_id uuid,
    ip_address text,
    created_at timestamptz NOT NULL,
    policy_version text NOT NULL,
    payload_json jsonb NOT NULL,
    payload_hash text NOT NULL,
    algorithm text,
    key_id text,
    mac text
);
CREATE UNIQUE INDEX audit_events_id ON audit_events (id);
CREATE INDEX audit_events_execution_id_seq ON audit_events (execution_id, seq);
CREATE INDEX audit_events_resource_type_resource_id_seq ON audit_events (resource_type, resource_id, seq);
CREATE INDEX audit_events_event_type_seq ON audit_events (event_type, seq);
CREATE INDEX audit_events_created_at ON audit_events (created_at);

-- An error class of our own (DS), so that nobody takes it for a constraint. The store knows it by "frozen:".
CREATE FUNCTION douse_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'frozen: %', TG_ARGV[0] USING ERRCODE = 'DS001';
END $$;
CREATE FUNCTION douse_frozen_when_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM executions WHERE id = OLD.execution_id
        AND status IN ('completed', 'failed', 'timeout', 'cancelled', 'rejected', 'expired')) THEN
        RAISE EXCEPTION 'frozen: this execution is final' USING ERRCODE = 'DS001';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION douse_kept_until_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM executions WHERE id = OLD.execution_id
        AND status NOT IN ('completed', 'failed', 'timeout', 'cancelled', 'rejected', 'expired')) THEN
        RAISE EXCEPTION 'frozen: this execution is not over' USING ERRCODE = 'DS001';
    END IF;
    RETURN OLD;
END $$;

-- Final executions are frozen, but for their release.
CREATE TRIGGER executions_final BEFORE UPDATE OF
    id, origin, runbook, runbook_version, server, server_group, status, phase, rollback,
    verification, mode, trigger_name, alert_id, episode_id, decision_id, batch_id, policy_version,
    created_by, created_at, approved_by, approved_at, expires_at, held_until, next_try_at,
    started_at, completed_at, duration_ms, error_message, skip_reason, cancel_requested_at,
    breaker_probe
    ON executions FOR EACH ROW WHEN (OLD.status IN ('completed', 'failed', 'timeout', 'cancelled', 'rejected', 'expired'))
    EXECUTE FUNCTION douse_frozen('this execution is final');
CREATE TRIGGER execution_details_final BEFORE UPDATE OF
    execution_id, plan_json, plan_hash, parameters, context_vars, inputs_hash, run_key,
    correlation_id, timeout_secs, on_resolved, retry_of, rollback_of, reason, idempotency_key,
    idempotency_token, approval_gates, approval_reason, rejected_by, rejected_at, rejection_reason,
    cancel_requested_by, cancel_reason, conflicting_execution_id, waits_since, queued_ms,
    connect_tries, claimed_by, outputs, output_summary
    ON execution_details FOR EACH ROW EXECUTE FUNCTION douse_frozen_when_final();
-- What an execution was made from never changes.
CREATE TRIGGER execution_details_plan BEFORE UPDATE OF
    execution_id, plan_json, plan_hash, parameters, context_vars, inputs_hash, run_key, correlation_id,
    timeout_secs, on_resolved, retry_of, rollback_of
    ON execution_details FOR EACH ROW EXECUTE FUNCTION douse_frozen('the plan of an execution never changes');
CREATE TRIGGER execution_events_append BEFORE UPDATE ON execution_events
    FOR EACH ROW EXECUTE FUNCTION douse_frozen('events are only added');
CREATE TRIGGER execution_events_keep BEFORE DELETE ON execution_events
    FOR EACH ROW EXECUTE FUNCTION douse_kept_until_final();
-- The audit log is only added to.
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION douse_frozen('the audit log is only added to');
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION douse_frozen('the audit log is only added to');
CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION douse_frozen('the audit log is only added to');
