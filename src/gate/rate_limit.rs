//! Rate limits: how many executions may start in a sliding window; of the runbook, on the server, over all.

use std::time::Duration;

use serde_json::json;

use super::phrase::{count, moment, span};
use super::{Gate, GateVerdict, Reason, Subject, Verdict};
use crate::clock::Timestamp;

/// Every limit that applies to the run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    pub limits: Vec<Limit>,
}

/// One limit, and how much of it is used up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    pub scope: LimitScope,
    /// Zero: switched off.
    pub count: u32,
    pub window: Duration,
    /// Starts that count, in any order. Older ones than the window do no harm; of more than `count`, the latest will do.
    pub starts: Vec<Timestamp>,
    /// Executions that will start (approved), or run since before the window: they use the limit up as well.
    pub reserved: u32,
}

/// Over what a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitScope {
    /// The runbook's executions on all servers.
    Runbook,
    /// The runbook's executions on this server.
    Server,
    /// All executions.
    Global,
}

impl LimitScope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Runbook => "runbook",
            Self::Server => "server",
            Self::Global => "global",
        }
    }
}

impl Limit {
    /// When there is room for one more: `None` when there is now, `Some(None)` when that depends on reservations.
    ///
    /// A start counts for exactly `window`: one at 10:00:00 no longer counts at 10:01:00 with a window of one minute.
    pub fn full_until(&self, now: Timestamp) -> Option<Option<Timestamp>> {
        let limit = self.count as usize;
        let reserved = self.reserved as usize;
        let mut starts: Vec<Timestamp> =
            self.starts.iter().copied().filter(|start| start.plus(self.window) > now).collect();
        if limit == 0 || self.window.is_zero() || starts.len() + reserved < limit {
            return None;
        }
        if reserved >= limit {
            return Some(None);
        }
        // Room comes when the (limit − reserved)th latest start leaves the window.
        starts.sort_unstable();
        let leaving = starts.len().checked_sub(limit - reserved)?;
        Some(starts.get(leaving).map(|start| start.plus(self.window)))
    }

    fn what(&self, subject: &Subject) -> String {
        match self.scope {
            LimitScope::Runbook => format!("`{}`", subject.runbook),
            LimitScope::Server => subject.run(),
            LimitScope::Global => "all runbooks together".to_owned(),
        }
    }

    fn used(&self, now: Timestamp) -> usize {
        self.starts.iter().filter(|start| start.plus(self.window) > now).count() + self.reserved as usize
    }
}

/// Holds until every limit has room; that of several full ones which has it last.
pub fn ask(facts: &Facts, subject: &Subject, now: Timestamp) -> GateVerdict {
    let gate = Gate::RateLimit;
    let on: Vec<&Limit> = facts.limits.iter().filter(|limit| limit.count > 0 && !limit.window.is_zero()).collect();
    let evidence = on.iter().map(|limit| {
        json!({
            "scope": limit.scope.as_str(), "limit": limit.count, "window_seconds": limit.window.as_secs(),
            "used": limit.used(now), "reserved": limit.reserved,
        })
    });
    let evidence = json!({ "limits": evidence.collect::<Vec<_>>() });
    let full = on.iter().filter_map(|limit| limit.full_until(now).map(|until| (limit, until)));
    // One that waits for a release outlasts all that have a moment.
    if let Some((limit, until)) = full.max_by_key(|(_, until)| (until.is_none(), *until)) {
        let end = match until {
            Some(until) => format!("there is room again at {}", moment(until, now)),
            None => "there is room again when those that wait to start are done".to_owned(),
        };
        let message = format!(
            "{} may start {} in {}, and has used that up; {end}",
            limit.what(subject),
            count(limit.count as usize, "time"),
            span(limit.window)
        );
        return GateVerdict::object(gate, Verdict::Hold(until), Reason::RateLimited, message).because(evidence);
    }
    let said = on.iter().map(|limit| {
        let used = count(limit.used(now), "start");
        format!("{}: {used} of {} in {}", limit.what(subject), limit.count, span(limit.window))
    });
    let said = said.collect::<Vec<_>>().join("; ");
    GateVerdict::allow(gate, if said.is_empty() { "no rate limit is set".to_owned() } else { said }).because(evidence)
}
