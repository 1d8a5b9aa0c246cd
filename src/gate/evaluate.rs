//! Asking every gate, and what follows from all the answers.

use std::fmt;

use serde_json::{Map, Value};

use super::{
    Facts, Gate, GateVerdict, Known, Missing, Reason, Subject, Verdict, attempts, blackout, blast_radius,
    circuit_breaker, cooldown, duplicate, kill_switch, maintenance, mode, parameters, plan, rate_limit,
    recently_remediated, runbook_status, still_firing, target, target_lock, too_young,
};
use crate::clock::Timestamp;
use crate::execution::Origin;
use crate::id::ExecutionId;

/// All answers, and the worst of them.
///
/// Invariant: `verdicts` holds each gate exactly once, in the order of [`Gate::ALL`].
#[derive(Clone, PartialEq, Debug)]
pub struct Evaluation {
    pub verdicts: Vec<GateVerdict>,
    /// refuse > hold (until the latest of the holds; `None` if one waits for a release) > approve > allow.
    pub outcome: Verdict,
}

/// Asks every gate, in order, and never stops at an objection.
pub fn evaluate(facts: &Facts, now: Timestamp) -> Evaluation {
    let subject = &facts.subject;
    let mut asker = Asker { subject, now, target_refuses: false, verdicts: Vec::with_capacity(Gate::ALL.len()) };
    // The target gate is looked at first only to know whether a missing server is accounted for.
    let target = asker.answer(Gate::Target, &facts.target, target::ask);
    asker.target_refuses = target.verdict == Verdict::Refuse;

    asker.ask(Gate::KillSwitch, &facts.kill_switch, kill_switch::ask);
    asker.ask(Gate::RunbookStatus, &facts.runbook_status, runbook_status::ask);
    asker.ask(Gate::Parameters, &facts.parameters, parameters::ask);
    asker.verdicts.push(target);
    asker.ask(Gate::Plan, &facts.plan, plan::ask);
    asker.ask(Gate::Maintenance, &facts.maintenance, maintenance::ask);
    asker.ask(Gate::Blackout, &facts.blackout, blackout::ask);
    asker.ask(Gate::Cooldown, &facts.cooldown, cooldown::ask);
    asker.ask(Gate::RecentlyRemediated, &facts.recently_remediated, recently_remediated::ask);
    asker.ask(Gate::Attempts, &facts.attempts, attempts::ask);
    asker.ask(Gate::RateLimit, &facts.rate_limit, rate_limit::ask);
    asker.ask(Gate::CircuitBreaker, &facts.circuit_breaker, circuit_breaker::ask);
    asker.ask(Gate::Duplicate, &facts.duplicate, duplicate::ask);
    asker.ask(Gate::TargetLock, &facts.target_lock, target_lock::ask);
    asker.ask(Gate::BlastRadius, &facts.blast_radius, blast_radius::ask);
    asker.ask(Gate::TooYoung, &facts.too_young, too_young::ask);
    asker.ask(Gate::StillFiring, &facts.still_firing, still_firing::ask);
    asker.ask(Gate::Mode, &facts.mode, mode::ask);
    Evaluation::of(asker.verdicts)
}

struct Asker<'a> {
    subject: &'a Subject,
    now: Timestamp,
    target_refuses: bool,
    verdicts: Vec<GateVerdict>,
}

impl Asker<'_> {
    fn ask<T>(&mut self, gate: Gate, facts: &Known<T>, ask: fn(&T, &Subject, Timestamp) -> GateVerdict) {
        let verdict = self.answer(gate, facts, ask);
        self.verdicts.push(verdict);
    }

    fn answer<T>(&self, gate: Gate, facts: &Known<T>, ask: fn(&T, &Subject, Timestamp) -> GateVerdict) -> GateVerdict {
        if let Some(why) = exemption(gate, self.subject.origin) {
            return GateVerdict::allow(gate, why);
        }
        match facts {
            Ok(facts) => override_or_approve(ask(facts, self.subject, self.now), self.subject),
            Err(Missing::NoTarget) if self.target_refuses => {
                GateVerdict::allow(gate, "not asked: no server is known to ask about")
            }
            Err(Missing::NoTarget) => unknown(gate, "no server is known"),
            Err(Missing::Unknown(why)) => unknown(gate, why),
        }
    }
}

fn unknown(gate: Gate, why: &str) -> GateVerdict {
    let message = format!("{gate} could not be checked, so nothing may start: {why}");
    GateVerdict::object(gate, Verdict::Refuse, Reason::Unknown, message)
}

/// Gates that are not asked at all, by where the run comes from.
fn exemption(gate: Gate, origin: Origin) -> Option<&'static str> {
    match (origin, gate) {
        (Origin::Alert, _) => None,
        (Origin::Manual | Origin::Retry | Origin::Schedule, Gate::Duplicate | Gate::TooYoung | Gate::StillFiring) => {
            Some("not asked: no alert started this run")
        }
        // Undoing must stay possible while starting is forbidden; a person asked for it. The kill switch, the target and
        // its lock still rule.
        (
            Origin::Rollback,
            Gate::RunbookStatus
            | Gate::Maintenance
            | Gate::Blackout
            | Gate::Cooldown
            | Gate::RecentlyRemediated
            | Gate::Attempts
            | Gate::RateLimit
            | Gate::CircuitBreaker
            | Gate::Duplicate
            | Gate::BlastRadius
            | Gate::TooYoung
            | Gate::StillFiring,
        ) => Some("not asked: undoing an ended run is not held back by this"),
        (Origin::Manual | Origin::Retry | Origin::Schedule | Origin::Rollback, _) => None,
    }
}

