//! Where an execution and its places stand: what the replay of its events yields.
//!
//! Only [`super::machine`] changes it. It does not know the plan's texts; [`mod@super::next`] puts the two together.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::id::AttemptId;

use super::event::{Outcome, Place};
use super::{Phase, RollbackState, Status, StepStatus, Verification};

/// An execution, as its events tell it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct State {
    pub status: Status,
    pub phase: Phase,
    pub rollback: RollbackState,
    pub verification: Verification,
    pub created_at: Timestamp,
    /// Steps of another execution's plan that this one only undoes, in order.
    pub undoes: Option<Vec<usize>>,
    pub approved_by: Option<String>,
    /// Who has said yes while more have to.
    pub agreed: Vec<String>,
    /// Set while the claim was put off by a gate; the inner `None` waits for a release.
    pub held_until: Option<Option<Timestamp>>,
    /// When to try to reach the host again.
    pub next_try_at: Option<Timestamp>,
    /// Tries in vain, one after the other, to reach the host before anything was run.
    pub reach_tries: u32,
    /// When the first of them was made.
    pub unreached_since: Option<Timestamp>,
    /// The last reason why the host was not reached; set while the execution has to go back and wait for it.
    pub unreached: Option<String>,
    /// When it was claimed (last).
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Since when the kill switch keeps it.
    pub halted_since: Option<Timestamp>,
    /// How long the kill switch kept it before that.
    pub halted_for: Duration,
    /// Who asked it to stop.
    pub cancelled_by: Option<String>,
    /// Its own time is over.
    pub is_timed_out: bool,
    /// One per step of the plan.
    pub steps: Vec<StepState>,
    /// Indices of the steps in the order in which they were first attempted.
    pub started: Vec<usize>,
    /// In the order in which they are run.
    pub undos: Vec<UndoState>,
    /// The attempt whose outcome is not known yet.
    pub in_flight: Option<InFlight>,
    pub error: Option<String>,
    pub skip_reason: Option<String>,
    /// A person freed the target.
    pub is_released: bool,
}

/// A step or an undo.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StepState {
    pub status: StepStatus,
    /// Its condition was found true.
    pub is_condition_met: bool,
    /// Attempts made, whatever came of them.
    pub attempts: u32,
    /// Of these, since the last time the execution was claimed.
    pub tries: u32,
    /// Of these, those whose outcome is unknown.
    pub lost: u32,
    /// The host may have been changed by it.
    pub is_touched: bool,
    /// Its last attempt can be found again on its host.
    pub is_held: bool,
    /// Not before this, when it is to be tried again.
    pub retry_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// How its last attempt ended.
    pub outcome: Option<Outcome>,
    /// Why nothing was sent: code and message.
    pub refusal: Option<(String, String)>,
}

impl StepState {
    /// Not reached yet.
    pub const fn new() -> Self {
        Self {
            status: StepStatus::Pending,
            is_condition_met: false,
            attempts: 0,
            tries: 0,
            lost: 0,
            is_touched: false,
            is_held: false,
            retry_at: None,
            started_at: None,
            ended_at: None,
            outcome: None,
            refusal: None,
        }
    }

    /// Whether it ended with anything but success.
    pub const fn has_failed(&self) -> bool {
        match self.status {
            StepStatus::Failed | StepStatus::Timeout | StepStatus::Cancelled | StepStatus::Interrupted => true,
            StepStatus::Pending | StepStatus::Running | StepStatus::Completed | StepStatus::Skipped => false,
        }
    }

    /// Whether nothing more comes of it.
    pub const fn is_over(&self) -> bool {
        match self.status {
            StepStatus::Pending | StepStatus::Running => false,
            StepStatus::Completed
            | StepStatus::Failed
            | StepStatus::Timeout
            | StepStatus::Skipped
            | StepStatus::Cancelled
            | StepStatus::Interrupted => true,
        }
    }
}

impl Default for StepState {
    fn default() -> Self {
        Self::new()
    }
}

/// One undo.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UndoState {
    /// The index of the step that it undoes.
    pub step: usize,
    pub state: StepState,
}

/// An attempt whose outcome is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct InFlight {
    pub place: Place,
    pub attempt: AttemptId,
}

impl State {
    /// The step or undo at `place`.
    pub fn at(&self, place: Place) -> Option<&StepState> {
        match place {
            Place::Step(index) => self.steps.get(index),
            Place::Undo(position) => self.undos.get(position).map(|undo| &undo.state),
        }
    }

    /// The same, to be changed by the machine.
    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut StepState> {
        match place {
            Place::Step(index) => self.steps.get_mut(index),
            Place::Undo(position) => self.undos.get_mut(position).map(|undo| &mut undo.state),
        }
    }

    /// Whether anything may have been changed on the host.
    pub fn is_touched(&self) -> bool {
        let undos = self.undos.iter().map(|undo| &undo.state);
        self.steps.iter().chain(undos).any(|step| step.is_touched)
    }

    /// Time that counts against the execution's time-out: since the claim, without what the kill switch took.
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        let Some(started) = self.started_at else { return Duration::ZERO };
        let halted = self.halted_for + self.halted_since.map_or(Duration::ZERO, |since| now.since(since));
        now.since(started).saturating_sub(halted)
    }

    /// Whether its target stays locked although nothing runs: until a person releases it.
    pub fn holds_target(&self) -> bool {
        let is_stuck = self.rollback == RollbackState::Stuck || self.status == Status::Interrupted;
        self.status == Status::Running || (is_stuck && !self.is_released)
    }
}
