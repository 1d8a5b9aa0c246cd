//! Blackouts: windows in which nothing may start, on chosen servers and for chosen runbooks.
//!
//! Pure. [`spec`] is what a person writes, in `douse.yml` or to the API; [`Blackout`] is what it means; [`window`] says
//! when it is on. A blackout that cannot be read counts as on: nobody can tell that it is not.

use std::time::Duration;

use serde_json::json;

use super::phrase::moment;
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::id::BlackoutId;
use crate::words::words;

pub mod cron;
pub mod scope;
pub mod spec;
mod text;
pub mod window;
pub mod zone;

#[cfg(test)]
mod tests;

pub use scope::{RunbookScope, ServerScope, Target};
pub use spec::{BlackoutError, BlackoutSpec, Recurrence};
pub use window::Schedule;

words! {
    /// What a blackout does to a run that would start in it.
    Effect {
        /// It waits for the end.
        Hold = "hold",
        /// It is refused.
        Refuse = "refuse",
        /// A person must agree.
        Approve = "approve",
    }
}

/// A window in which nothing may start.
#[derive(Clone, Debug)]
pub struct Blackout {
    /// `None` for one that a file declares.
    pub id: Option<BlackoutId>,
    pub name: String,
    pub description: String,
    pub is_enabled: bool,
    pub effect: Effect,
    pub schedule: Schedule,
    pub servers: ServerScope,
    pub runbooks: RunbookScope,
}

impl Blackout {
    /// One whose stored form cannot be read: on, for everything, until somebody mends it.
    pub fn unreadable(id: Option<BlackoutId>, name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            description: String::new(),
            is_enabled: true,
            effect: Effect::Hold,
            schedule: Schedule::Unreadable(problem.into()),
            servers: ServerScope::default(),
            runbooks: RunbookScope::default(),
        }
    }

    /// Whether it covers runs of this runbook on this server.
    pub fn covers(&self, runbook: &str, category: &str, target: &Target) -> bool {
        self.servers.covers(target) && self.runbooks.covers(runbook, category)
    }

    /// Whether it is on, and until when.
    pub fn state(&self, now: Timestamp) -> State {
        if self.is_enabled { self.schedule.state(now) } else { State::Off }
    }
}

/// Whether a blackout is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// On until this moment, which is not part of it; `None`: until somebody changes it.
    On {
        until: Option<Timestamp>,
    },
    Off,
}

/// All blackouts, and what they might cover.
#[derive(Clone, Debug)]
pub struct Facts {
    pub blackouts: Vec<Blackout>,
    pub category: String,
    pub target: Target,
    /// The runbook says `guard: {blackout: ignore}`.
    pub is_ignored: bool,
}

/// Objects with the worst of the blackouts that are on and cover the run.
pub fn ask(facts: &Facts, subject: &Subject, now: Timestamp) -> GateVerdict {
    let gate = Gate::Blackout;
    let on: Vec<(&Blackout, Option<Timestamp>)> = facts
        .blackouts
        .iter()
        .filter(|blackout| blackout.covers(&subject.runbook, &facts.category, &facts.target))
        .filter_map(|blackout| match blackout.state(now) {
            State::On { until } => Some((blackout, until)),
            State::Off => None,
        })
        .collect();
    let evidence = json!({
        "blackouts": on
            .iter()
            .map(|(blackout, until)| json!({
                "blackout_id": blackout.id, "name": blackout.name, "effect": blackout.effect, "until": until,
            }))
            .collect::<Vec<_>>(),
    });
    let Some((worst, until)) =
        on.iter().max_by_key(|(blackout, until)| (severity(blackout.effect), until.is_none(), *until))
    else {
        return GateVerdict::allow(gate, "no blackout is on").because(evidence);
    };
    let name = &worst.name;
    let end = match (&worst.schedule, until) {
        (Schedule::Unreadable(problem), _) => {
            format!("cannot be read, so it counts as on until it is mended: {problem}")
        }
        (_, Some(until)) => format!("is on until {}", moment(*until, now)),
        (_, None) => "is on without an end".to_owned(),
    };
    if facts.is_ignored {
        let message = format!("blackout “{name}” {end}; `{}` ignores blackouts", subject.runbook);
        return GateVerdict::allow(gate, message).because(evidence);
    }
    let (verdict, consequence) = match worst.effect {
        Effect::Hold => (Verdict::Hold(*until), "nothing starts before"),
        Effect::Refuse => (Verdict::Refuse, "and what would start in it is refused"),
        Effect::Approve => (Verdict::Approve, "and what starts in it needs a person's yes"),
    };
    let message = format!("blackout “{name}” {end}; {consequence}");
    GateVerdict::object(gate, verdict, Reason::Blackout, message).because(evidence)
}

const fn severity(effect: Effect) -> u8 {
    match effect {
        Effect::Approve => 0,
        Effect::Hold => 1,
        Effect::Refuse => 2,
    }
}

/// Longest window or duration: a longer one is a runbook to disable, and asking about it would cost too much.
pub const LENGTH_MAX: Duration = Duration::from_secs(31 * 86_400);
