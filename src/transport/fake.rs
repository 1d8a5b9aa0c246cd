//! A transport for tests of the engine: answers by rules, records every call, reaches no host.
//!
//! A rule names what it matches (a part of the command's text, perhaps a server) and the answers for its first, second,
//! … call; the last answer stays. What no rule matches exits with 0 at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Boxed, Captured, Ending, Finished, Hold, Job, Killed, Refusal, RefusalKind, RemoteAction, Transport};
use crate::id::AttemptId;
use crate::inventory::Server;

/// The fake.
#[derive(Debug, Default)]
pub struct FakeTransport {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    calls: Vec<Call>,
    found: Vec<Call>,
    forgotten: Vec<AttemptId>,
    unreachable: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    /// Answers who looks for an attempt that was begun before, not who begins one.
    is_found: bool,
    part: String,
    answers: Vec<Answer>,
    used: usize,
}

/// One call of [`Transport::run`].
#[derive(Clone, Debug)]
pub struct Call {
    pub job: Job,
    /// The text of the action: the command, the words of `argv` joined by blanks, or the script.
    pub text: String,
}

/// What a command does.
#[derive(Clone, Debug)]
pub struct Answer {
    pub ending: Ending,
    pub stdout: String,
    pub stderr: String,
    /// Time before the end; a time-out or a cancel in it ends the call as it would end a real one.
    pub delay: Duration,
    /// What is seen of the kill then.
    pub killed: Killed,
}

impl Answer {
    /// Ends by itself with this code.
    pub fn exit(code: i32) -> Self {
        Self::ending(Ending::Exited(code))
    }

    /// Ends in any way.
    pub fn ending(ending: Ending) -> Self {
        let (stdout, stderr) = (String::new(), String::new());
        Self { ending, stdout, stderr, delay: Duration::ZERO, killed: Killed::Confirmed }
    }

    /// Never starts.
    pub fn refusal(kind: RefusalKind, message: &str) -> Self {
        Self::ending(Ending::NotStarted(Refusal::new(kind, message)))
    }

    /// Starts, and then the connection is lost.
    pub fn lost() -> Self {
        Self::ending(Ending::Lost("the connection ended while the command ran".into()))
    }

    /// Runs until it is cancelled or its time is over.
    pub fn endless() -> Self {
        Self::exit(0).after(Duration::from_secs(u64::from(u32::MAX)))
    }

    /// A kill of it is answered so.
    pub fn killed(mut self, killed: Killed) -> Self {
        self.killed = killed;
        self
    }

    /// With this standard output.
    pub fn stdout(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stdout);
        self
    }

    /// With this standard error.
    pub fn stderr(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stderr);
        self
    }

    /// Only after this time.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

impl FakeTransport {
    /// One that answers everything with exit code 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on commands whose text contains `part` are answered so. Later rules win.
    pub fn on(&self, part: &str, answers: impl IntoIterator<Item = Answer>) {
        self.rule(false, part, answers);
    }

    /// From now on attempts that are looked for, and whose command contains `part`, are found to end so. What no rule
    /// matches is lost.
    pub fn on_found(&self, part: &str, answers: impl IntoIterator<Item = Answer>) {
        self.rule(true, part, answers);
    }

    /// Every attempt that was looked for so far, in order.
    pub fn looked_for(&self) -> Vec<Call> {
        self.lock().found.clone()
    }

    /// Every attempt whose outcome was said to be durable.
    pub fn forgotten(&self) -> Vec<AttemptId> {
        self.lock().forgotten.clone()
    }

    /// From now on this server cannot be reached, or can be again.
    pub fn set_reachable(&self, server: &str, is_reachable: bool) {
        let mut state = self.lock();
        state.unreachable.retain(|name| name != server);
        if !is_reachable {
            state.unreachable.push(server.to_owned());
        }
    }

    /// From now on everything is answered with exit code 0 again.
    pub fn forget_rules(&self) {
        self.lock().rules.clear();
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The texts of all calls, in order.
    pub fn commands(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.text).collect()
    }

    fn rule(&self, is_found: bool, part: &str, answers: impl IntoIterator<Item = Answer>) {
        let rule = Rule { is_found, part: part.to_owned(), answers: answers.into_iter().collect(), used: 0 };
        self.lock().rules.push(rule);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self, server: &Server) -> Option<Refusal> {
        self.lock().unreachable.contains(&server.name).then(|| {
            let message = format!("server `{}` cannot be reached at {}", server.name, server.address());
            Refusal::new(RefusalKind::Unreachable, message)
        })
    }

    fn answer(&self, job: &Job) -> Answer {
        let text = match &job.action {
            RemoteAction::Command(text) | RemoteAction::Script { text, .. } => text.clone(),
            RemoteAction::Argv(words) => words.join(" "),
        };
        let mut state = self.lock();
        let is_found = matches!(job.hold, Hold::Attach { .. });
        let is_meant = |rule: &&mut Rule| rule.is_found == is_found && text.contains(&rule.part);
        let answer = state.rules.iter_mut().rev().find(is_meant).and_then(|rule| {
            let answer = rule.answers.get(rule.used).or(rule.answers.last()).cloned();
            rule.used += 1;
            answer
        });
        let call = Call { job: job.clone(), text };
        if is_found {
            state.found.push(call);
            return answer.unwrap_or_else(Answer::lost);
        }
        state.calls.push(call);
        answer.unwrap_or_else(|| Answer::exit(0))
    }
}

impl Transport for FakeTransport {
    fn forget(&self, _: &Arc<Server>, attempt: AttemptId) {
        self.lock().forgotten.push(attempt);
    }

    fn reach<'a>(&'a self, server: &'a Arc<Server>) -> Boxed<'a, Result<(), Refusal>> {
        Box::pin(async move { self.refusal(server).map_or(Ok(()), Err) })
    }

    fn run<'a>(&'a self, job: Job, cancel: CancellationToken) -> Boxed<'a, Finished> {
        Box::pin(async move {
            if let Some(refusal) = self.refusal(&job.server) {
                return Finished::not_started(refusal);
            }
            job.permit.granted().await;
            let answer = self.answer(&job);
            let ending = tokio::select! {
                () = tokio::time::sleep(answer.delay) => answer.ending,
                () = cancel.cancelled() => Ending::Cancelled(answer.killed),
                () = tokio::time::sleep(job.timeout) => Ending::TimedOut(answer.killed),
            };
            let captured = |text: String| Captured { total: text.len() as u64, head: text.into(), tail: Vec::new() };
            Finished { ending, stdout: captured(answer.stdout), stderr: captured(answer.stderr) }
        })
    }
}
