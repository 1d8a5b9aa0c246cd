//! The audit log as evidence: its chain, its anchors, and what was refused.
//!
//! [`seal`] gives events their places in the chain, which the housekeeper does for all replicas; [`anchor`] tells the
//! chain's length outside of the database; [`fn@verify`] walks it; [`refusals`] counts who was not let in. Events are written by
//! whoever does something, in the transaction of what they tell of (`store::audit`).

pub mod anchor;
pub mod refusals;
pub mod seal;
pub mod verify;

pub use refusals::{Refusals, Refused};
pub use seal::Sealer;
pub use verify::{Report, verify};
