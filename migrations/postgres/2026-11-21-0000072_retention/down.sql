DROP INDEX executions_decision_id;
DROP INDEX deliveries_received_at;
DROP TRIGGER audit_links_no_delete ON audit_links;
CREATE TRIGGER audit_links_no_delete BEFORE DELETE ON audit_links
    FOR EACH STATEMENT EXECUTE FUNCTION douse_frozen('the audit chain is only added to');
DROP TRIGGER audit_events_no_delete ON audit_events;
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION douse_frozen('the audit log is only added to');
DROP FUNCTION douse_link_kept;
DROP FUNCTION douse_event_kept;
DROP TABLE audit_permits;
DROP TABLE legal_holds;
