-- A `douse serve` that works on this database, or did.
CREATE TABLE replicas (
    id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    policy_version text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (id)
);
CREATE INDEX replicas_lease_until ON replicas (lease_until) WHERE ended_at IS NULL;

-- What one replica does for all: the housekeeping.
CREATE TABLE duties (
    name text NOT NULL,
    replica_id uuid,
    fence bigint NOT NULL,
    taken_at timestamptz,
    PRIMARY KEY (name)
);
INSERT INTO duties (name, replica_id, fence, taken_at) VALUES ('housekeeping', NULL, 0, NULL);

-- What all replicas have to look at anew when its number has grown.
CREATE TABLE changes (
    name text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (name)
);
INSERT INTO changes (name, number) VALUES ('files', 0), ('servers', 0);

-- Which replica may write an execution that runs: one row beside each execution.
CREATE TABLE execution_leases (
    execution_id uuid NOT NULL REFERENCES executions,
    made_by uuid,
    replica_id uuid,
    fence bigint NOT NULL,
    PRIMARY KEY (execution_id)
);
CREATE INDEX execution_leases_replica_id ON execution_leases (replica_id);
INSERT INTO execution_leases (execution_id, made_by, replica_id, fence) SELECT id, NULL, NULL, 0 FROM executions;
