//! Taking up an attempt that another engine left under way: the same attempt id, and the same loop goes on from there.
//!
//! What the host holds is found: ended, running, or certainly never begun. What nothing holds is lost, and the plan says
//! what follows ([`crate::execution::retry::judge`]).

use crate::engine::record::Evidence;
use crate::execution::{Event, Outcome, Place};
use crate::failpoint;
use crate::id::AttemptId;
use crate::limits;
use crate::runbook::ready::{Ready, ReadyAction};
use crate::store::{StoreError, attempts};
use crate::transport::Hold;

use super::{Run, attempt, place_name};

impl Run<'_> {
    /// Finds `attempt` on its host, follows it to its end, and records its outcome.
    pub(super) async fn reattach(&mut self, place: Place, attempt: AttemptId) -> Result<(), StoreError> {
        let is_held = self.loaded.state.at(place).is_some_and(|step| step.is_held);
        let server = self.engine.policy().servers.get(&self.loaded.plan.server).cloned();
        let server = match (is_held, server) {
            (true, Some(server)) => server,
            (true, None) => {
                let message = format!("server `{}` is not in the inventory any more", self.loaded.plan.server);
                return self.ended(place, attempt, Outcome::Lost(message), Evidence::None).await;
            }
            (false, _) => {
                let lost = Outcome::Lost("the engine ended while it ran, and nothing held it on its host".to_owned());
                return self.ended(place, attempt, lost, Evidence::None).await;
            }
        };
        let planned = self.planned(place)?;
        let made = self.make_ready(&planned);
        let may_start = made.is_ok();
        // What cannot be made ready any more (a secret that went with the engine) can still be found, but not started.
        let ready = made.unwrap_or_else(|_| Ready {
            action: ReadyAction::Command(String::new()),
            environment: Vec::new(),
            workdir: None,
        });
        let row = self.engine.store.read(move |db| attempts::get(db, attempt)).await?;
        self.write(move |_, fresh, _| {
            let is_ours = fresh.state.in_flight.map(|flight| flight.attempt) == Some(attempt);
            Ok(if is_ours { vec![(Event::Reattached { place, attempt }, Evidence::None)] } else { Vec::new() })
        })
        .await?;
        if self.loaded.state.in_flight.map(|flight| flight.attempt) != Some(attempt) {
            return Ok(());
        }
        failpoint::pass(match place {
            Place::Step(_) => failpoint::ATTEMPT_REATTACHED,
            Place::Undo(_) => failpoint::UNDO_REATTACHED,
        });
        self.engine.metrics.attempt_reattached();
        tracing::info!(
            execution = %self.loaded.row.id, step = place_name(&self.loaded, place), %attempt, "an attempt is taken up"
        );
        // Its clock went on while nobody looked.
        let age = self.time.now().since(row.started_at);
        let timeout = planned.timeout();
        let left = timeout.saturating_sub(age).max(limits::HELD_GRACE);
        let sent = attempt::Sent {
            attempt,
            server,
            ready,
            become_user: planned.become_user(),
            timeout: left,
            output_bytes_max: planned.step().output_bytes_max,
            hold: Hold::Attach { age, may_start },
            awaits_reboot: planned.awaits_reboot(),
        };
        self.carry_out(place, &planned, sent, timeout).await
    }
}
