//! Deciding whether something may run: facts from the database, the gates' answers, and what follows, in one transaction.
//!
//! The gates themselves are pure ([`crate::gate`]); here their facts are read, and their answers written with all that
//! they entail: a decision, an execution, audit events. They are asked when an episode is decided ([`fn@decide`]), again
//! when a held decision's moment comes ([`recheck_due`]), when a person asks ([`request`]), and right before the first
//! step ([`fn@claim`]). [`fn@explain`] asks without writing. Whoever counts takes the store's decision turn first, so that no
//! limit is exceeded, whatever the concurrency.

mod ask;
mod batch;
mod claim;
mod decide;
mod explain;
mod facts;
mod outcome;
mod person;
mod prepare;
mod reasons;
mod recheck;
mod rows;
mod start;

pub use claim::{Claimed, claim};
pub use decide::{Decided, decide, decide_again, decide_episode_again, decide_no_match};
pub use explain::explain;
pub use outcome::{breaker_at, change_breaker, record_outcome, target_freed};
pub use person::{Answer, RunRequest, request, retry};
pub use prepare::Incident;
pub use reasons::why_asked;
pub use recheck::{recheck_due, withdraw_resolved};
