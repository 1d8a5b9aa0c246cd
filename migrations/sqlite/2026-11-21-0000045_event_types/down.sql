CREATE TABLE audit_events_new (
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
INSERT INTO audit_events_new (seq, id, event_type, actor, resource_type, resource_id, execution_id, episode_id, ip_address, created_at,
    policy_version, payload_json, payload_hash, algorithm, key_id, mac)
    SELECT seq, id, event_type, actor, resource_type, resource_id, execution_id, episode_id, ip_address, created_at,
    policy_version, payload_json, payload_hash, algorithm, key_id, mac
    FROM audit_events ORDER BY seq;
DROP TABLE audit_events;
ALTER TABLE audit_events_new RENAME TO audit_events;
CREATE UNIQUE INDEX audit_events_id ON audit_events (id);
CREATE INDEX audit_events_execution_id_seq ON audit_events (execution_id, seq);
CREATE INDEX audit_events_resource_type_resource_id_seq ON audit_events (resource_type, resource_id, seq);
CREATE INDEX audit_events_event_type_seq ON audit_events (event_type, seq);
CREATE INDEX audit_events_created_at ON audit_events (created_at);

-- The audit log is only added to.
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'frozen: the audit log is only added to'); END;
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'frozen: the audit log is only added to'); END;
DROP TABLE audit_event_types;
