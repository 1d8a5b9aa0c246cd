-- Records that are kept, whatever the retention says.
CREATE TABLE legal_holds (
    id uuid NOT NULL,
    scope text NOT NULL CHECK (scope IN ('all', 'execution', 'runbook', 'server')),
    name text NOT NULL,
    reason text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    released_at timestamptz,
    released_by text,
    PRIMARY KEY (id)
);

-- Up to where the retention may take the audit log away, in the transaction that does; empty at all other times.
CREATE TABLE audit_permits (
    through_position bigint NOT NULL,
    through_seq bigint NOT NULL,
    PRIMARY KEY (through_position, through_seq)
);
CREATE FUNCTION douse_event_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM audit_permits p WHERE OLD.seq <= p.through_seq
        OR p.through_position >= (SELECT l.position FROM audit_links l WHERE l.seq = OLD.seq)) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'frozen: the audit log is only added to' USING ERRCODE = 'DS001';
END $$;
CREATE FUNCTION douse_link_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM audit_permits p WHERE OLD.position <= p.through_position) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'frozen: the audit chain is only added to' USING ERRCODE = 'DS001';
END $$;
DROP TRIGGER audit_events_no_delete ON audit_events;
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION douse_event_kept();
DROP TRIGGER audit_links_no_delete ON audit_links;
CREATE TRIGGER audit_links_no_delete BEFORE DELETE ON audit_links FOR EACH ROW EXECUTE FUNCTION douse_link_kept();
CREATE INDEX deliveries_received_at ON deliveries (received_at);
-- What is taken away is looked for in what refers to it.
CREATE INDEX executions_decision_id ON executions (decision_id);
