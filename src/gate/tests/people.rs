//! What differs when a person asks, or has agreed.

use super::super::*;
use super::cases::*;
use super::gates_of;
use crate::id::ExecutionId;
use crate::runbook::model::Mode;

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
            Gate::KillSwitch | Gate::Parameters | Gate::Target | Gate::Plan | Gate::TargetLock => {
                assert_eq!(outcome, objection.verdict, "{case}");
            }
            Gate::Mode if objection.case == "Douse only looks" => assert_eq!(outcome, Verdict::Refuse),
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
