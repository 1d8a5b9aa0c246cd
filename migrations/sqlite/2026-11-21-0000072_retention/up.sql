-- Records that are kept, whatever the retention says.
CREATE TABLE legal_holds (
    id TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('all', 'execution', 'runbook', 'server')),
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    released_at TEXT,
    released_by TEXT,
    PRIMARY KEY (id)
) STRICT;

-- Up to where the retention may take the audit log away, in the transaction that does; empty at all other times.
CREATE TABLE audit_permits (
    through_position INTEGER NOT NULL,
    through_seq INTEGER NOT NULL,
    PRIMARY KEY (through_position, through_seq)
) STRICT;
DROP TRIGGER audit_events_no_delete;
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events WHEN NOT EXISTS (
    SELECT 1 FROM audit_permits p WHERE OLD.seq <= p.through_seq OR p.through_position >= (SELECT l.position FROM audit_links l WHERE l.seq = OLD.seq))
BEGIN SELECT RAISE(ABORT, 'frozen: the audit log is only added to'); END;
DROP TRIGGER audit_links_no_delete;
CREATE TRIGGER audit_links_no_delete BEFORE DELETE ON audit_links WHEN NOT EXISTS (
    SELECT 1 FROM audit_permits p WHERE OLD.position <= p.through_position)
BEGIN SELECT RAISE(ABORT, 'frozen: the audit chain is only added to'); END;
CREATE INDEX deliveries_received_at ON deliveries (received_at);
-- What is taken away is looked for in what refers to it.
CREATE INDEX executions_decision_id ON executions (decision_id);
