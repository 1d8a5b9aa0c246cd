-- Figures for people who ask the database itself; the API's `stats/…` routes take any time.

-- Executions of each runbook (the seed's view, by name).
CREATE VIEW execution_stats AS
SELECT
    r.id AS runbook_id,
    r.name AS runbook_name,
    COUNT(e.id) AS total_executions,
    COUNT(CASE WHEN e.status = 'completed' THEN 1 END) AS successful,
    COUNT(CASE WHEN e.status IN ('failed', 'timeout') THEN 1 END) AS failed,
    AVG(CASE WHEN e.status IN ('completed', 'failed', 'timeout') THEN e.duration_ms END) AS avg_duration_ms,
    MAX(e.started_at) AS last_execution
FROM runbooks r
LEFT JOIN executions e ON e.runbook = r.name
GROUP BY r.id, r.name;

-- How often a runbook worked on a server, in 30 days.
CREATE VIEW success_rates AS
SELECT
    server AS target_resource,
    runbook AS workflow_id,
    COUNT(*) AS total_executions,
    COUNT(CASE WHEN status = 'completed' THEN 1 END) AS successful,
    100.0 * COUNT(CASE WHEN status = 'completed' THEN 1 END) / COUNT(*) AS success_rate_pct
FROM executions
WHERE status IN ('completed', 'failed', 'timeout') AND completed_at > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-720 hours')
GROUP BY server, runbook;

-- What failed in 24 hours.
CREATE VIEW recent_failures AS
SELECT id, server AS target_resource, runbook AS workflow_id, status, error_message AS failure_message, completed_at
FROM executions
WHERE status IN ('failed', 'timeout') AND completed_at > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-24 hours');

-- Why nothing ran, in 7 days.
CREATE VIEW skip_reasons AS
SELECT skip_reason, COUNT(*) AS skip_count FROM (
    SELECT COALESCE(skip_reason, hold_reason) AS skip_reason FROM decisions
    WHERE verdict IN ('held', 'refused', 'observed', 'withdrawn') AND created_at > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-168 hours')
    UNION ALL
    SELECT skip_reason FROM executions
    WHERE status IN ('cancelled', 'rejected', 'expired') AND started_at IS NULL AND created_at > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-168 hours')
) AS skipped
WHERE skip_reason IS NOT NULL
GROUP BY skip_reason;

-- What became of episodes, in 7 days.
CREATE VIEW decision_funnel AS
SELECT verdict, COUNT(*) AS decisions, COUNT(execution_id) AS executions
FROM decisions
WHERE created_at > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-168 hours')
GROUP BY verdict;

-- Whether the alerts went away.
CREATE VIEW effectiveness AS
SELECT runbook AS workflow_id, verification, COUNT(*) AS executions
FROM executions
WHERE status IN ('completed', 'failed', 'timeout')
GROUP BY runbook, verification;
