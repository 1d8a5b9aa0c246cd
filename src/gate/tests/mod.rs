//! Every gate alone, every pair of gates, and what holds for all of them together.

mod bounds;
mod cases;
mod counting;
mod people;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::id::ExecutionId;
use crate::inventory::Unresolved;
use cases::*;

pub(super) fn gates_of(evaluation: &Evaluation) -> Vec<Gate> {
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
            "with this run, `restart-nginx` touches 4 of 10 in group web within 10 min; at most 3 may be touched without a person's yes",
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

#[test]
fn an_explanation_says_every_gate_and_why_the_others_do_not_match() {
    let objection = objections().into_iter().find(|objection| objection.gate == Gate::Cooldown).unwrap();
    let mut facts = harmless();
    (objection.apply)(&mut facts);
    let matching = explain::TriggerExplanation {
        runbook: "restart-nginx".to_owned(),
        trigger: "nginx down".to_owned(),
        matches: true,
        why_not: Vec::new(),
        server: Some("web1".to_owned()),
        gates: evaluate(&facts, now()).verdicts,
    };
    let other = explain::TriggerExplanation {
        runbook: "clean-disk".to_owned(),
        trigger: "disk full".to_owned(),
        matches: false,
        why_not: vec!["label `alertname` is `NginxDown`, the trigger asks for `DiskFull*`".to_owned()],
        server: None,
        gates: Vec::new(),
    };
    let explanation =
        explain::Explanation { alert: "NginxDown on web1:9100, firing".to_owned(), triggers: vec![matching, other] };
    assert!(explanation.is_blocked());
    insta::assert_snapshot!(explain::render(&explanation));
}
