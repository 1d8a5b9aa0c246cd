//! An attempt that outlives its connection: started once, followed, and found again with the same id.
//!
//! What the host does stands in `script/hold.sh`. Here is decided when to look again: after a connection that ended, a
//! handshake that was refused, a host that is away, until the attempt's time is over.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::kill;
use super::pool::Pool;
use super::session::{Input, Session, become_password};
use crate::limits;
use crate::transport::script::announce::Groups;
use crate::transport::script::hold::{self, Mode};
use crate::transport::script::said::{Report, Said};
use crate::transport::{Ending, Finished, Hold, Job, Killed, Refusal, RefusalKind};

/// The script that says which groups to end says one line.
const OUTPUT_BYTES_MAX: usize = 4096;

/// Runs `job`, or finds it, and follows it to its end, its time-out, or its cancellation.
pub(super) async fn run(pool: &Pool, job: &Job, cancel: &CancellationToken) -> Finished {
    let password = match become_password(job).await {
        Ok(password) => password,
        Err(refusal) => return Finished::not_started(refusal),
    };
    let known_for = match job.hold {
        Hold::Attach { age, .. } => Some(age),
        Hold::Claim | Hold::None => None,
    };
    let mut held = Held { pool, job, password, began: Instant::now(), known_for, session: None, is_asked: false };
    let deadline = held.began + job.timeout;
    let mut wait = limits::HELD_RETRY_MIN;
    loop {
        let step = tokio::select! {
            biased;
            step = held.step() => step,
            () = cancel.cancelled() => return held.stop(Ending::Cancelled).await,
            () = sleep_until(deadline) => return held.stop(Ending::TimedOut).await,
        };
        let why = match step {
            Step::Over(finished) => return finished,
            Step::Waits(why) => {
                wait = limits::HELD_RETRY_MIN;
                why
            }
            Step::Away(why) => why,
        };
        tracing::warn!(server = job.server.name, attempt = %job.attempt, why, "an attempt is looked for again");
        tokio::select! {
            () = sleep(wait) => {}
            () = cancel.cancelled() => return held.stop(Ending::Cancelled).await,
            () = sleep_until(deadline) => return held.stop(Ending::TimedOut).await,
        }
        wait = (wait * 2).min(limits::HELD_RETRY_MAX);
    }
}

struct Held<'a> {
    pool: &'a Pool,
    job: &'a Job,
    password: Option<Zeroizing<String>>,
    began: Instant,
    /// The host may know the attempt, for so long when this run began.
    known_for: Option<Duration>,
    session: Option<Session>,
    /// The rest of the output was asked for: what the command left behind holds it open.
    is_asked: bool,
}

/// One connection's worth of it.
enum Step {
    Over(Finished),
    /// It was followed, and is not over.
    Waits(String),
    /// It could not be looked for.
    Away(String),
}

