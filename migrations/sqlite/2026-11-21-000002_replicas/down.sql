DROP TABLE execution_leases;
DROP TABLE changes;
DROP TABLE duties;
DROP TABLE replicas;
