//! The hosts: one sshd under many names, and a FIFO in which each command leaves a line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::sshd::Sshd;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a step promises; each has a runbook, whose trigger is the alert of the same name.
#[derive(Clone, Copy, PartialEq)]
pub enum Step {
    /// It may be run again, so that its outcome may be lost.
    Idempotent,
    /// At most once, and its outcome is not lost when the connection or Douse ends.
    Once,
}

impl Step {
    pub fn alert_name(self) -> &'static str {
        match self {
            Self::Idempotent => "Idempotent",
            Self::Once => "Once",
        }
    }

    pub fn shown(self) -> &'static str {
        match self {
            Self::Idempotent => "`idempotent` step",
            Self::Once => "step that runs once",
        }
    }

    pub fn file(self) -> &'static str {
        match self {
            Self::Idempotent => "idempotent.yml",
            Self::Once => "once.yml",
        }
    }
}

/// The hosts, and what was done on them.
pub struct Remote {
    sshd: Sshd,
    hosts: Vec<String>,
    effects: Receiver<(u64, Instant)>,
    folder: TempDir,
}

impl Remote {
    /// `count` names for one sshd as Debian configures it.
    pub fn start(count: usize) -> Self {
        let sshd = Sshd::setup().config("LogLevel INFO").config("MaxStartups 10:30:100").start();
        let folder = TempDir::with_prefix("douse-effects-").unwrap();
        let fifo = folder.path().join("effects");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // Opened for both, so that neither this nor any writer waits for the other.
        let file = File::options().read(true).write(true).open(&fifo).unwrap();
        let (sender, effects) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(file).lines() {
                let now = Instant::now();
                let uid = line.unwrap().parse().expect("a uid");
                if sender.send((uid, now)).is_err() {
                    break;
                }
            }
        });
        Self { sshd, hosts: (1..=count).map(|number| format!("web{number}")).collect(), effects, folder }
    }

    /// The name of the host whose turn it is.
    pub fn host(&self, number: u64) -> &str {
        &self.hosts[usize::try_from(number).unwrap() % self.hosts.len()]
    }

    pub fn hosts(&self) -> u64 {
        u64::try_from(self.hosts.len()).unwrap()
    }

    fn command(&self, uid: &str) -> String {
        format!("echo {uid} >>{}", self.folder.path().join("effects").display())
    }

    /// Entries of `servers.yml`.
    pub fn servers(&self) -> Vec<String> {
        self.hosts.iter().map(|host| self.sshd.server_yaml(host)).collect()
    }

    pub fn runbook(&self, step: Step) -> String {
        let name = step.alert_name();
        format!(
            "name: {}\nmode: auto\nguard:\n  recently_remediated: 0s\n  attempts: {{count: 0, window: 1h}}\n\
             steps:\n  - {{name: effect, command: \"{}\", idempotent: {}}}\n\
             triggers:\n  - {{name: effect, alert_name_pattern: {name}}}\n",
            name.to_lowercase(),
            self.command("{{ alert.labels.uid }}"),
            step == Step::Idempotent,
        )
    }

    /// What the limit is told: address, user, key, command, hosts.
    pub fn arguments(&self) -> Vec<String> {
        let sshd = &self.sshd;
        let command = self.command("{uid}");
        let login = [sshd.address.to_string(), sshd.server("limit").username, sshd.key_file().display().to_string()];
        login.into_iter().chain([command]).chain(self.hosts.iter().cloned()).collect()
    }

    /// The next effect; `None` after `limit` of silence.
    pub fn next_within(&self, limit: Duration) -> Option<(u64, Instant)> {
        match self.effects.recv_timeout(limit) {
            Ok(effect) => Some(effect),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("nobody reads the effects any more"),
        }
    }

    /// When the alert of that uid had its effect, which has to be the next.
    pub fn effect_of(&self, uid: u64) -> Instant {
        let (seen, at) = self.next_within(PATIENCE).unwrap_or_else(|| panic!("no effect of {uid}"));
        assert_eq!(seen, uid, "another effect came first");
        at
    }

    /// Waits for `count` effects; answers when the last came.
    pub fn effects(&self, count: u64) -> Instant {
        let mut last = Instant::now();
        for so_far in 0..count {
            let next = self.next_within(PATIENCE);
            last = next.unwrap_or_else(|| panic!("{so_far} effects of {count}, then silence")).1;
        }
        last
    }

    /// How often each uid had its effect, when none comes for `quiet` any more.
    pub fn tally(&self, seen: &mut BTreeMap<u64, u32>, quiet: Duration) {
        while let Some((uid, _)) = self.next_within(quiet) {
            *seen.entry(uid).or_default() += 1;
        }
    }
}
