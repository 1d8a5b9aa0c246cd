//! Every problem of a runbook at once.