/// A valid approval satisfies the gates that it listed; a person is not held back by cooldown or by `manual` and
/// `semi_auto`.
fn override_or_approve(verdict: GateVerdict, subject: &Subject) -> GateVerdict {
    if verdict.verdict == Verdict::Approve && subject.approved_gates.contains(&verdict.gate) {
        let who = subject.approved_by.as_deref().unwrap_or("a person");
        return given(verdict, "approved_by", who, &format!("{who} approved it"));
    }
    let is_overridden = match (verdict.gate, verdict.reason) {
        (Gate::Cooldown, Some(Reason::Cooldown)) | (Gate::Mode, Some(Reason::ManualOnly)) => true,
        (Gate::Mode, Some(Reason::ApprovalRequired)) => verdict.evidence["semi_auto_only"] == Value::Bool(true),
        _ => false,
    };
    if is_overridden && subject.is_by_person() {
        let was = verdict.verdict.as_str();
        return given(verdict, "overridden", was, "overridden by the person who asked");
    }
    verdict
}

/// Turns an objection into "allow", and keeps on record what it was.
fn given(verdict: GateVerdict, key: &str, value: &str, how: &str) -> GateVerdict {
    let mut evidence = match verdict.evidence {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    evidence.insert(key.to_owned(), Value::from(value));
    if let Some(reason) = verdict.reason {
        evidence.insert("objection".to_owned(), Value::from(reason.as_str()));
    }
    GateVerdict::allow(verdict.gate, format!("{} ({how})", verdict.message)).because(Value::Object(evidence))
}

impl Evaluation {
    /// The worst of the answers wins, in whatever order they come.
    pub fn of(verdicts: Vec<GateVerdict>) -> Self {
        let outcome = verdicts.iter().map(|verdict| verdict.verdict).fold(Verdict::Allow, worse);
        Self { verdicts, outcome }
    }

    /// The first answer that is as bad as the outcome: what to show when there is room for one line.
    pub fn leading(&self) -> Option<&GateVerdict> {
        let rank = rank(self.outcome);
        self.objections().find(|verdict| rank == self::rank(verdict.verdict))
    }

    /// Every answer that is not "allow".
    pub fn objections(&self) -> impl Iterator<Item = &GateVerdict> {
        self.verdicts.iter().filter(|verdict| verdict.verdict != Verdict::Allow)
    }

    /// The gates that want a person's yes: what an approval has to cover.
    pub fn approvals(&self) -> Vec<Gate> {
        self.verdicts.iter().filter(|verdict| verdict.verdict == Verdict::Approve).map(|verdict| verdict.gate).collect()
    }

    /// The gates that hold.
    pub fn holds(&self) -> Vec<Gate> {
        self.verdicts
            .iter()
            .filter(|verdict| matches!(verdict.verdict, Verdict::Hold(_)))
            .map(|verdict| verdict.gate)
            .collect()
    }

    /// It runs now, or as soon as a person agrees.
    pub fn is_going_ahead(&self) -> bool {
        matches!(self.outcome, Verdict::Allow | Verdict::Approve)
    }

    /// `observe` is the only objection: it would have run.
    pub fn is_observed_only(&self) -> bool {
        let mut objections = self.objections();
        objections.next().is_some_and(|only| only.reason == Some(Reason::Observed)) && objections.next().is_none()
    }

    /// The reason of the leading objection, when it refuses or holds.
    pub fn skip_reason(&self) -> Option<Reason> {
        match self.outcome {
            Verdict::Refuse | Verdict::Hold(_) => self.leading().and_then(|leading| leading.reason),
            Verdict::Allow | Verdict::Approve => None,
        }
    }

    /// The execution that stands in the way, when the leading objection names one.
    pub fn conflicting_execution(&self) -> Option<ExecutionId> {
        self.leading()?.evidence.get("execution_id")?.as_str()?.parse().ok()
    }

    /// The answer of one gate.
    pub fn of_gate(&self, gate: Gate) -> Option<&GateVerdict> {
        self.verdicts.iter().find(|verdict| verdict.gate == gate)
    }
}

/// One sentence for one line of output.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leading() {
            Some(leading) => write!(f, "{}: {}", leading.gate, leading.message),
            None => f.write_str("no gate objects"),
        }
    }
}

fn worse(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        // A hold that waits for a release has no moment; a known moment must not shorten it.
        (Verdict::Hold(one), Verdict::Hold(other)) => Verdict::Hold(one.zip(other).map(|(one, other)| one.max(other))),
        _ if rank(other) > rank(one) => other,
        _ => one,
    }
}

const fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Approve => 1,
        Verdict::Hold(_) => 2,
        Verdict::Refuse => 3,
    }
}
