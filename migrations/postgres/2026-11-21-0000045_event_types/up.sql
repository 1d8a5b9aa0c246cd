-- The words that audit_events.event_type may be. A later migration adds a row here for each new word.
CREATE TABLE audit_event_types (
    event_type text NOT NULL,
    PRIMARY KEY (event_type)
);
INSERT INTO audit_event_types (event_type) VALUES
    ('PLANNED'),
    ('STEP_STARTED'),
    ('STEP_FINISHED'),
    ('VERIFICATION_STARTED'),
    ('VERIFICATION_FINISHED'),
    ('STATUS_UPDATED'),
    ('COMPLETED'),
    ('FAILED'),
    ('DECIDED'),
    ('APPROVED'),
    ('REJECTED'),
    ('ROLLBACK_STARTED'),
    ('UNDO_STARTED'),
    ('UNDO_FINISHED'),
    ('ROLLBACK_FINISHED'),
    ('INTERRUPTED'),
    ('REATTACHED'),
    ('CANCEL_REQUESTED'),
    ('RELEASED'),
    ('MANUAL_REQUESTED'),
    ('ALERT_REPLAYED'),
    ('PAUSED'),
    ('RESUMED'),
    ('BLACKOUT_CREATED'),
    ('BLACKOUT_UPDATED'),
    ('BLACKOUT_DELETED'),
    ('BREAKER_CHANGED'),
    ('SERVER_CREATED'),
    ('SERVER_UPDATED'),
    ('SERVER_DELETED'),
    ('MAINTENANCE_CHANGED'),
    ('RUNBOOK_VERSIONED'),
    ('RUNBOOK_OVERRIDDEN'),
    ('CONFIG_RELOADED'),
    ('CONFIG_CHANGED'),
    ('ENGINE_STARTED'),
    ('ENGINE_STOPPED');

ALTER TABLE audit_events DROP CONSTRAINT audit_events_event_type_check;
-- Not a foreign key: that would lock the word's row in each transaction.
CREATE FUNCTION douse_known_event_type() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_event_types WHERE event_type = NEW.event_type) THEN
        RAISE EXCEPTION 'audit_events.event_type is no known word: %', NEW.event_type;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_events_event_type BEFORE INSERT ON audit_events
    FOR EACH ROW EXECUTE FUNCTION douse_known_event_type();
