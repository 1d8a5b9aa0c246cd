//! When a step is tried again.
