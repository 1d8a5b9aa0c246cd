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
    position bigint NOT NULL,
    seq bigint NOT NULL,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    mac text NOT NULL,
    linked_at timestamptz NOT NULL,
    PRIMARY KEY (position)
);
CREATE UNIQUE INDEX audit_links_seq ON audit_links (seq);
CREATE TRIGGER audit_links_no_update BEFORE UPDATE ON audit_links
    FOR EACH STATEMENT EXECUTE FUNCTION douse_frozen('the audit chain is only added to');
CREATE TRIGGER audit_links_no_delete BEFORE DELETE ON audit_links
    FOR EACH STATEMENT EXECUTE FUNCTION douse_frozen('the audit chain is only added to');
CREATE TRIGGER audit_links_no_truncate BEFORE TRUNCATE ON audit_links
    FOR EACH STATEMENT EXECUTE FUNCTION douse_frozen('the audit chain is only added to');
