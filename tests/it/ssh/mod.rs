//! SSH against a real sshd.

mod harness;
