//! Tests: gates.
