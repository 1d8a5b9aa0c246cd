DROP INDEX executions_server_completed_at;
CREATE INDEX alerts_status_id ON alerts (status, id);
DROP INDEX alerts_episode_id_status_id;
