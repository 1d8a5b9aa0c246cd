//! One attempt on one host: what is sent, how its clock runs, and what its ending means.
//!
//! It decides nothing about what follows ([`crate::execution::retry::judge`] does) and stores nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::execution::Outcome;
use crate::id::AttemptId;
use crate::inventory::Server;
use crate::limits;
use crate::runbook::ready::{Ready, ReadyAction};
use crate::transport::{Ending, Finished, Hold, Job, Killed, Permit, RemoteAction};

use super::Run;

/// What the host gets to see.
#[derive(Clone)]
pub(super) struct Sent {
    pub attempt: AttemptId,
    pub server: Arc<Server>,
    pub ready: Ready,
    pub become_user: Option<String>,
    pub timeout: Duration,
    pub output_bytes_max: usize,
    pub hold: Hold,
    pub awaits_reboot: bool,
}

impl Run<'_> {
    /// Runs an attempt to its end. While the kill switch is on, the attempt's clock stands still, and the command is left
    /// to end.
    pub(super) async fn perform(&mut self, sent: Sent, cancel: &CancellationToken) -> Finished {
        let engine = self.engine;
        let mut left = sent.timeout;
        let kill = cancel.child_token();
        let tenure = Arc::clone(&self.tenure);
        let permit = Permit::when(move || {
            let tenure = Arc::clone(&tenure);
            Box::pin(async move { tenure.granted().await })
        });
        let mut work = engine.transport.run(Job { permit, ..job(sent) }, kill.clone());
        let mut is_over = false;
        loop {
            let tick = left.min(limits::POLL_INTERVAL);
            let began = engine.clock.instant();
            tokio::select! {
                finished = &mut work => return if is_over { timed_out(finished) } else { finished },
                () = tokio::time::sleep(tick), if !is_over => {}
                () = engine.wake.runs.notified(), if !is_over => {}
            }
            if let Err(error) = self.look().await {
                tracing::warn!(execution = %self.loaded.row.id, %error, "the kill switch cannot be asked");
            }
            if self.loaded.state.halted_since.is_some() {
                continue;
            }
            left = left.saturating_sub(began.elapsed());
            if left.is_zero() {
                // A kill is an effect, too.
                self.tenure.granted().await;
                is_over = true;
                kill.cancel();
            }
        }
    }
}

/// The engine's own clock ended it, so the transport saw a cancel.
fn timed_out(finished: Finished) -> Finished {
    let ending = match finished.ending {
        Ending::Cancelled(killed) => Ending::TimedOut(killed),
        other @ (Ending::Exited(_)
        | Ending::Signalled(_)
        | Ending::TimedOut(_)
        | Ending::NotStarted(_)
        | Ending::Lost(_)
        | Ending::Rebooted(_)) => other,
    };
    Finished { ending, ..finished }
}

fn job(sent: Sent) -> Job {
    let action = match sent.ready.action {
        ReadyAction::Command(text) => RemoteAction::Command(text),
        ReadyAction::Argv(words) => RemoteAction::Argv(words),
        ReadyAction::Script { text, interpreter } => RemoteAction::Script { text, interpreter },
    };
    let mut environment = sent.ready.environment;
    // What a command passes on to whoever must not do a thing twice.
    environment.push(("DOUSE_ATTEMPT_ID".to_owned(), sent.attempt.to_string()));
    Job {
        attempt: sent.attempt,
        server: sent.server,
        action,
        environment,
        workdir: sent.ready.workdir,
        become_user: sent.become_user,
        // The clock that counts is the one above, which a pause can stop; this one only bounds the pause.
        timeout: sent.timeout + limits::PAUSE_WITHIN_STEP_MAX,
        output_bytes_max: sent.output_bytes_max,
        permit: Permit::default(),
        hold: sent.hold,
        awaits_reboot: sent.awaits_reboot,
    }
}

/// The ending in the words of an execution.
pub(super) fn outcome(ending: Ending) -> Outcome {
    match ending {
        Ending::Exited(code) => Outcome::Exited(code),
        Ending::Signalled(signal) => Outcome::Signalled(signal),
        Ending::TimedOut(Killed::Unsent) => Outcome::Unsent { is_timeout: true },
        Ending::Cancelled(Killed::Unsent) => Outcome::Unsent { is_timeout: false },
        Ending::TimedOut(killed) => Outcome::TimedOut { is_confirmed: killed == Killed::Confirmed },
        Ending::Cancelled(killed) => Outcome::Cancelled { is_confirmed: killed == Killed::Confirmed },
        Ending::NotStarted(refusal) => Outcome::NotStarted {
            reason: refusal.kind.as_str().to_owned(),
            is_retryable: refusal.kind.is_retryable(),
            message: refusal.message,
        },
        Ending::Lost(message) => Outcome::Lost(message),
        Ending::Rebooted(message) => Outcome::Rebooted(message),
    }
}
