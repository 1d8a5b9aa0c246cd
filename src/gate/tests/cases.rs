//! Facts to which no gate objects, and every way in which every gate does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::blackout::{self, BlackoutSpec};
use super::super::circuit_breaker::{Breaker, BreakerState};
use super::super::kill_switch::{Pause, PauseScope};
use super::super::*;
use crate::execution::Status;
use crate::id::{ExecutionId, PauseId};
use crate::inventory::{NotAllowed, Unresolved};
use crate::runbook::model::{CircuitBreakerSpec, Mode, RunbookStatus};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn now() -> Timestamp {
    "2026-03-03T10:02:00Z".parse().unwrap()
}

pub(super) fn subject(origin: Origin) -> Subject {
    Subject {
        origin,
        runbook: "restart-nginx".to_owned(),
        trigger: Some("nginx down".to_owned()),
        server: Some("web1".to_owned()),
        group: Some("web".to_owned()),
        approved_gates: Vec::new(),
        approved_by: None,
    }
}

/// Facts to which no gate objects.
pub(super) fn harmless() -> Facts {
    Facts {
        subject: subject(Origin::Alert),
        kill_switch: Ok(kill_switch::Facts::default()),
        runbook_status: Ok(runbook_status::Facts { file: Some(RunbookStatus::Active), operator: None }),
        parameters: Ok(parameters::Facts { accepted: vec!["service".to_owned()], rejected: Vec::new() }),
        target: Ok(target::Facts::One { server: "web1".to_owned() }),
        plan: Ok(plan::Facts::Rendered { hash: "ab12".to_owned(), steps: 3 }),
        maintenance: Ok(maintenance::Facts { server: "web1".to_owned(), is_paused: false }),
        blackout: Ok(blackout::Facts {
            blackouts: Vec::new(),
            category: "service-management".to_owned(),
            target: blackout::Target {
                server: "web1".to_owned(),
                group: Some("web".to_owned()),
                tags: vec!["nginx".to_owned()],
            },
            is_ignored: false,
        }),
        cooldown: Ok(cooldown::Facts { cooldown: 5 * MINUTE, last_start: None }),
        recently_remediated: Ok(recently_remediated::Facts { window: 5 * MINUTE, last_completion: None }),
        attempts: Ok(attempts::Facts { limit: 3, window: HOUR, failed_at: Vec::new() }),
        rate_limit: Ok(rate_limit::Facts { limits: vec![limit(2, HOUR)] }),
        circuit_breaker: Ok(circuit_breaker::Facts {
            spec: breaker_spec(),
            breaker: Breaker::default(),
            in_flight: None,
        }),
        duplicate: Ok(duplicate::Facts::default()),
        target_lock: Ok(target_lock::Facts::default()),
        blast_radius: Ok(blast_radius::Facts {
            min: 3,
            percent: 20,
            window: 10 * MINUTE,
            group_size: 10,
            touched: BTreeSet::new(),
        }),
        too_young: Ok(too_young::Facts {
            firing_since: now().minus(3 * MINUTE),
            min_firing_for: Duration::ZERO,
            min_occurrences: None,
        }),
        still_firing: Ok(still_firing::Facts {
            must_fire: true,
            ended_at: None,
            firing_since: now().minus(3 * MINUTE),
            max_alert_age: None,
            queued_for: Duration::ZERO,
            max_queue_age: HOUR,
        }),
        mode: Ok(mode::Facts { is_observing: false, runbook: Mode::Auto, requires_approval: false }),
    }
}

pub(super) fn limit(count: u32, window: Duration) -> rate_limit::Limit {
    rate_limit::Limit { scope: rate_limit::LimitScope::Runbook, count, window, starts: Vec::new(), reserved: 0 }
}

pub(super) fn breaker_spec() -> CircuitBreakerSpec {
    CircuitBreakerSpec { failure_threshold: 5, success_threshold: 3, reset_timeout: 30 * MINUTE }
}

pub(super) fn pause(scope: PauseScope, until: Option<Timestamp>) -> Pause {
    Pause {
        id: PauseId::new(),
        scope,
        until,
        reason: "network work".to_owned(),
        by: "ann".to_owned(),
        since: now().minus(HOUR),
    }
}

