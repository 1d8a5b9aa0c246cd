//! The webhook's wire format.
