DROP INDEX executions_approved_at;
