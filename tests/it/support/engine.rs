//! `douse serve` as a child process: the real binary, its own folder, its own address.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::certificates::Signed;
use super::http::{self, Answer};
use super::program::Program;
use super::sshd::free_address;
use super::wait::{wait_for, wait_until};

/// Token of the webhook's only source, `main`.
pub const WEBHOOK_TOKEN: &str = "webhook-token-of-the-tests";
/// Token of an admin named `ada`.
pub const ADMIN_TOKEN: &str = "admin-token-of-the-tests";
/// Token of an engineer named `eve`.
pub const ENGINEER_TOKEN: &str = "engineer-token-of-the-tests";
/// Token of an operator named `oli`.
pub const OPERATOR_TOKEN: &str = "operator-token-of-the-tests";
/// Token of an auditor named `aud-it`.
pub const AUDITOR_TOKEN: &str = "auditor-token-of-the-tests";
/// Token of a viewer named `vic`.
pub const VIEWER_TOKEN: &str = "viewer-token-of-the-tests";

/// A running engine; its folder lives as long as this does.
pub struct Engine {
    pub url: String,
    address: SocketAddr,
    program: Option<Program>,
    folder: TempDir,
}

/// What an engine is started with.
#[derive(Default)]
pub struct Setup {
    storage: Option<String>,
    lease: Option<String>,
    servers: Vec<String>,
    runbooks: Vec<(String, String)>,
    config: String,
    web: String,
    is_secure: bool,
    sources: String,
    address: Option<SocketAddr>,
    has_no_tokens: bool,
}

impl Setup {
    /// The URL of a database; without it, SQLite in the engine's folder.
    pub fn storage(mut self, url: &str) -> Self {
        self.storage = Some(url.to_owned());
        self
    }

    /// How long replicas believe that one lives which is silent; without it, as long as by default.
    pub fn lease(mut self, lease: &str) -> Self {
        self.lease = Some(lease.to_owned());
        self
    }

    /// An entry of `servers.yml`, as [`super::sshd::Sshd::server_yaml`] makes them.
    pub fn server(mut self, entry: String) -> Self {
        self.servers.push(entry);
        self
    }

    /// A runbook's file name and text.
    pub fn runbook(mut self, file: &str, text: &str) -> Self {
        self.runbooks.push((file.to_owned(), text.to_owned()));
        self
    }

    /// More sections of `douse.yml` (`limits`, `blackouts`, …).
    pub fn config(mut self, yaml: &str) -> Self {
        self.config.push_str(yaml);
        self.config.push('\n');
        self
    }

    /// More keys of `web`, as `trusted_proxies: ["127.0.0.1"]`.
    pub fn web(mut self, keys: &str) -> Self {
        self.web.push_str(", ");
        self.web.push_str(keys);
        self
    }

    /// Speaks TLS with this certificate; `more` keys of `web.tls`.
    pub fn tls(mut self, signed: &Signed, more: &str) -> Self {
        self.is_secure = true;
        // The address that the certificates of the tests name.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        self.address = Some(listener.local_addr().unwrap());
        let files = format!("cert_file: {}, key_file: {}", signed.cert.display(), signed.key.display());
        self.web(&format!("tls: {{{files}{more}}}"))
    }

    /// One more source, as `{name: grafana, …}`.
    pub fn source(mut self, entry: &str) -> Self {
        self.sources.push_str(", ");
        self.sources.push_str(entry);
        self
    }

    /// Listens there, for who has to know the address before the engine starts.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Without any token in the configuration: only users can do something.
    pub fn no_tokens(mut self) -> Self {
        self.has_no_tokens = true;
        self
    }

    /// Writes the files and starts `douse serve`; returns once it is ready.
    pub fn start(self) -> Engine {
        let mut engine = self.write();
        engine.start();
        engine
    }

