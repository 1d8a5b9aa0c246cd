//! Alertmanager's identity of a label set.
