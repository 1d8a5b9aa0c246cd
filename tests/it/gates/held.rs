//! Held decisions: asked again when their moment comes or something is released, and run if their alert still fires.

use std::collections::BTreeSet;
use std::time::Duration;

use douse::execution::Status;
use douse::gate::Gate;
use douse::store::DecisionVerdict;

use super::cases::{Act, Case, Past, Want, cases};
use super::world::{MINUTE, Scope, World, listed, noon, resolved};
use crate::store::harness::on_both_engines;

/// Every way to be held.
fn holds() -> Vec<Vec<Case>> {
    cases().into_iter().filter(|case| case.want == Want::Hold).map(|case| vec![case]).collect()
}

/// Ends what holds a scope before its time, or without one.
async fn release(world: &World, scope: &Scope) {
    match scope.cases[0].act {
        Some(act) => world.undo(scope, act).await,
        None => {
            assert!(scope.cases[0].past.contains(&Past::Running), "{} cannot be released", scope.name());
            world.end_holder(scope).await;
        }
    }
}

async fn is_held(world: &World, scope: &Scope) {
    assert_eq!(world.decision(scope).await.verdict, DecisionVerdict::Held, "{}", scope.name());
    assert!(world.executions_of(scope.episode.unwrap()).await.is_empty(), "{}", scope.name());
}

async fn has_run_once(world: &World, scope: &Scope) {
    world.run_due().await;
    let made = world.executions_of(scope.episode.unwrap()).await;
    let row = world.decision(scope).await;
    let name = scope.name();
    let [one] = made.as_slice() else { panic!("{name}: {made:#?} {row:#?}") };
    assert_eq!(
        (one.status, row.verdict, row.execution_id),
        (Status::Completed, DecisionVerdict::Allowed, Some(one.id)),
        "{name}"
    );
    assert!(row.rechecks > 0, "{name}");
}

on_both_engines! {
    async fn what_is_released_runs_once(fixture: Fixture) {
        let changes: Vec<_> =
            holds().into_iter().filter(|cases| cases[0].act.is_some() || cases[0].minutes.is_none()).collect();
        let gates: BTreeSet<Gate> = changes.iter().map(|cases| cases[0].gate).collect();
        assert_eq!(gates.into_iter().collect::<Vec<_>>(), [Gate::KillSwitch, Gate::Blackout, Gate::CircuitBreaker, Gate::TargetLock]);
        let mut world = World::new(fixture, changes).await;
        world.decide().await;
        world.recheck().await;
        for scope in &world.scopes {
            is_held(&world, scope).await;
            release(&world, scope).await;
            world.recheck().await;
            has_run_once(&world, scope).await;
        }
        // Nothing of it runs a second time.
        world.set_time(noon().plus(240 * MINUTE));
        world.recheck().await;
        for scope in &world.scopes {
            has_run_once(&world, scope).await;
        }
    }

    async fn what_is_held_for_a_time_runs_once_when_it_is_over_and_not_before(fixture: Fixture) {
        let mut changes: Vec<_> = holds().into_iter().filter(|cases| cases[0].minutes.is_some()).collect();
        changes.sort_by_key(|cases| cases[0].minutes);
        let gates: BTreeSet<Gate> = changes.iter().map(|cases| cases[0].gate).collect();
        let timed = [Gate::KillSwitch, Gate::Blackout, Gate::Cooldown, Gate::RecentlyRemediated, Gate::RateLimit, Gate::CircuitBreaker, Gate::TooYoung];
        assert_eq!(gates, timed.into_iter().collect());
        let mut world = World::new(fixture, changes).await;
        world.decide().await;
        let ends: BTreeSet<u32> = world.scopes.iter().filter_map(|scope| scope.cases[0].minutes).collect();
        for minutes in ends {
            let over = noon().plus(minutes * MINUTE);
            let due = || world.scopes.iter().filter(|scope| scope.cases[0].minutes == Some(minutes));
            world.set_time(over.minus(Duration::from_secs(1)));
            world.recheck().await;
            for scope in due() {
                is_held(&world, scope).await;
            }
            world.set_time(over);
            world.recheck().await;
            for scope in due() {
                has_run_once(&world, scope).await;
            }
        }
        world.recheck().await;
        for scope in &world.scopes {
            has_run_once(&world, scope).await;
        }
    }

    async fn what_resolves_while_it_is_held_is_withdrawn_and_never_runs(fixture: Fixture) {
        let mut world = World::new(fixture, holds()).await;
        world.decide().await;
        let (starts_at, ends_at) = (noon().minus(2 * MINUTE), noon().plus(MINUTE / 2));
        world.set_time(ends_at);
        for scope in &world.scopes {
            is_held(&world, scope).await;
        }
        world.deliver(world.scopes.iter().map(|scope| resolved(scope.changed_labels(), starts_at, ends_at)).collect()).await;
        world.recheck().await;
        for scope in &world.scopes {
            let row = world.decision(scope).await;
            assert_eq!((row.verdict, row.skip_reason.as_deref()), (DecisionVerdict::Withdrawn, Some("resolved")), "{}", scope.name());
            assert_eq!(row.hold_reason, None, "{}", scope.name());
        }
        for scope in &world.scopes {
            if scope.cases[0].act.is_some() || scope.cases[0].minutes.is_none() {
                release(&world, scope).await;
            }
        }
        world.set_time(noon().plus(240 * MINUTE));
        world.recheck().await;
        world.run_due().await;
        for scope in &world.scopes {
            assert!(world.executions_of(scope.episode.unwrap()).await.is_empty(), "{}", scope.name());
        }
    }

    async fn an_episode_whose_end_was_false_has_its_withdrawn_decisions_asked_again(fixture: Fixture) {
        let paused = cases().into_iter().filter(|case| matches!(case.act, Some(Act::PauseRunbook)));
        let mut world = World::new(fixture, paused.map(|case| vec![case]).collect()).await;
        world.decide().await;
        let (starts_at, ends_at) = (noon().minus(2 * MINUTE), noon().plus(MINUTE));
        world.set_time(ends_at);
        world.deliver(world.scopes.iter().map(|scope| resolved(scope.changed_labels(), starts_at, ends_at)).collect()).await;
        world.recheck().await;
        for scope in &world.scopes {
            assert_eq!(world.decision(scope).await.verdict, DecisionVerdict::Withdrawn, "{}", scope.name());
        }
        world.set_time(noon().plus(3 * MINUTE));
        let listed = world.scopes.iter().map(|scope| listed(scope.changed_labels(), starts_at, noon().plus(2 * MINUTE)));
        world.listed(listed.collect()).await;
        for scope in &world.scopes {
            let row = world.decision(scope).await;
            assert_eq!((row.verdict, row.skip_reason), (DecisionVerdict::Held, None), "{}", scope.name());
        }
        world.recheck().await;
        for scope in &world.scopes {
            is_held(&world, scope).await;
            release(&world, scope).await;
            world.recheck().await;
            has_run_once(&world, scope).await;
        }
    }
}
