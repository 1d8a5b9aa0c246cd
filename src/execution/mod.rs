//! Executions: their states, what may follow what, and what to do next.
//!
//! Pure. The state is the replay of the stored [`event::Event`]s; [`machine`] applies one, [`mod@next`] says what to do.
//! `engine/execute` performs it; recovery is replay plus the same `next`.

pub mod status;

pub mod event;
pub mod state;

pub mod machine;
pub mod next;
pub mod retry;
pub mod rollback;
pub mod signature;

#[cfg(test)]
mod tests;

pub use event::{After, Event, Outcome, Place};
pub use machine::{IllegalTransition, apply, begin, replay};
pub use next::{Effect, next};
pub use state::{State, StepState};
pub use status::{Origin, Phase, RollbackState, Status, StepStatus, Verification};