pub(super) fn one_off(effect: &str) -> Vec<blackout::Blackout> {
    let spec: BlackoutSpec = serde_json::from_value(serde_json::json!({
        "name": "deploy", "effect": effect,
        "once": {"start": "2026-03-03T10:00:00Z", "end": "2026-03-03T11:00:00Z"},
    }))
    .unwrap();
    vec![spec.parse(chrono_tz::UTC).unwrap()]
}

/// One way in which one gate objects.
pub(super) struct Objection {
    pub(super) gate: Gate,
    pub(super) case: &'static str,
    pub(super) apply: fn(&mut Facts),
    pub(super) verdict: Verdict,
    pub(super) reason: Reason,
}

pub(super) fn until(text: &str) -> Verdict {
    Verdict::Hold(Some(text.parse().unwrap()))
}

/// Every way in which every gate objects, one per line.
pub(super) fn objections() -> Vec<Objection> {
    use Reason as R;
    use Verdict::{Approve, Hold, Refuse};
    fn o(gate: Gate, case: &'static str, verdict: Verdict, reason: R, apply: fn(&mut Facts)) -> Objection {
        Objection { gate, case, apply, verdict, reason }
    }
    vec![
        o(Gate::KillSwitch, "everything is paused", Hold(None), R::Paused, |f| {
            f.kill_switch.as_mut().unwrap().pauses.push(pause(PauseScope::Global, None));
        }),
        o(Gate::KillSwitch, "the runbook is paused for a time", until("2026-03-03T11:02:00Z"), R::Paused, |f| {
            let scope = PauseScope::Runbook("restart-nginx".to_owned());
            f.kill_switch.as_mut().unwrap().pauses.push(pause(scope, Some(now().plus(HOUR))));
        }),
        o(Gate::KillSwitch, "the group is paused", Hold(None), R::Paused, |f| {
            f.kill_switch.as_mut().unwrap().pauses.push(pause(PauseScope::Group("web".to_owned()), None));
        }),
        o(Gate::KillSwitch, "the server is paused", Hold(None), R::Paused, |f| {
            f.kill_switch.as_mut().unwrap().pauses.push(pause(PauseScope::Server("web1".to_owned()), None));
        }),
        o(Gate::RunbookStatus, "disabled in its file", Refuse, R::RunbookDisabled, |f| {
            f.runbook_status.as_mut().unwrap().file = Some(RunbookStatus::Disabled);
        }),
        o(Gate::RunbookStatus, "disabled by an operator", Refuse, R::RunbookDisabled, |f| {
            f.runbook_status.as_mut().unwrap().operator = Some(RunbookStatus::Disabled);
        }),
        o(Gate::RunbookStatus, "the stricter of file and operator wins", Refuse, R::RunbookDisabled, |f| {
            let status = f.runbook_status.as_mut().unwrap();
            (status.file, status.operator) = (Some(RunbookStatus::Disabled), Some(RunbookStatus::Active));
        }),
        o(Gate::RunbookStatus, "a draft", Refuse, R::RunbookDraft, |f| {
            f.runbook_status.as_mut().unwrap().file = Some(RunbookStatus::Draft);
        }),
        o(Gate::RunbookStatus, "in no file any more", Refuse, R::RunbookGone, |f| {
            f.runbook_status.as_mut().unwrap().file = None;
        }),
        o(Gate::Parameters, "one is rejected", Refuse, R::ParamRejected, |f| {
            let problem = "parameter `service` must match `[a-z]+`".to_owned();
            let rejected = parameters::Rejected { name: "service".to_owned(), problem };
            f.parameters.as_mut().unwrap().rejected.push(rejected);
        }),
        o(Gate::Target, "nobody is called so", Refuse, R::UnknownTarget, |f| {
            let unknown = Unresolved::Unknown { value: "web9".to_owned(), similar: vec!["web1".to_owned()] };
            f.target = Ok(target::Facts::Unresolved(unknown));
        }),
        o(Gate::Target, "two could be meant", Refuse, R::AmbiguousTarget, |f| {
            let candidates = vec!["web1".to_owned(), "web2".to_owned()];
            f.target = Ok(target::Facts::Unresolved(Unresolved::Ambiguous { value: "web".to_owned(), candidates }));
        }),
        o(Gate::Target, "not one of the allowed servers", Refuse, R::TargetNotAllowed, |f| {
            let not_allowed = NotAllowed::Tag { server: "web1".to_owned(), tag: "db".to_owned() };
            f.target = Ok(target::Facts::NotAllowed(not_allowed));
        }),
        o(Gate::Target, "`target.from` cannot be rendered", Refuse, R::UnknownTarget, |f| {
            f.target = Ok(target::Facts::Unreadable { problem: "`alert.labels.host` is undefined".to_owned() });
        }),
        o(Gate::Plan, "an unsafe value", Refuse, R::UnsafeValue, |f| {
            f.plan = Ok(plan::Facts::UnsafeValue(trouble()));
        }),
        o(Gate::Plan, "an undefined name", Refuse, R::TemplateError, |f| {
            f.plan = Ok(plan::Facts::TemplateError(trouble()));
        }),
        o(Gate::Maintenance, "the server is paused", Approve, R::Maintenance, |f| {
            f.maintenance.as_mut().unwrap().is_paused = true;
        }),
        o(Gate::Blackout, "one that holds", until("2026-03-03T11:00:00Z"), R::Blackout, |f| {
            f.blackout.as_mut().unwrap().blackouts = one_off("hold");
        }),
        o(Gate::Blackout, "one that refuses", Refuse, R::Blackout, |f| {
            f.blackout.as_mut().unwrap().blackouts = one_off("refuse");
        }),
        o(Gate::Blackout, "one that asks", Approve, R::Blackout, |f| {
            f.blackout.as_mut().unwrap().blackouts = one_off("approve");
        }),
        o(Gate::Blackout, "the worst of several", Refuse, R::Blackout, |f| {
            f.blackout.as_mut().unwrap().blackouts = [one_off("hold"), one_off("refuse"), one_off("approve")].concat();
        }),
        o(Gate::Blackout, "one that cannot be read", Hold(None), R::Blackout, |f| {
            f.blackout.as_mut().unwrap().blackouts =
                vec![blackout::Blackout::unreadable(None, "odd", "no zone `Mars`")];
        }),
        o(Gate::Cooldown, "ran two minutes ago", until("2026-03-03T10:05:00Z"), R::Cooldown, |f| {
            f.cooldown.as_mut().unwrap().last_start = Some((ExecutionId::new(), now().minus(2 * MINUTE)));
        }),
        o(
            Gate::RecentlyRemediated,
            "completed four minutes ago",
            until("2026-03-03T10:03:00Z"),
            R::RecentlyRemediated,
            |f| {
                let completion = Some((ExecutionId::new(), now().minus(4 * MINUTE)));
                f.recently_remediated.as_mut().unwrap().last_completion = completion;
            },
        ),
        o(Gate::Attempts, "three failures in an hour", Approve, R::TooManyAttempts, |f| {
            f.attempts.as_mut().unwrap().failed_at = vec![now(), now().minus(MINUTE), now().minus(59 * MINUTE)];
        }),
        o(Gate::RateLimit, "two starts in an hour", until("2026-03-03T10:22:00Z"), R::RateLimited, |f| {
            let starts = vec![now().minus(MINUTE), now().minus(40 * MINUTE)];
            f.rate_limit.as_mut().unwrap().limits = vec![rate_limit::Limit { starts, ..limit(2, HOUR) }];
        }),
        o(Gate::RateLimit, "reservations fill it", Hold(None), R::RateLimited, |f| {
            f.rate_limit.as_mut().unwrap().limits = vec![rate_limit::Limit { reserved: 2, ..limit(2, HOUR) }];
        }),
        o(Gate::CircuitBreaker, "open", until("2026-03-03T10:12:00Z"), R::CircuitOpen, |f| {
            let opened_at = Some(now().minus(20 * MINUTE));
            let breaker = &mut f.circuit_breaker.as_mut().unwrap().breaker;
            (breaker.state, breaker.opened_at) = (BreakerState::Open, opened_at);
        }),
        o(Gate::CircuitBreaker, "opened by a person", Hold(None), R::CircuitOpen, |f| {
            let breaker = &mut f.circuit_breaker.as_mut().unwrap().breaker;
            *breaker = Breaker::default().force_open(now().minus(HOUR));
        }),
        o(Gate::CircuitBreaker, "half-open with a probe under way", Hold(None), R::CircuitProbing, |f| {
            let facts = f.circuit_breaker.as_mut().unwrap();
            facts.in_flight = Some(ExecutionId::new());
            (facts.breaker.state, facts.breaker.opened_at) = (BreakerState::Open, Some(now().minus(HOUR)));
        }),
        o(Gate::Duplicate, "this episode has its execution", Refuse, R::Duplicate, |f| {
            f.duplicate.as_mut().unwrap().execution = Some((ExecutionId::new(), Status::Completed));
        }),
        o(Gate::TargetLock, "another execution runs there", Hold(None), R::ResourceBusy, |f| {
            f.target_lock.as_mut().unwrap().holder = Some(holder(false));
        }),
        o(Gate::TargetLock, "a rollback is stuck there", Hold(None), R::ResourceBusy, |f| {
            f.target_lock.as_mut().unwrap().holder = Some(holder(true));
        }),
        o(Gate::BlastRadius, "the fourth target of ten", Approve, R::BlastRadius, |f| {
            let touched = ["web2", "web3", "web4"].map(str::to_owned);
            f.blast_radius.as_mut().unwrap().touched = touched.into();
        }),
        o(Gate::TooYoung, "fires too short", until("2026-03-03T10:04:00Z"), R::TooYoung, |f| {
            f.too_young.as_mut().unwrap().min_firing_for = 5 * MINUTE;
        }),
        o(Gate::TooYoung, "fired too few times", Refuse, R::TooFew, |f| {
            let occurrences = too_young::Occurrences { wanted: 3, within: HOUR, seen: 2 };
            f.too_young.as_mut().unwrap().min_occurrences = Some(occurrences);
        }),
        o(Gate::StillFiring, "resolved", Refuse, R::Resolved, |f| {
            f.still_firing.as_mut().unwrap().ended_at = Some(now().minus(SECOND));
        }),
        o(Gate::StillFiring, "too old", Refuse, R::Stale, |f| {
            f.still_firing.as_mut().unwrap().max_alert_age = Some(2 * MINUTE);
        }),
        o(Gate::StillFiring, "waited for too long", Refuse, R::Stale, |f| {
            f.still_firing.as_mut().unwrap().queued_for = HOUR;
        }),
        o(Gate::Mode, "asks first", Approve, R::ApprovalRequired, |f| {
            f.mode.as_mut().unwrap().runbook = Mode::SemiAuto
        }),
        o(Gate::Mode, "requires an approval", Approve, R::ApprovalRequired, |f| {
            f.mode.as_mut().unwrap().requires_approval = true;
        }),
        o(Gate::Mode, "a person starts it", Refuse, R::ManualOnly, |f| f.mode.as_mut().unwrap().runbook = Mode::Manual),
        o(Gate::Mode, "a manual one that needs a yes as well", Refuse, R::ManualOnly, |f| {
            let mode = f.mode.as_mut().unwrap();
            (mode.runbook, mode.requires_approval) = (Mode::Manual, true);
        }),
        o(Gate::Mode, "only looks", Refuse, R::Observed, |f| f.mode.as_mut().unwrap().runbook = Mode::Observe),
        o(Gate::Mode, "Douse only looks", Refuse, R::Observed, |f| f.mode.as_mut().unwrap().is_observing = true),
    ]
}

pub(super) fn trouble() -> plan::Trouble {
    plan::Trouble {
        step: Some("Restart service".to_owned()),
        name: Some("SERVICE_NAME".to_owned()),
        problem: "`SERVICE_NAME` holds `;`".to_owned(),
    }
}

pub(super) fn holder(needs_release: bool) -> target_lock::Holder {
    target_lock::Holder {
        execution: ExecutionId::new(),
        runbook: "rotate-logs".to_owned(),
        since: now().minus(MINUTE),
        needs_release,
    }
}
