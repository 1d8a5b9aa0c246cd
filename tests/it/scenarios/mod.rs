//! The whole engine with real programs around it, end to end.
