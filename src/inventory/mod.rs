//! The servers that Douse may touch, and how labels name exactly one of them.
//!
//! Pure. `servers.yml` is parsed here; `resolve` never answers with "all". Called from `engine/gating`, `config` and
//! the command line.

pub mod resolve;
pub mod server;

pub use server::{Auth, Server};