    /// Writes the files only.
    pub fn write(self) -> Engine {
        let folder = TempDir::with_prefix("douse-engine-").unwrap();
        let address = self.address.unwrap_or_else(free_address);
        let runbooks = folder.path().join("runbooks");
        fs::create_dir(&runbooks).unwrap();
        for (file, text) in &self.runbooks {
            fs::write(runbooks.join(file), text).unwrap();
        }
        let servers: String = self.servers.iter().map(|entry| format!("  - {entry}\n")).collect();
        let servers = if servers.is_empty() { "servers: []\n".to_owned() } else { format!("servers:\n{servers}") };
        fs::write(folder.path().join("servers.yml"), servers).unwrap();
        let storage = self.storage.unwrap_or_else(|| "sqlite://data/douse.db".to_owned());
        let lease = self.lease.map(|lease| format!(", lease: {lease}")).unwrap_or_default();
        let tokens = json!([
            {"name": "ada", "role": "admin", "token": ADMIN_TOKEN},
            {"name": "eve", "role": "engineer", "token": ENGINEER_TOKEN},
            {"name": "oli", "role": "operator", "token": OPERATOR_TOKEN},
            {"name": "vic", "role": "viewer", "token": VIEWER_TOKEN},
            {"name": "aud-it", "role": "auditor", "token": AUDITOR_TOKEN},
        ]);
        let tokens = if self.has_no_tokens { json!([]) } else { tokens };
        let config = format!(
            "web: {{listen_addresses: [\"{address}\"]{}}}\nstorage: {{url: \"{storage}\"{lease}}}\n\
             sources: [{{name: main, bearer_token: {WEBHOOK_TOKEN}}}{}]\nrunbooks: {{dirs: [runbooks]}}\n\
             servers: {{files: [servers.yml]}}\nauth: {{tokens: {tokens}}}\n{}",
            self.web, self.sources, self.config
        );
        fs::write(folder.path().join("douse.yml"), config).unwrap();
        let scheme = if self.is_secure { "https" } else { "http" };
        Engine { url: format!("{scheme}://{address}"), address, program: None, folder }
    }
}

impl Engine {
    /// Describes an engine; end with [`Setup::start`].
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Starts it (again), with the same folder, database and address, and waits until it is ready.
    pub fn start(&mut self) {
        let mut program = self.spawn();
        let ready = format!("{}/-/ready", self.url);
        program.wait_ready(|| http::get(&ready, None).is_some_and(|answer| answer.status == 200));
        self.program = Some(program);
    }

    /// Starts it, waits until it gave up, and returns what it said.
    pub fn fails_to_start(&self) -> String {
        let config = format!("--config.file={}", self.config_file().display());
        let mut command = std::process::Command::new("timeout");
        command.args(["20", env!("CARGO_BIN_EXE_douse"), "serve", &config]).current_dir(self.folder.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "it should give up: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Starts it without waiting; [`Engine::adopt`] takes it.
    pub fn spawn(&self) -> Program {
        self.spawn_with(&[])
    }

    /// The same with variables in its environment.
    pub fn spawn_with(&self, environment: &[(String, String)]) -> Program {
        let config = format!("--config.file={}", self.config_file().display());
        Program::start_with(
            Path::new(env!("CARGO_BIN_EXE_douse")),
            "(it is this package)",
            self.folder.path(),
            ["serve", &config],
            environment,
        )
    }

    /// Takes over what [`Engine::spawn`] started.
    pub fn adopt(&mut self, program: Program) {
        self.program = Some(program);
    }

    /// Asks it to end (SIGTERM).
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.program.take().and_then(|mut program| program.stop())
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        self.program = None;
    }

    pub fn pid(&self) -> u32 {
        self.program.as_ref().expect("the engine runs").pid()
    }

    /// Standard output and error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("douse.log")).unwrap_or_default()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("douse.yml")
    }

    /// Where Alertmanager sends.
    pub fn webhook(&self) -> String {
        format!("{}/api/v1/webhooks/main", self.url)
    }

    /// Posts a webhook body as Alertmanager does.
    pub fn deliver(&self, body: &Value) -> Answer {
        http::post(&self.webhook(), Some(WEBHOOK_TOKEN), Some(body)).expect("the engine answers")
    }

    /// `GET` as the auditor; fails unless the answer is 200.
    pub fn get(&self, path: &str) -> Value {
        let answer = http::get(&format!("{}{path}", self.url), Some(AUDITOR_TOKEN)).expect("the engine answers");
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text);
        answer.json()
    }

    /// `POST` as the admin, whatever the answer is.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        http::post(&format!("{}{path}", self.url), Some(ADMIN_TOKEN), Some(body)).expect("the engine answers")
    }

    /// All executions, the newest first.
    pub fn executions(&self) -> Vec<Value> {
        self.get("/api/v1/executions?limit=200")["items"].as_array().expect("a list").clone()
    }

    /// One execution with its steps.
    pub fn execution(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/executions/{id}"))
    }

    /// Waits for the first execution of `runbook` to be there.
    pub fn wait_execution(&self, runbook: &str, limit: Duration) -> String {
        let found = wait_for(&format!("an execution of {runbook}"), limit, || {
            self.executions().into_iter().rev().find(|execution| execution["runbook"] == runbook)
        });
        found["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until an execution has that status, and returns it.
    pub fn wait_status(&self, id: &str, status: &str, limit: Duration) -> Value {
        wait_until(&format!("execution {id} is {status}"), limit, || self.execution(id), |now| now["status"] == status)
    }
}
