//! Tests: runbooks.
