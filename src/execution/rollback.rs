//! What is undone, in which order, and whether at all.
//!
//! Called by [`mod@super::next`] when a run goes wrong, and by the engine when a person asks to undo an ended run.

use crate::runbook::model::OnInterrupted;
use crate::runbook::plan::Plan;

use super::StepStatus;
use super::state::State;

/// Why a run ends other than well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A step failed.
    Failure,
    /// A step's or the execution's time was over.
    Timeout,
    /// A person asked.
    Cancel,
    /// What became of a step is unknown, and the runbook does not want to wait for a person (`on_interrupted`).
    Interrupted,
}

/// Whether the runbook wants its undos run after `cause`.
pub const fn is_wanted(plan: &Plan, cause: Cause) -> bool {
    plan.rollback.enabled
        && match cause {
            Cause::Failure => plan.rollback.after_failure,
            Cause::Timeout => plan.rollback.after_timeout,
            Cause::Cancel => plan.rollback.after_cancel,
            Cause::Interrupted => matches!(plan.on_interrupted, OnInterrupted::Rollback),
        }
}

/// The steps to undo, in the order in which to undo them: each step that may have changed the host and has an undo, the
/// last started first; those that did not end well only with `include_failed`.
///
/// Invariant: never a step that the host did not see, never one twice.
pub fn order(state: &State, plan: &Plan) -> Vec<usize> {
    let is_undone = |index: &usize| {
        let Some(step) = state.steps.get(*index) else { return false };
        let has_undo = plan.steps.get(*index).is_some_and(|planned| planned.undo.is_some());
        let is_included = plan.rollback.include_failed || step.status == StepStatus::Completed;
        has_undo && step.is_touched && is_included
    };
    state.started.iter().rev().copied().filter(is_undone).collect()
}

/// What is left to undo of an ended run: [`order`] without what its own rollback, or one of the earlier ones by hand
/// (`others`), has undone already.
pub fn order_by_hand(state: &State, others: &[State], plan: &Plan) -> Vec<usize> {
    let undos = || std::iter::once(state).chain(others).flat_map(|state| &state.undos);
    let is_done = |index: usize| undos().any(|undo| undo.step == index && undo.state.status == StepStatus::Completed);
    order(state, plan).into_iter().filter(|index| !is_done(*index)).collect()
}
