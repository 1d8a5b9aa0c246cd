//! Tests: ssh.
