//! The `douse` binary.

fn main() {}
