//! Safe templates.