impl Held<'_> {
    /// Starts or finds the attempt, and follows it as far as the connection goes. May be dropped and called again.
    async fn step(&mut self) -> Step {
        if self.session.is_none() {
            let is_known = self.known_for.is_some();
            match self.open().await {
                Ok(()) => {}
                Err(refusal) if !is_known => return Step::Over(Finished::not_started(refusal)),
                Err(refusal) if is_final(refusal.kind) => {
                    let why = format!("it cannot be looked for: {}", refusal.message);
                    return Step::Over(lost(Ending::Lost(why)));
                }
                Err(refusal) => return Step::Away(refusal.message),
            }
        }
        let Some(session) = &mut self.session else { return Step::Away("there is no session".to_owned()) };
        let is_first = session.is_first;
        match follow(session, &mut self.is_asked).await {
            Some(report) => self.over(&report).await,
            None => self.broken(is_first).await,
        }
    }

    async fn open(&mut self) -> Result<(), Refusal> {
        let mode = match self.known_for {
            None => Mode::Start,
            Some(age) => Mode::Attach {
                age: age.saturating_add(self.began.elapsed()),
                may_start: !matches!(self.job.hold, Hold::Attach { may_start: false, .. }),
            },
        };
        let password = self.password.as_ref().map(|password| password.as_str());
        let script = hold::compose(self.job, mode, &self.pool.options.boot_id, password)
            .map_err(|error| Refusal::new(RefusalKind::Invalid, error.to_string()))?;
        let opened = self.pool.open(&self.job.server).await?;
        let mut session = Session::start(opened, &self.job.server, &script, self.job.output_bytes_max).await?;
        self.job.permit.granted().await;
        session.is_first = self.known_for.is_none();
        // From here on the host may know it.
        self.known_for.get_or_insert(Duration::ZERO);
        self.is_asked = false;
        session.upload(&script, Input::Stays);
        self.session = Some(session);
        Ok(())
    }

    /// The session ended without the host's last word.
    async fn broken(&mut self, is_first: bool) -> Step {
        let Some(mut session) = self.session.take() else { return Step::Away(String::new()) };
        let is_silent = !session.stdout.stripper.has_started() && !session.stderr.stripper.has_started();
        let ending = session.ending();
        session.close().await;
        match ending {
            // The shell ended before the script: nothing of it was run.
            Ending::NotStarted(refusal) if is_silent && is_first => Step::Over(Finished::not_started(refusal)),
            Ending::NotStarted(refusal) => Step::Away(refusal.message),
            Ending::Lost(why) => Step::Waits(why),
            other => Step::Waits(format!("the host's shell ended before its last word: {other:?}")),
        }
    }

    /// What the host's last word means.
    async fn over(&mut self, report: &Report) -> Step {
        let Some(mut session) = self.session.take() else { return Step::Away(String::new()) };
        let name = &self.job.server.name;
        let ending = match report.state.as_str() {
            "exit" => self.exited(&mut session, report),
            "rebooted" => Ending::Rebooted(format!("server `{name}` was started anew while it ran")),
            "unknown" => Ending::Rebooted(format!("server `{name}`: {}", report.text)),
            "gone" => Ending::Lost(format!(
                "server `{name}`: what waited for the command was killed, so that its exit code is not known; it may still run"
            )),
            "nowhere" => Ending::NotStarted(Refusal::new(
                RefusalKind::Nowhere,
                format!("server `{name}` cannot hold a command: {}", report.text),
            )),
            "void" | "absent" => Ending::NotStarted(Refusal::new(
                RefusalKind::Session,
                format!("server `{name}`: it was never started there, and will not be"),
            )),
            // `claimed` among them: another connection was faster, and what it has started is found.
            other => {
                session.close().await;
                return Step::Waits(format!("the host's last word was `{other}`"));
            }
        };
        session.close().await;
        if let Ending::Exited(code) = &ending
            && self.job.awaits_reboot
            && (*code == 0 || *code > 128)
        {
            return Step::Waits(format!("it ended with {code}, and the host has not been started anew yet"));
        }
        Step::Over(finished(ending, &mut session, report))
    }

    fn exited(&self, session: &mut Session, report: &Report) -> Ending {
        let has_begun = match &self.job.become_user {
            None => report.second == Some(1),
            Some(_) => session.stdout.inner.has_started() || session.stderr.inner.has_started(),
        };
        match report.first {
            Some(code) if has_begun => Ending::Exited(code),
            code => Ending::NotStarted(session.refusal_of_command(code, self.job.become_user.is_some())),
        }
    }

    /// Ends the command's process groups; what was never started never will be.
    async fn stop(mut self, ending: fn(Killed) -> Ending) -> Finished {
        if self.known_for.is_none() {
            return lost(ending(Killed::Unsent));
        }
        let mut session = self.session.take();
        let stopping = self.stop_on_host();
        let (killed, is_over) = match &mut session {
            Some(session) => {
                let mut stopping = std::pin::pin!(stopping);
                loop {
                    // A channel that nobody reads blocks its connection.
                    tokio::select! {
                        stopped = &mut stopping => break stopped,
                        _ = session.read_until(Instant::now() + limits::HELD_NEWS), if !session.is_over => {}
                    }
                }
            }
            None => stopping.await,
        };
        if let (Killed::Unconfirmed, Some(session)) = (killed, &session) {
            // All that can be done when no second session can be had.
            session.say("stop").await;
        }
        self.session = session;
        // A host that says that nothing is left can be asked for what it has kept.
        let is_known = is_over || killed == Killed::Confirmed;
        let rest = timeout(limits::SSH_LINGER_MAX, self.rest(is_known)).await.ok().flatten();
        let report = rest.unwrap_or_default();
        let Some(mut session) = self.session.take() else { return lost(ending(killed)) };
        session.close().await;
        // A command that ended in the same moment has ended by itself.
        let ending = match self.exited(&mut session, &report) {
            Ending::Exited(code) if is_over && !self.job.awaits_reboot => Ending::Exited(code),
            _ => ending(killed),
        };
        finished(ending, &mut session, &report)
    }

    /// Whether no process of the command is left, and whether it ended by itself.
    async fn stop_on_host(&self) -> (Killed, bool) {
        let ask = async {
            let script = hold::compose(self.job, Mode::Stop, &self.pool.options.boot_id, None)
                .map_err(|error| Refusal::new(RefusalKind::Invalid, error.to_string()))?;
            let opened = self.pool.open_at_once(&self.job.server).await?;
            let mut session = Session::start(opened, &self.job.server, &script, OUTPUT_BYTES_MAX).await?;
            session.upload(&script, Input::Ends);
            let report = follow(&mut session, &mut true).await;
            session.close().await;
            Ok::<_, Refusal>(report)
        };
        let limit = self.pool.options.connect_timeout + self.pool.options.auth_timeout + limits::SSH_OPEN_TIMEOUT;
        let report = match timeout(limit, ask).await {
            Ok(Ok(Some(report))) => report,
            Ok(Ok(None)) | Err(_) => return (Killed::Unconfirmed, false),
            Ok(Err(refusal)) => {
                tracing::warn!(server = self.job.server.name, %refusal, "no session to end a command");
                return (Killed::Unconfirmed, false);
            }
        };
        let group = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).filter(|&g| g > 1);
        match report.state.as_str() {
            "void" => (Killed::Unsent, false),
            "over" => (Killed::Confirmed, true),
            "groups" => {
                let (login, command) = (group(report.first), group(report.second));
                let groups = match &self.job.become_user {
                    None => Groups { login: None, command: login },
                    Some(_) => Groups { login, command },
                };
                if groups == Groups::default() {
                    // Its number is another process's by now.
                    return (Killed::Confirmed, false);
                }
                let password = self.password.as_ref().map(|password| password.as_str());
                (kill::end_groups(self.pool, self.job, password, groups).await, false)
            }
            _ => (Killed::Unconfirmed, false),
        }
    }

    /// The rest of the output; `is_known`: also when the connection is gone.
    async fn rest(&mut self, is_known: bool) -> Option<Report> {
        let is_gone = self.session.as_ref().is_none_or(|session| session.is_over);
        if is_gone {
            if !is_known {
                return None;
            }
            self.open().await.ok()?;
        }
        let session = self.session.as_mut()?;
        let mut report = None;
        if session.last_word().is_none() {
            report = timeout(limits::SSH_LINGER, follow(session, &mut self.is_asked)).await.ok().flatten();
        }
        if report.is_none() && session.last_word().is_none() {
            session.say("now").await;
            report = follow(session, &mut true).await;
        }
        report.or_else(|| session.last_word())
    }
}

