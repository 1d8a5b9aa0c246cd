DROP INDEX executions_decision_id;
DROP INDEX deliveries_received_at;
DROP TRIGGER audit_links_no_delete;
CREATE TRIGGER audit_links_no_delete BEFORE DELETE ON audit_links
BEGIN SELECT RAISE(ABORT, 'frozen: the audit chain is only added to'); END;
DROP TRIGGER audit_events_no_delete;
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'frozen: the audit log is only added to'); END;
DROP TABLE audit_permits;
DROP TABLE legal_holds;
