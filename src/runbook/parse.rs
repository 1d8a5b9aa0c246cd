//! YAML to a runbook.
