//! The gates are asked again right before the first step: an approval may be old by then.

use douse::config::Role;
use douse::engine::acts;
use douse::execution::Status;
use douse::gate::blackout::Effect;
use douse::store::executions::ExecutionRow;

use super::cases::Act;
use super::world::{MINUTE, Scope, World, noon, resolved};
use crate::engine::bench::person;
use crate::store::harness::on_both_engines;

async fn only(world: &World, scope: &Scope) -> ExecutionRow {
    let made = world.executions_of(scope.episode.unwrap()).await;
    let [one] = made.as_slice() else { panic!("{made:#?}") };
    one.clone()
}

fn commands(world: &World) -> usize {
    world.bench.transport.commands().len()
}

on_both_engines! {
    async fn what_a_gate_objects_to_since_the_approval_does_not_start(fixture: Fixture) {
        let acts = [
            (Act::PauseRunbook, Status::Approved, None), (Act::PauseServer, Status::Approved, None),
            (Act::Blackout(Effect::Hold), Status::Approved, None), (Act::OpenBreaker, Status::Approved, None),
            (Act::Maintenance, Status::Pending, None), (Act::Blackout(Effect::Approve), Status::Pending, None),
            (Act::Blackout(Effect::Refuse), Status::Cancelled, Some("blackout")),
            (Act::DisableRunbook, Status::Cancelled, Some("runbook_disabled")),
        ];
        let mut world = World::new(fixture, acts.iter().map(|_| Vec::new()).collect()).await;
        world.decide().await;
        for (scope, (act, ..)) in world.scopes.iter().zip(acts) {
            assert_eq!(only(&world, scope).await.status, Status::Approved);
            world.act(scope, act).await;
        }
        world.run_due().await;
        assert_eq!(commands(&world), 0);
        for (scope, (act, status, skip_reason)) in world.scopes.iter().zip(acts) {
            let row = only(&world, scope).await;
            assert_eq!((row.status, row.skip_reason.as_deref()), (status, skip_reason), "{act:?}");
            assert_eq!(row.held_until.is_some(), status == Status::Approved, "{act:?}: {row:#?}");
            assert_eq!(row.started_at, None, "{act:?}");
        }
        // What only waited goes on by itself when the cause is over, what needs a yes with the yes; each once.
        let mut running = 0;
        for (scope, (act, status, _)) in world.scopes.iter().zip(acts) {
            match status {
                Status::Approved => world.undo(scope, act).await,
                Status::Pending => {
                    let id = only(&world, scope).await.id;
                    acts::approve(&world.bench.engine, id, &person("ann", Role::Admin), None, None).await.unwrap();
                }
                _ => continue,
            }
            running += 1;
            world.run_due().await;
            assert_eq!(only(&world, scope).await.status, Status::Completed, "{act:?}");
            assert_eq!(commands(&world), running, "{act:?}");
        }
        world.set_time(noon().plus(240 * MINUTE));
        world.recheck().await;
        world.run_due().await;
        assert_eq!(commands(&world), running);
    }

    async fn an_approved_run_whose_alert_resolves_is_withdrawn(fixture: Fixture) {
        let mut world = World::new(fixture, vec![Vec::new(), Vec::new()]).await;
        world.decide().await;
        let (starts_at, ends_at) = (noon().minus(2 * MINUTE), noon().plus(MINUTE / 2));
        world.set_time(ends_at);
        let end = |scope: &Scope| resolved(scope.changed_labels(), starts_at, ends_at);
        // One is seen by the claim, the other by the look at what waits.
        world.deliver(vec![end(&world.scopes[0])]).await;
        world.bench.transport.set_reachable("a1", false);
        world.run_due().await;
        world.deliver(vec![end(&world.scopes[1])]).await;
        world.recheck().await;
        for scope in &world.scopes {
            let row = only(&world, scope).await;
            assert_eq!((row.status, row.skip_reason.as_deref()), (Status::Cancelled, Some("resolved")), "{row:#?}");
        }
        assert_eq!(commands(&world), 0);
    }
}
