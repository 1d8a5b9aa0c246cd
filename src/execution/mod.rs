//! Executions: their states, what may follow what, and what to do next.
//!
//! Pure. The state is the replay of the stored [`event::Event`]s; [`machine`] applies one, [`next`] says what to do.
//! `engine/execute` performs it; recovery is replay plus the same `next`.

pub mod event;
pub mod machine;
pub mod next;
pub mod retry;
pub mod rollback;
pub mod status;

pub use status::{Origin, Phase, RollbackState, Status, StepStatus, Verification};
