//! The servers that Douse may touch, and how labels name exactly one of them.
//!
//! Pure. [`mod@file`] parses `servers.yml` (reading it is `config`'s work), [`Inventory::resolve`] never answers with
//! "all", [`allowed`] says whether a runbook may act on a server. Called from `engine/gating`, `config` and the
//! command line.

pub mod allowed;
pub mod draft;
pub mod file;
pub mod host_key;
pub mod import;
pub mod resolve;
pub mod secret;
pub mod server;

pub use allowed::NotAllowed;
pub use resolve::{Inventory, Unresolved};
pub use secret::SecretAt;
pub use server::{Auth, Protocol, Server};

#[cfg(test)]
pub(crate) mod tests;
