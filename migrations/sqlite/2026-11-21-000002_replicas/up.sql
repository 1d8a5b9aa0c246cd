-- A `douse serve` that works on this database, or did.
CREATE TABLE replicas (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    started_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    ended_at TEXT,
    PRIMARY KEY (id)
) STRICT;
CREATE INDEX replicas_lease_until ON replicas (lease_until) WHERE ended_at IS NULL;

-- What one replica does for all: the housekeeping.
CREATE TABLE duties (
    name TEXT NOT NULL,
    replica_id TEXT,
    fence INTEGER NOT NULL,
    taken_at TEXT,
    PRIMARY KEY (name)
) STRICT;
INSERT INTO duties (name, replica_id, fence, taken_at) VALUES ('housekeeping', NULL, 0, NULL);

-- What all replicas have to look at anew when its number has grown.
CREATE TABLE changes (
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (name)
) STRICT;
INSERT INTO changes (name, number) VALUES ('files', 0), ('servers', 0);

-- Which replica may write an execution that runs: one row beside each execution.
CREATE TABLE execution_leases (
    execution_id TEXT NOT NULL REFERENCES executions,
    made_by TEXT,
    replica_id TEXT,
    fence INTEGER NOT NULL,
    PRIMARY KEY (execution_id)
) STRICT;
CREATE INDEX execution_leases_replica_id ON execution_leases (replica_id);
INSERT INTO execution_leases (execution_id, made_by, replica_id, fence) SELECT id, NULL, NULL, 0 FROM executions;
