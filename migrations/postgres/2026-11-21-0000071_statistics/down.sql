DROP VIEW execution_stats;
DROP VIEW success_rates;
DROP VIEW recent_failures;
DROP VIEW skip_reasons;
DROP VIEW decision_funnel;
DROP VIEW effectiveness;
