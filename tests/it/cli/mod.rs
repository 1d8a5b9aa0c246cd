//! The commands as a person types them, against a running engine: exit codes, data on standard output, words on
//! standard error.

mod explain;
mod forms;
mod people;
mod reach;
mod records;
mod runs;
mod servers;
mod start;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::engine::{ADMIN_TOKEN, Engine, Setup};
use crate::support::host::Host;

/// What became of a command.
pub struct Ran {
    what: String,
    code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn of(what: String, output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let code = output.status.code().expect("it ended by itself");
        Self { what, code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Fails unless it ended with `code`.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "douse {}\n{}{}", self.what, self.stdout, self.stderr);
        self
    }

    /// Standard output holds each of `texts`.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text), "douse {}: `{text}` is missing in\n{}", self.what, self.stdout);
        }
        self
    }

    /// Standard error holds each of `texts`.
    #[track_caller]
    pub fn tells(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "douse {}: `{text}` is missing in\n{}", self.what, self.stderr);
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("douse {}: {error}: {}", self.what, self.stdout))
    }

    /// Standard output as one word: an id.
    #[track_caller]
    fn id(&self) -> String {
        let id = self.stdout.trim().to_owned();
        assert!(!id.is_empty() && !id.contains(char::is_whitespace), "douse {}: {}", self.what, self.stdout);
        id
    }
}

/// The command, without anything of the tests' own environment.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["90", env!("CARGO_BIN_EXE_douse")]).args(arguments).stdin(Stdio::null());
    for name in ["DOUSE_URL", "DOUSE_TOKEN", "DOUSE_TOKEN_FILE", "DOUSE_CA_FILE", "DOUSE_CONFIG_FILE", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// Runs it in `folder`.
pub fn douse_in(folder: &Path, arguments: &[&str]) -> Ran {
    let output = command(arguments).current_dir(folder).output().expect("`timeout` runs");
    Ran::of(arguments.join(" "), &output)
}

/// Runs it against `engine` as the owner of `token`.
pub fn douse_as(token: &str, engine: &Engine, arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    let output = command.env("DOUSE_URL", &engine.url).env("DOUSE_TOKEN", token).current_dir(engine.folder()).output();
    Ran::of(arguments.join(" "), &output.expect("`timeout` runs"))
}

/// Runs it against `engine` as the admin.
pub fn douse(engine: &Engine, arguments: &[&str]) -> Ran {
    douse_as(ADMIN_TOKEN, engine, arguments)
}

/// Restarts a service that is named by the alert or by hand; stops it to undo.
const RESTART: &str = "\
name: restart
description: Restart a service
mode: auto
target: {from: web1}
parameters: [{name: service, from_label: service, pattern: '[a-z]+'}]
steps:
  - {name: Look, command: 'systemctl status {{ params.service }}', expected_exit_codes: [0, 3]}
  - {name: Restart, command: 'systemctl restart {{ params.service }}', rollback_command: 'systemctl stop {{ params.service }}'}
  - {name: Verify, command: 'systemctl is-active {{ params.service }}'}
triggers: [{name: down, alert_name_pattern: 'ServiceDown*', cooldown_seconds: 300}]
";

/// `RESTART` for a run that follows another one at once: nothing of the guard stands in its way.
const FREE: &str = "limits: {recently_remediated: 0s, attempts: {count: 0, window: 1h}}";

/// A host that runs nginx, and an engine that may log in to it as `web1`.
fn engine_and_host(setup: Setup) -> (Engine, Host) {
    let host = Host::start(&["nginx"]);
    let engine = setup.server(host.sshd.server_yaml("web1")).start();
    (engine, host)
}
