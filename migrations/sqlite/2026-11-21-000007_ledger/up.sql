INSERT INTO audit_event_types (event_type) VALUES
    ('AUDIT_CHAIN_STARTED'),
    ('AUDIT_VERIFIED'),
    ('AUDIT_EXPORTED'),
    ('AUDIT_PRUNED'),
    ('RECORDS_PRUNED'),
    ('LEGAL_HOLD_SET'),
    ('LEGAL_HOLD_RELEASED'),
    ('ACCESS_REFUSED');

-- An audit event's place in the chain.
CREATE TABLE audit_links (
    position INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    mac TEXT NOT NULL,
    linked_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_links_seq ON audit_links (seq);
CREATE TRIGGER audit_links_no_update BEFORE UPDATE ON audit_links
BEGIN SELECT RAISE(ABORT, 'frozen: the audit chain is only added to'); END;
CREATE TRIGGER audit_links_no_delete BEFORE DELETE ON audit_links
BEGIN SELECT RAISE(ABORT, 'frozen: the audit chain is only added to'); END;
