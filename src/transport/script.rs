//! The script that a host's shell reads.
