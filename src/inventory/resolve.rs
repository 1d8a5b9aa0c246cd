//! Labels to exactly one server.