/// Follows a session to the host's last word; `None` when it ends without.
async fn follow(session: &mut Session, is_asked: &mut bool) -> Option<Report> {
    let mut exited: Option<(Instant, Instant)> = None;
    let mut next = Instant::now() + limits::HELD_FIRST;
    loop {
        if let Some(report) = session.last_word() {
            return Some(report);
        }
        if session.is_over {
            return None;
        }
        let is_found = session.stdout.said.contains(&Said::Found);
        if session.stdout.said.contains(&Said::Exit) && exited.is_none() {
            let now = Instant::now();
            exited = Some((now, now + limits::SSH_LINGER_MAX));
            next = now + limits::HELD_LOOK;
        }
        // The shell outside ends as soon as its last words are in the pipe.
        let patience = if session.has_exited() { limits::SSH_LINGER } else { limits::HELD_NEWS };
        let before = session.stdout.capture.total() + session.stderr.capture.total();
        if session.read_until(next.min(Instant::now() + patience)).await {
            let after = session.stdout.capture.total() + session.stderr.capture.total();
            if let (true, Some((silent_since, _))) = (after > before, &mut exited) {
                *silent_since = Instant::now();
            }
            continue;
        }
        if session.has_exited() {
            return None;
        }
        if !is_found || *is_asked {
            next = Instant::now() + if is_found { limits::HELD_NEWS } else { limits::HELD_FIRST };
            continue;
        }
        match exited {
            Some((silent_since, last)) if silent_since.elapsed() >= limits::SSH_LINGER || Instant::now() >= last => {
                *is_asked = true;
                session.say("now").await;
            }
            _ => session.say("news").await,
        }
        let is_soon = exited.is_some() || !session.is_first;
        next = Instant::now() + if is_soon { limits::HELD_LOOK } else { limits::HELD_NEWS };
    }
}

/// Looking again would end in the same way.
const fn is_final(kind: RefusalKind) -> bool {
    matches!(
        kind,
        RefusalKind::HostKeyChanged | RefusalKind::HostKeyUnknown | RefusalKind::Credential | RefusalKind::Invalid
    )
}

fn finished(ending: Ending, session: &mut Session, report: &Report) -> Finished {
    let stdout = session.stdout.finish(report.dropped.0);
    Finished { ending, stdout, stderr: session.stderr.finish(report.dropped.1) }
}

/// Without output.
fn lost(ending: Ending) -> Finished {
    Finished { ending, ..Finished::not_started(Refusal::new(RefusalKind::Session, "")) }
}
