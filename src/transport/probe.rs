//! Looking at a server: which of connection, host key, login, shell and sudo fails, and what to do.
//!
//! Called for `servers test`. Runs `true`, as the login user and as root, and nothing else.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Ending, Job, Permit, Refusal, RefusalKind, RemoteAction, Transport};
use crate::id::AttemptId;
use crate::inventory::Server;
use crate::limits;
use crate::words::words;

words! {
    /// What was looked at, in the order in which one needs the other.
    ProbePart {
        /// The server through which this one is reached: all of the following of its own.
        Bastion = "bastion",
        /// Name, TCP, the SSH banner and the handshake.
        Connection = "connection",
        /// The host is the pinned one.
        HostKey = "host_key",
        /// Key, password or agent.
        Authentication = "authentication",
        /// A session that runs a command.
        Shell = "shell",
        /// `become` root.
        Sudo = "sudo",
    }
}

words! {
    /// How one part was found.
    ProbeState {
        /// As it has to be.
        Passed = "passed",
        /// The message says what to do.
        Failed = "failed",
        /// Not reached, or not needed.
        Skipped = "skipped",
    }
}

/// One part, and what was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    pub part: ProbePart,
    pub state: ProbeState,
    /// Empty when there is nothing to say.
    pub message: String,
}

/// All parts of one server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    pub checks: Vec<Check>,
}

impl Probe {
    /// Nothing failed.
    pub fn is_success(&self) -> bool {
        self.checks.iter().all(|check| check.state != ProbeState::Failed)
    }

    /// One sentence: what failed, or that all is well.
    pub fn summary(&self) -> String {
        match self.checks.iter().find(|check| check.state == ProbeState::Failed) {
            Some(check) => format!("{}: {}", check.part.as_str(), check.message),
            None => {
                let notes = self.checks.iter().filter(|check| !check.message.is_empty());
                let notes: Vec<&str> = notes.map(|check| check.message.as_str()).collect();
                if notes.is_empty() { "connected and logged in".to_owned() } else { notes.join("; ") }
            }
        }
    }

    fn new(server: &Server, failed: Option<(ProbePart, String)>) -> Self {
        let check = |part| match &failed {
            _ if part == ProbePart::Bastion && server.via.is_none() => {
                Check { part, state: ProbeState::Skipped, message: String::new() }
            }
            Some((at, message)) if *at == part => Check { part, state: ProbeState::Failed, message: message.clone() },
            Some((at, _)) if *at < part => Check { part, state: ProbeState::Skipped, message: String::new() },
            Some(_) | None => Check { part, state: ProbeState::Passed, message: String::new() },
        };
        Self { checks: ProbePart::ALL.iter().copied().map(check).collect() }
    }
}

/// Looks at `server`.
pub async fn probe(transport: &dyn Transport, server: &Arc<Server>) -> Probe {
    // What holds now is asked, not what held when a connection was made.
    transport.renew(server).await;
    if let Some(bastion) = &server.via {
        transport.renew(bastion).await;
        if let Err(refusal) = transport.reach(bastion).await {
            let (part, message) = failure(refusal);
            return Probe::new(server, Some((ProbePart::Bastion, format!("{}: {message}", part.as_str()))));
        }
    }
    if let Err(refusal) = transport.reach(server).await {
        return Probe::new(server, Some(failure(refusal)));
    }
    if let Some(failure) = try_command(transport, server, None).await {
        return Probe::new(server, Some(failure));
    }
    match try_command(transport, server, Some("root")).await {
        None => Probe::new(server, None),
        Some((ProbePart::Sudo, message)) if server.become_password.is_none() => {
            // Most runbooks need none; one that does will say so itself.
            let mut probe = Probe::new(server, None);
            for check in probe.checks.iter_mut().filter(|check| check.part == ProbePart::Sudo) {
                check.state = ProbeState::Skipped;
                check.message = format!("connected and logged in; steps with `become` would be refused: {message}");
            }
            probe
        }
        Some(failure) => Probe::new(server, Some(failure)),
    }
}

