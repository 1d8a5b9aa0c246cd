//! SSH by russh.
