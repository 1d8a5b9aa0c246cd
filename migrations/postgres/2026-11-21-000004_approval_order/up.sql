-- Who was approved last: the next approval comes after it.
CREATE INDEX executions_approved_at ON executions (approved_at);