async fn try_command(
    transport: &dyn Transport,
    server: &Arc<Server>,
    become_user: Option<&str>,
) -> Option<(ProbePart, String)> {
    let part = if become_user.is_some() { ProbePart::Sudo } else { ProbePart::Shell };
    let job = Job {
        attempt: AttemptId::new(),
        server: Arc::clone(server),
        action: RemoteAction::Command("true".to_owned()),
        environment: Vec::new(),
        workdir: None,
        become_user: become_user.map(str::to_owned),
        timeout: limits::PROBE_TIMEOUT,
        output_bytes_max: 4096,
        permit: Permit::default(),
        hold: super::Hold::None,
        awaits_reboot: false,
    };
    let finished = transport.run(job, CancellationToken::new()).await;
    match finished.ending {
        Ending::Exited(0) => None,
        Ending::NotStarted(refusal) => Some(failure(refusal)),
        Ending::Exited(code) => Some((part, format!("`true` exited with {code}: {}", finished.stderr.text().trim()))),
        Ending::Signalled(name) => Some((part, format!("`true` was ended by SIG{name}"))),
        Ending::TimedOut(_) => Some((part, format!("`true` did not end within {} s", limits::PROBE_TIMEOUT.as_secs()))),
        Ending::Cancelled(_) => Some((part, "the test was cancelled".to_owned())),
        Ending::Lost(reason) | Ending::Rebooted(reason) => Some((part, reason)),
    }
}

fn failure(refusal: Refusal) -> (ProbePart, String) {
    let part = match refusal.kind {
        RefusalKind::Unreachable | RefusalKind::Handshake | RefusalKind::Protocol => ProbePart::Connection,
        RefusalKind::HostKeyUnknown | RefusalKind::HostKeyChanged => ProbePart::HostKey,
        RefusalKind::Authentication | RefusalKind::Credential => ProbePart::Authentication,
        RefusalKind::Session | RefusalKind::Shell | RefusalKind::Invalid | RefusalKind::Nowhere => ProbePart::Shell,
        RefusalKind::Become => ProbePart::Sudo,
    };
    (part, refusal.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::server;
    use crate::transport::fake::{Answer, FakeTransport};

    async fn states(transport: &FakeTransport, server: Server) -> (String, bool, String) {
        let probe = probe(transport, &Arc::new(server)).await;
        let word = |state| match state {
            ProbeState::Passed => '+',
            ProbeState::Failed => '!',
            ProbeState::Skipped => '-',
        };
        (probe.checks.iter().map(|check| word(check.state)).collect(), probe.is_success(), probe.summary())
    }

    #[tokio::test]
    async fn the_first_part_that_fails_is_named_and_the_rest_is_not_looked_at() {
        let web = || server("web1", "10.0.0.1", 22);
        let fake = FakeTransport::new();
        assert_eq!(states(&fake, web()).await, ("-+++++".into(), true, "connected and logged in".into()));
        fake.set_reachable("web1", false);
        let (word, is_success, summary) = states(&fake, web()).await;
        assert_eq!((word.as_str(), is_success), ("-!----", false));
        assert!(summary.starts_with("connection: "), "{summary}");

        for (kind, expected) in [
            (RefusalKind::HostKeyChanged, "-+!---"),
            (RefusalKind::Authentication, "-++!--"),
            (RefusalKind::Shell, "-+++!-"),
        ] {
            let fake = FakeTransport::new();
            fake.on("true", [Answer::refusal(kind, "because")]);
            assert_eq!(states(&fake, web()).await.0, expected);
        }
    }

    #[tokio::test]
    async fn sudo_only_fails_the_test_where_a_password_for_it_is_configured() {
        let fake = FakeTransport::new();
        fake.on(
            "true",
            [
                Answer::exit(0),
                Answer::refusal(RefusalKind::Become, "sudo: no"),
                Answer::exit(0),
                Answer::refusal(RefusalKind::Become, "sudo: no"),
            ],
        );
        let (word, is_success, summary) = states(&fake, server("web1", "10.0.0.1", 22)).await;
        assert_eq!((word.as_str(), is_success), ("-++++-", true));
        assert!(summary.contains("sudo: no"), "{summary}");
        let with_password =
            Server { become_password: Some(std::path::PathBuf::from("/p").into()), ..server("web1", "10.0.0.1", 22) };
        assert_eq!(states(&fake, with_password).await.0, "-++++!");
    }
}
