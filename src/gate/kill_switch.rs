//! Kill switch: nothing starts while a pause is on.

use serde_json::json;

use super::phrase::moment;
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;
use crate::execution::Origin;
use crate::id::PauseId;

/// Pauses that nobody has resumed, of whatever scope.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    pub pauses: Vec<Pause>,
    /// Why the engine does not believe its clock; then nothing starts by itself.
    pub clock: Option<String>,
}

/// One use of the kill switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pause {
    pub id: PauseId,
    pub scope: PauseScope,
    /// It ends by itself then; `None`: when somebody resumes.
    pub until: Option<Timestamp>,
    pub reason: String,
    pub by: String,
    pub since: Timestamp,
}

/// What a pause stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PauseScope {
    Global,
    Runbook(String),
    /// A group of servers.
    Group(String),
    Server(String),
}

impl PauseScope {
    fn covers(&self, subject: &Subject) -> bool {
        match self {
            Self::Global => true,
            Self::Runbook(name) => *name == subject.runbook,
            Self::Group(name) => subject.server.is_some() && subject.group.as_ref() == Some(name),
            Self::Server(name) => subject.server.as_ref() == Some(name),
        }
    }

    /// How the command line names it.
    fn flag(&self) -> String {
        match self {
            Self::Global => String::new(),
            Self::Runbook(name) => format!(" --runbook {name}"),
            Self::Group(name) => format!(" --group {name}"),
            Self::Server(name) => format!(" --server {name}"),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Global => "everything".to_owned(),
            Self::Runbook(name) => format!("runbook `{name}`"),
            Self::Group(name) => format!("server group {name}"),
            Self::Server(name) => format!("server {name}"),
        }
    }
}

impl Pause {
    /// On at `now`, and stops this run.
    pub fn stops(&self, subject: &Subject, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now) && self.scope.covers(subject)
    }
}

/// Holds until the last of the pauses that cover the run is over.
pub fn ask(facts: &Facts, subject: &Subject, now: Timestamp) -> GateVerdict {
    let stopping: Vec<&Pause> = facts.pauses.iter().filter(|pause| pause.stops(subject, now)).collect();
    // One without an end outlasts all that have one.
    if let (Some(doubt), Origin::Alert, true) = (&facts.clock, subject.origin, stopping.is_empty()) {
        return GateVerdict::object(Gate::KillSwitch, Verdict::Hold(None), Reason::ClockDoubted, doubt.clone());
    }
    let Some(longest) = stopping.iter().max_by_key(|pause| (pause.until.is_none(), pause.until)) else {
        return GateVerdict::allow(Gate::KillSwitch, "nothing is paused");
    };
    let what = longest.scope.what();
    let Pause { by, reason, since, .. } = longest;
    let end = match longest.until {
        Some(until) => format!("until {}", moment(until, now)),
        None => format!("until somebody resumes (`douse resume{}`)", longest.scope.flag()),
    };
    let since = moment(*since, now);
    let message = format!("{what} is paused {end}: {by} threw the kill switch at {since}, saying “{reason}”");
    let evidence = stopping
        .iter()
        .map(|pause| json!({"pause_id": pause.id, "scope": pause.scope.what(), "until": pause.until, "by": pause.by}))
        .collect::<Vec<_>>();
    GateVerdict::object(Gate::KillSwitch, Verdict::Hold(longest.until), Reason::Paused, message)
        .because(json!({ "pauses": evidence }))
}
