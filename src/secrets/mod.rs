//! Secrets at rest and on their way out: master keys, envelopes, and what is taken out of logs and records.
//!
//! | file | decides |
//! | --- | --- |
//! | [`keyring`] | which master keys there are, and which one seals what is new |
//! | [`envelope`] | how one secret is sealed, to which row it is bound, and how it opens |
//! | [`sealed`] | a secret of the database as the inventory carries it: closed until a connection needs it |
//! | [`redact`] | the last gate before a log, a record, an answer: secrets that the process knows |
//! | [`shape`] | what is known to be a secret by its look or its name |
//! | [`mask`] | the same for what commands printed, with the secrets of one run |
//!
//! What is stored where is `store`'s business, who may store it `engine/people`'s. Called from `config` (key files),
//! `engine/keys` (canaries, rotation), `engine/policy` (servers of the database).

pub mod envelope;
mod forms;
pub mod keyring;
pub(crate) mod mask;
pub mod redact;
pub mod sealed;
mod shape;

pub use envelope::{Envelope, Place, SealError};
pub use keyring::Keyring;
