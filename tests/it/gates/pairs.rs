//! Every pair of gates: both objections are recorded, and the stronger one decides, whichever is asked first.

use std::collections::BTreeMap;

use douse::execution::Status;
use douse::gate::Gate;

use super::cases::{Case, Want, cases};
use super::world::{MINUTE, World, noon, objections};
use crate::store::harness::on_both_engines;

/// The first case of each gate.
fn one_of_each() -> Vec<Case> {
    let first: BTreeMap<Gate, Case> = cases().into_iter().rev().map(|case| (case.gate, case)).collect();
    first.into_values().collect()
}

on_both_engines! {
    async fn of_each_pair_both_are_recorded_and_the_stronger_decides(fixture: Fixture) {
        let each = one_of_each();
        let mut changes = Vec::new();
        for (at, one) in each.iter().enumerate() {
            changes.extend(each[at + 1..].iter().map(|other| vec![*one, *other]));
        }
        assert_eq!(changes.len(), Gate::ALL.len() * (Gate::ALL.len() - 1) / 2);
        let mut world = World::new(fixture, changes).await;
        world.decide().await;
        for scope in &world.scopes {
            let name = scope.name();
            let mut expected: BTreeMap<Gate, &str> = BTreeMap::new();
            for case in &scope.cases {
                expected.extend(case.also.iter().map(|gate| (*gate, Want::Refuse.as_str())));
                expected.insert(case.gate, case.want.as_str());
            }
            let row = world.decision(scope).await;
            assert_eq!(objections(&row), expected, "{name}");
            let strongest = scope.cases.iter().map(|case| case.want).max().unwrap();
            assert_eq!(row.verdict, strongest.decision(), "{name}");
            let made = world.executions_of(scope.episode.unwrap()).await;
            let is_waiting = row.execution_id.is_some_and(|id| made.iter().any(|one| one.id == id && one.status == Status::Pending));
            assert_eq!(is_waiting, strongest == Want::Approve, "{name}: {made:#?}");
            if strongest == Want::Hold {
                // The latest of the ends, or none when one of them waits for a release.
                let ends: Vec<_> = scope.cases.iter().filter(|case| case.want == Want::Hold).map(|case| case.minutes).collect();
                let last = if ends.contains(&None) { None } else { ends.into_iter().flatten().max() };
                assert_eq!(row.held_until, last.map(|minutes| noon().plus(minutes * MINUTE)), "{name}");
            }
        }
    }
}
