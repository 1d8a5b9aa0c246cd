//! The two that are measured: `douse serve`, and the limit as a process of its own.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use tempfile::TempDir;

use super::limit;
use super::remote::{Remote, Step};
use super::support::engine::{Engine, Setup};
use super::support::postgres::Server;
use super::support::program::Program;
use super::support::sshd::free_address;

/// Where both store.
pub enum Database<'a> {
    Sqlite,
    Postgres(&'a Server),
}

impl Database<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    /// `douse serve` with an empty database and what most installations have: some runbook.
    pub fn douse(&self) -> Setup {
        let setup = Engine::setup();
        match self {
            Self::Sqlite => setup,
            Self::Postgres(server) => setup.storage(&server.fresh()),
        }
    }

    /// `douse serve` that runs a step on the remote's hosts for each alert named after it.
    pub fn douse_on(&self, remote: &Remote) -> Engine {
        let setup = remote.servers().into_iter().fold(self.douse(), Setup::server);
        let steps = [Step::Idempotent, Step::Once];
        let setup = steps.iter().fold(setup, |setup, step| setup.runbook(step.file(), &remote.runbook(*step)));
        setup.config("limits: {executions_per_hour: 0, recently_remediated: 0s, attempts: 0, blast_radius: 0}").start()
    }

    /// The limit with an empty database, and with `remote` where it runs commands.
    pub fn limit(&self, remote: Option<&Remote>) -> Limit {
        let folder = TempDir::with_prefix("douse-limit-").unwrap();
        let database = match self {
            Self::Sqlite => format!("sqlite://{}", folder.path().join("limit.db").display()),
            Self::Postgres(server) => server.fresh(),
        };
        let address = free_address();
        let mut arguments = vec![limit::ARGUMENT.to_owned(), address.to_string(), database];
        arguments.extend(remote.into_iter().flat_map(Remote::arguments));
        let mut limit = Limit { address, program: None, arguments, folder };
        limit.start();
        limit
    }
}

/// The limit, running.
pub struct Limit {
    pub address: SocketAddr,
    program: Option<Program>,
    arguments: Vec<String>,
    folder: TempDir,
}

impl Limit {
    pub fn start(&mut self) {
        let mut program = self.spawn();
        let address = self.address;
        program.wait_ready(|| TcpStream::connect(address).is_ok());
        self.program = Some(program);
    }

    /// Starts it without waiting.
    pub fn spawn(&self) -> Program {
        let own = std::env::current_exe().unwrap();
        Program::start(Path::new(&own), "(it is this package)", self.folder.path(), &self.arguments)
    }

    pub fn kill(&mut self) {
        self.program = None;
    }

    pub fn pid(&self) -> u32 {
        self.program.as_ref().expect("the limit runs").pid()
    }
}
