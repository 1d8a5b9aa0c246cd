//! `douse demo`: the whole story on this machine in a minute, without set-up, network or root.

pub mod sshd;
