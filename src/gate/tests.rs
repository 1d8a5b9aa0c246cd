//! Every gate alone, every pair of gates, and what holds for all of them together.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::blackout::{self, BlackoutSpec};
use super::circuit_breaker::{Breaker, BreakerState};
use super::kill_switch::{Pause, PauseScope};
use super::*;
use crate::execution::Status;
use crate::id::{ExecutionId, PauseId};
use crate::inventory::{NotAllowed, Unresolved};
use crate::runbook::model::{CircuitBreakerSpec, Mode, RunbookStatus};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn now() -> Timestamp {
    "2026-03-03T10:02:00Z".parse().unwrap()
}

fn subject(origin: Origin) -> Subject {
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
fn harmless() -> Facts {
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

fn limit(count: u32, window: Duration) -> rate_limit::Limit {
    rate_limit::Limit { scope: rate_limit::LimitScope::Runbook, count, window, starts: Vec::new(), reserved: 0 }
}

fn breaker_spec() -> CircuitBreakerSpec {
    CircuitBreakerSpec { failure_threshold: 5, success_threshold: 3, reset_timeout: 30 * MINUTE }
}

fn pause(scope: PauseScope, until: Option<Timestamp>) -> Pause {
    Pause {
        id: PauseId::new(),
        scope,
        until,
        reason: "network work".to_owned(),
        by: "ann".to_owned(),
        since: now().minus(HOUR),
    }
}

fn one_off(effect: &str) -> Vec<blackout::Blackout> {
    let spec: BlackoutSpec = serde_json::from_value(serde_json::json!({
        "name": "deploy", "effect": effect,
        "once": {"start": "2026-03-03T10:00:00Z", "end": "2026-03-03T11:00:00Z"},
    }))
    .unwrap();
    vec![spec.parse(chrono_tz::UTC).unwrap()]
}

/// One way in which one gate objects.
struct Objection {
    gate: Gate,
    case: &'static str,
    apply: fn(&mut Facts),
    verdict: Verdict,
    reason: Reason,
}

fn until(text: &str) -> Verdict {
    Verdict::Hold(Some(text.parse().unwrap()))
}

/// Every way in which every gate objects, one per line.
fn objections() -> Vec<Objection> {
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
            let problem = "must match `[a-z]+`".to_owned();
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

fn trouble() -> plan::Trouble {
    plan::Trouble {
        step: Some("Restart service".to_owned()),
        name: Some("SERVICE_NAME".to_owned()),
        problem: "`SERVICE_NAME` holds `;`".to_owned(),
    }
}

fn holder(needs_release: bool) -> target_lock::Holder {
    target_lock::Holder {
        execution: ExecutionId::new(),
        runbook: "rotate-logs".to_owned(),
        since: now().minus(MINUTE),
        needs_release,
    }
}

fn gates_of(evaluation: &Evaluation) -> Vec<Gate> {
    evaluation.verdicts.iter().map(|verdict| verdict.gate).collect()
}

/// The expected outcome, written apart from the code under test: holds meet at the latest, or at no moment at all.
fn expected(verdicts: &[Verdict]) -> Verdict {
    if verdicts.contains(&Verdict::Refuse) {
        return Verdict::Refuse;
    }
    let holds: Vec<Option<Timestamp>> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Hold(until) => Some(*until),
            Verdict::Allow | Verdict::Approve | Verdict::Refuse => None,
        })
        .collect();
    if holds.is_empty() {
        return if verdicts.contains(&Verdict::Approve) { Verdict::Approve } else { Verdict::Allow };
    }
    if holds.contains(&None) { Verdict::Hold(None) } else { Verdict::Hold(holds.into_iter().flatten().max()) }
}

#[test]
fn no_gate_objects_to_harmless_facts() {
    let evaluation = evaluate(&harmless(), now());
    assert_eq!(evaluation.outcome, Verdict::Allow);
    assert_eq!(gates_of(&evaluation), Gate::ALL);
    assert!(evaluation.verdicts.iter().all(|verdict| verdict.reason.is_none()), "{evaluation:?}");
    assert!(evaluation.verdicts.iter().all(|verdict| !verdict.message.is_empty()));
}

#[test]
fn each_gate_alone_decides_the_outcome_and_says_why() {
    let mut tried = BTreeSet::new();
    for objection in objections() {
        let mut facts = harmless();
        (objection.apply)(&mut facts);
        let evaluation = evaluate(&facts, now());
        let case = format!("{}: {}", objection.gate, objection.case);
        assert_eq!(evaluation.outcome, objection.verdict, "{case}");
        assert_eq!(gates_of(&evaluation), Gate::ALL, "{case}");
        let objecting: Vec<&GateVerdict> = evaluation.objections().collect();
        assert_eq!(objecting.len(), 1, "{case}: {objecting:?}");
        assert_eq!(objecting[0].gate, objection.gate, "{case}");
        assert_eq!(objecting[0].reason, Some(objection.reason), "{case}");
        assert!(objecting[0].message.len() > 20, "{case}: {}", objecting[0].message);
        assert!(!objecting[0].evidence.is_null(), "{case}");
        tried.insert(objection.gate);
    }
    assert_eq!(tried.into_iter().collect::<Vec<_>>(), Gate::ALL, "a gate has no case of its own");
}

#[test]
fn of_each_pair_the_worse_wins_and_both_are_shown() {
    let objections = objections();
    for one in &objections {
        for other in objections.iter().filter(|other| other.gate > one.gate) {
            let mut facts = harmless();
            (one.apply)(&mut facts);
            (other.apply)(&mut facts);
            let evaluation = evaluate(&facts, now());
            let case = format!("{}: {} + {}: {}", one.gate, one.case, other.gate, other.case);
            assert_eq!(evaluation.outcome, expected(&[one.verdict, other.verdict]), "{case}");
            let objecting: Vec<Gate> = evaluation.objections().map(|verdict| verdict.gate).collect();
            assert_eq!(objecting, [one.gate, other.gate], "{case}");
        }
    }
}

#[test]
fn a_gate_whose_facts_could_not_be_read_refuses() {
    let unknown = || Missing::Unknown("the database is gone".to_owned());
    macro_rules! cases {
        ($($field:ident => $gate:ident),+) => { vec![$({
            let mut facts = harmless();
            facts.$field = Err(unknown());
            (Gate::$gate, facts)
        }),+] };
    }
    let cases = cases!(
        kill_switch => KillSwitch, runbook_status => RunbookStatus, parameters => Parameters, target => Target,
        plan => Plan, maintenance => Maintenance, blackout => Blackout, cooldown => Cooldown,
        recently_remediated => RecentlyRemediated, attempts => Attempts, rate_limit => RateLimit,
        circuit_breaker => CircuitBreaker, duplicate => Duplicate, target_lock => TargetLock,
        blast_radius => BlastRadius, too_young => TooYoung, still_firing => StillFiring, mode => Mode
    );
    assert_eq!(cases.len(), Gate::ALL.len());
    for (gate, facts) in cases {
        let evaluation = evaluate(&facts, now());
        assert_eq!(evaluation.outcome, Verdict::Refuse, "{gate}");
        let leading = evaluation.leading().unwrap();
        assert_eq!((leading.gate, leading.reason), (gate, Some(Reason::Unknown)));
        assert!(leading.message.contains("the database is gone"), "{}", leading.message);
    }
}

#[test]
fn without_a_server_only_the_target_gate_refuses_and_nothing_is_let_through() {
    let mut facts = harmless();
    facts.subject.server = None;
    facts.maintenance = Err(Missing::NoTarget);
    facts.plan = Err(Missing::NoTarget);
    facts.target_lock = Err(Missing::NoTarget);
    // The target gate thinks that all is well: what it does not account for is refused.
    let evaluation = evaluate(&facts, now());
    assert_eq!(evaluation.outcome, Verdict::Refuse);
    assert_eq!(evaluation.objections().count(), 3);
    // It refuses: the others have nothing to add.
    let unknown = Unresolved::Unknown { value: "web9".to_owned(), similar: Vec::new() };
    facts.target = Ok(target::Facts::Unresolved(unknown));
    let evaluation = evaluate(&facts, now());
    assert_eq!(evaluation.objections().map(|verdict| verdict.gate).collect::<Vec<_>>(), [Gate::Target]);
    assert_eq!(gates_of(&evaluation), Gate::ALL);
}

#[test]
fn a_message_has_names_numbers_and_times() {
    let said = |gate: Gate, case: &str| {
        let objection = objections().into_iter().find(|o| o.gate == gate && o.case == case).unwrap();
        let mut facts = harmless();
        (objection.apply)(&mut facts);
        evaluate(&facts, now()).of_gate(gate).unwrap().message.clone()
    };
    let cases = [
        (
            Gate::Cooldown,
            "ran two minutes ago",
            "`restart-nginx` on web1 ran 2 min ago; its cooldown is 5 min, so it may run again at 10:05:00Z",
        ),
        (
            Gate::KillSwitch,
            "the runbook is paused for a time",
            "runbook `restart-nginx` is paused until 11:02:00Z: ann threw the kill switch at 09:02:00Z, saying “network work”",
        ),
        (
            Gate::BlastRadius,
            "the fourth target of ten",
            "with this run, `restart-nginx` touches 4 of 10 in group web within 10 min; 3 are allowed without a person's yes",
        ),
        (Gate::Blackout, "one that holds", "blackout “deploy” is on until 11:00:00Z; nothing starts before"),
        (
            Gate::RateLimit,
            "two starts in an hour",
            "`restart-nginx` may start 2 times in 1 h, and has used that up; there is room again at 10:22:00Z",
        ),
        (
            Gate::Attempts,
            "three failures in an hour",
            "3 runs of `restart-nginx` on web1 failed or did not help in the last 1 h; a person should look before the next one",
        ),
        (Gate::StillFiring, "resolved", "the alert ended at 10:01:59Z, so there is nothing left to do"),
        (Gate::Plan, "an unsafe value", "step “Restart service”: `SERVICE_NAME` holds `;`"),
    ];
    for (gate, case, expected) in cases {
        assert_eq!(said(gate, case), expected);
    }
}

#[test]
fn a_persons_run_is_not_held_back_by_mode_and_cooldown_and_that_is_recorded() {
    let mut facts = harmless();
    facts.subject = subject(Origin::Manual);
    facts.cooldown.as_mut().unwrap().last_start = Some((ExecutionId::new(), now()));
    for mode in [Mode::Auto, Mode::SemiAuto, Mode::Manual] {
        facts.mode.as_mut().unwrap().runbook = mode;
        let evaluation = evaluate(&facts, now());
        assert_eq!(evaluation.outcome, Verdict::Allow, "{mode:?}");
        assert_eq!(evaluation.of_gate(Gate::Cooldown).unwrap().evidence["overridden"], "hold");
        let overridden = &evaluation.of_gate(Gate::Mode).unwrap().evidence["overridden"];
        match mode {
            Mode::SemiAuto => assert_eq!(overridden, "approve"),
            Mode::Manual => assert_eq!(overridden, "refuse"),
            Mode::Auto | Mode::Observe => assert!(overridden.is_null()),
        }
    }
}

#[test]
fn a_persons_run_still_needs_the_yes_that_the_runbook_requires_and_never_runs_what_only_observes() {
    let mut facts = harmless();
    facts.subject = subject(Origin::Manual);
    for mode in [Mode::Auto, Mode::SemiAuto, Mode::Manual] {
        facts.mode = Ok(mode::Facts { is_observing: false, runbook: mode, requires_approval: true });
        assert_eq!(evaluate(&facts, now()).outcome, Verdict::Approve, "{mode:?}");
    }
    facts.mode = Ok(mode::Facts { is_observing: false, runbook: Mode::Observe, requires_approval: false });
    assert_eq!(evaluate(&facts, now()).outcome, Verdict::Refuse);
    facts.mode = Ok(mode::Facts { is_observing: true, runbook: Mode::Auto, requires_approval: false });
    assert_eq!(evaluate(&facts, now()).outcome, Verdict::Refuse);
}

#[test]
fn what_belongs_to_an_alert_is_not_asked_of_a_persons_run() {
    for gate in [Gate::Duplicate, Gate::TooYoung, Gate::StillFiring] {
        for objection in objections().into_iter().filter(|objection| objection.gate == gate) {
            let mut facts = harmless();
            facts.subject = subject(Origin::Manual);
            (objection.apply)(&mut facts);
            let evaluation = evaluate(&facts, now());
            assert_eq!(evaluation.outcome, Verdict::Allow, "{gate}: {}", objection.case);
            assert_eq!(gates_of(&evaluation), Gate::ALL);
        }
    }
}

#[test]
fn everything_else_holds_a_persons_run_as_it_holds_an_alerts() {
    let not_asked = [Gate::Duplicate, Gate::TooYoung, Gate::StillFiring, Gate::Cooldown, Gate::Mode];
    for objection in objections().into_iter().filter(|objection| !not_asked.contains(&objection.gate)) {
        let mut facts = harmless();
        facts.subject = subject(Origin::Manual);
        (objection.apply)(&mut facts);
        assert_eq!(evaluate(&facts, now()).outcome, objection.verdict, "{}: {}", objection.gate, objection.case);
    }
}

#[test]
fn undoing_ignores_limits_and_obeys_the_kill_switch_and_the_lock() {
    for objection in objections() {
        let mut facts = harmless();
        facts.subject = subject(Origin::Rollback);
        (objection.apply)(&mut facts);
        let outcome = evaluate(&facts, now()).outcome;
        let case = format!("{}: {}", objection.gate, objection.case);
        match objection.gate {
            Gate::KillSwitch | Gate::Parameters | Gate::Target | Gate::Plan | Gate::Maintenance | Gate::TargetLock => {
                assert_eq!(outcome, objection.verdict, "{case}");
            }
            Gate::Mode => {}
            _ => assert_eq!(outcome, Verdict::Allow, "{case}"),
        }
    }
}

#[test]
fn an_approval_satisfies_the_gates_that_it_listed_and_no_other() {
    let mut facts = harmless();
    facts.mode.as_mut().unwrap().requires_approval = true;
    let asked = evaluate(&facts, now());
    assert_eq!(asked.approvals(), [Gate::Mode]);
    facts.subject.approved_gates = asked.approvals();
    facts.subject.approved_by = Some("bob".to_owned());
    let approved = evaluate(&facts, now());
    assert_eq!(approved.outcome, Verdict::Allow);
    assert_eq!(approved.of_gate(Gate::Mode).unwrap().evidence["approved_by"], "bob");
    // Forty minutes later the server is under maintenance: nobody has agreed to that.
    facts.maintenance.as_mut().unwrap().is_paused = true;
    let again = evaluate(&facts, now());
    assert_eq!((again.outcome, again.approvals()), (Verdict::Approve, vec![Gate::Maintenance]));
    // And a yes is no way around a refusal or a hold.
    for objection in objections().into_iter().filter(|objection| objection.verdict != Verdict::Approve) {
        let mut facts = harmless();
        facts.subject.approved_gates = Gate::ALL.to_vec();
        (objection.apply)(&mut facts);
        assert_eq!(evaluate(&facts, now()).outcome, objection.verdict, "{}: {}", objection.gate, objection.case);
    }
}

#[test]
fn observed_is_said_only_when_nothing_else_objects() {
    let mut facts = harmless();
    facts.mode.as_mut().unwrap().is_observing = true;
    assert!(evaluate(&facts, now()).is_observed_only());
    facts.maintenance.as_mut().unwrap().is_paused = true;
    assert!(!evaluate(&facts, now()).is_observed_only());
    assert!(!evaluate(&harmless(), now()).is_observed_only());
}

#[test]
fn the_conflicting_execution_is_the_one_that_the_leading_objection_names() {
    for objection in objections() {
        let mut facts = harmless();
        (objection.apply)(&mut facts);
        let named = evaluate(&facts, now()).conflicting_execution().is_some();
        let expected = matches!(
            objection.reason,
            Reason::Cooldown
                | Reason::RecentlyRemediated
                | Reason::CircuitProbing
                | Reason::Duplicate
                | Reason::ResourceBusy
        );
        assert_eq!(named, expected, "{}: {}", objection.gate, objection.case);
    }
}

#[test]
fn a_verdict_is_written_and_read_as_the_interface_says() {
    let mut facts = harmless();
    facts.cooldown.as_mut().unwrap().last_start = Some((ExecutionId::new(), now()));
    for verdict in evaluate(&facts, now()).verdicts {
        let json = serde_json::to_value(&verdict).unwrap();
        assert_eq!(json["gate"], verdict.gate.as_str());
        assert_eq!(json["verdict"], verdict.verdict.as_str());
        assert_eq!(json["reason"].as_str(), verdict.reason.map(Reason::as_str));
        assert!(json.as_object().unwrap().contains_key("reason"));
        assert!(json["message"].is_string());
        assert_eq!(serde_json::from_value::<GateVerdict>(json).unwrap(), verdict);
    }
}

#[test]
fn edges_of_the_counting_gates() {
    let at = |seconds_ago: u64| now().minus(Duration::from_secs(seconds_ago));
    let verdict = |change: fn(&mut Facts, Timestamp), when: Timestamp, gate: Gate| {
        let mut facts = harmless();
        change(&mut facts, when);
        evaluate(&facts, now()).of_gate(gate).unwrap().verdict
    };
    // A cooldown of five minutes is over after exactly five minutes.
    let cooldown: fn(&mut Facts, Timestamp) =
        |f, when| f.cooldown.as_mut().unwrap().last_start = Some((ExecutionId::new(), when));
    assert_eq!(verdict(cooldown, at(299), Gate::Cooldown), until("2026-03-03T10:02:01Z"));
    assert_eq!(verdict(cooldown, at(300), Gate::Cooldown), Verdict::Allow);
    // So is the time in which a completed run is left to work.
    let remediated: fn(&mut Facts, Timestamp) =
        |f, when| f.recently_remediated.as_mut().unwrap().last_completion = Some((ExecutionId::new(), when));
    assert_eq!(verdict(remediated, at(299), Gate::RecentlyRemediated), until("2026-03-03T10:02:01Z"));
    assert_eq!(verdict(remediated, at(300), Gate::RecentlyRemediated), Verdict::Allow);
    // A failure counts for exactly an hour.
    let failed: fn(&mut Facts, Timestamp) = |f, when| f.attempts.as_mut().unwrap().failed_at = vec![now(), now(), when];
    assert_eq!(verdict(failed, at(3_599), Gate::Attempts), Verdict::Approve);
    assert_eq!(verdict(failed, at(3_600), Gate::Attempts), Verdict::Allow);
    // An alert that has fired for exactly as long as wanted is old enough, and not yet too old.
    let fired: fn(&mut Facts, Timestamp) = |f, when| {
        *f.too_young.as_mut().unwrap() =
            too_young::Facts { firing_since: when, min_firing_for: MINUTE, min_occurrences: None };
        let firing = f.still_firing.as_mut().unwrap();
        (firing.firing_since, firing.max_alert_age) = (when, Some(MINUTE));
    };
    assert_eq!(verdict(fired, at(59), Gate::TooYoung), until("2026-03-03T10:02:01Z"));
    assert_eq!(verdict(fired, at(60), Gate::TooYoung), Verdict::Allow);
    assert_eq!(verdict(fired, at(60), Gate::StillFiring), Verdict::Allow);
    assert_eq!(verdict(fired, at(61), Gate::StillFiring), Verdict::Refuse);
}

#[test]
fn blast_radius_allows_three_or_a_fifth_rounded_up() {
    // group size, touched before → may one more be touched?
    let cases =
        [(1, 0, true), (5, 2, true), (5, 3, false), (15, 2, true), (15, 3, false), (16, 3, true), (16, 4, false)];
    let cases = cases.into_iter().chain([(100, 19, true), (100, 20, false), (101, 20, true), (101, 21, false)]);
    for (group_size, before, is_allowed) in cases {
        let touched: BTreeSet<String> = (0..before).map(|n| format!("other{n}")).collect();
        let mut facts = harmless();
        let blast_radius = facts.blast_radius.as_mut().unwrap();
        (blast_radius.group_size, blast_radius.touched) = (group_size, touched);
        let expected = if is_allowed { Verdict::Allow } else { Verdict::Approve };
        assert_eq!(evaluate(&facts, now()).outcome, expected, "{before} touched of {group_size}");
        // The same target once more is never one too many.
        facts.blast_radius.as_mut().unwrap().touched.insert("web1".to_owned());
        let again = evaluate(&facts, now()).outcome;
        assert_eq!(again, if before < 3.max(group_size.div_ceil(5)) { Verdict::Allow } else { Verdict::Approve });
    }
}

#[test]
fn zero_switches_a_limit_off() {
    let mut facts = harmless();
    for objection in objections() {
        (objection.apply)(&mut facts);
    }
    facts.cooldown.as_mut().unwrap().cooldown = Duration::ZERO;
    facts.recently_remediated.as_mut().unwrap().window = Duration::ZERO;
    facts.attempts.as_mut().unwrap().limit = 0;
    facts.rate_limit.as_mut().unwrap().limits[0].count = 0;
    facts.circuit_breaker.as_mut().unwrap().spec.failure_threshold = 0;
    facts.blast_radius.as_mut().unwrap().window = Duration::ZERO;
    let evaluation = evaluate(&facts, now());
    for gate in [
        Gate::Cooldown,
        Gate::RecentlyRemediated,
        Gate::Attempts,
        Gate::RateLimit,
        Gate::CircuitBreaker,
        Gate::BlastRadius,
    ] {
        assert_eq!(evaluation.of_gate(gate).unwrap().verdict, Verdict::Allow, "{gate}");
    }
}

#[test]
fn queueing_is_waiting_for_locks_and_rates_alone() {
    let asked = |cases: &[&str]| {
        let mut facts = harmless();
        for objection in objections().into_iter().filter(|objection| cases.contains(&objection.case)) {
            (objection.apply)(&mut facts);
        }
        queue::is_queued(&evaluate(&facts, now()))
    };
    assert!(asked(&["another execution runs there"]));
    assert!(asked(&["two starts in an hour"]));
    assert!(asked(&["another execution runs there", "two starts in an hour", "three failures in an hour"]));
    assert!(!asked(&["another execution runs there", "everything is paused"]));
    assert!(!asked(&["another execution runs there", "one that holds"]));
    assert!(!asked(&["another execution runs there", "ran two minutes ago"]));
    assert!(!asked(&["another execution runs there", "resolved"]));
    assert!(!asked(&[]));
    let since = now().minus(10 * MINUTE);
    assert_eq!(queue::queued_for(5 * MINUTE, Some(since), now()), 15 * MINUTE);
    assert_eq!(queue::queued_for(5 * MINUTE, None, now()), 5 * MINUTE);
}

proptest! {
    /// Whatever objects: every gate is there, in order; the worst wins; the order of the answers does not matter.
    #[test]
    fn the_worst_wins_whatever_the_order(
        chosen in subsequence((0..objections().len()).collect::<Vec<_>>(), 0..=12),
        seed in any::<u64>(),
    ) {
        let objections = objections();
        let mut facts = harmless();
        for index in &chosen {
            (objections[*index].apply)(&mut facts);
        }
        let evaluation = evaluate(&facts, now());
        prop_assert_eq!(gates_of(&evaluation), Gate::ALL);
        let verdicts: Vec<Verdict> = evaluation.verdicts.iter().map(|verdict| verdict.verdict).collect();
        prop_assert_eq!(evaluation.outcome, expected(&verdicts));
        for verdict in &evaluation.verdicts {
            prop_assert_eq!(verdict.reason.is_none(), verdict.verdict == Verdict::Allow);
        }
        if let Some(leading) = evaluation.leading() {
            prop_assert_eq!(std::mem::discriminant(&leading.verdict), std::mem::discriminant(&evaluation.outcome));
        } else {
            prop_assert_eq!(evaluation.outcome, Verdict::Allow);
        }
        let mut shuffled = evaluation.verdicts.clone();
        let mut state = seed;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
        }
        prop_assert_eq!(Evaluation::of(shuffled).outcome, evaluation.outcome);
    }

    /// One more objection never makes the outcome milder.
    #[test]
    fn an_objection_never_makes_it_milder(
        chosen in subsequence((0..objections().len()).collect::<Vec<_>>(), 0..=8),
        more in 0..objections().len(),
    ) {
        let objections = objections();
        let gates: Vec<Gate> = chosen.iter().map(|index| objections[*index].gate).collect();
        // A second objection of the same gate may replace the first one.
        prop_assume!(!gates.contains(&objections[more].gate));
        let mut facts = harmless();
        for index in &chosen {
            (objections[*index].apply)(&mut facts);
        }
        let before = evaluate(&facts, now()).outcome;
        (objections[more].apply)(&mut facts);
        let after = evaluate(&facts, now()).outcome;
        prop_assert_eq!(expected(&[before, after]), after);
    }
}
