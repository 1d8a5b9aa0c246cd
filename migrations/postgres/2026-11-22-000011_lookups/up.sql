-- What a decision looks up, without reading all that is newer: the newest firing alert of an episode, and the runs that
-- ended on a server lately. Lists by status go along the primary key.
CREATE INDEX alerts_episode_id_status_id ON alerts (episode_id, status, id);
DROP INDEX alerts_status_id;
CREATE INDEX executions_server_completed_at ON executions (server, completed_at);
