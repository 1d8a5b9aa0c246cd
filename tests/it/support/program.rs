//! A real program as a child: its output in a file, its whole process group ended when dropped.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::sshd::kill;
use super::wait::wait_for;

/// How long a program may take to say that it is ready, on a machine that is busy with other tests.
pub const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running program.
pub struct Program {
    name: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    /// Starts `program`; its output goes to `folder/NAME.log`. It also ends when the test's thread does, however that dies.
    pub fn start<I, S>(program: &Path, package: &str, folder: &Path, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        Self::start_with(program, package, folder, arguments, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with<I, S>(
        program: &Path,
        package: &str,
        folder: &Path,
        arguments: I,
        environment: &[(String, String)],
    ) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let found = find(program);
        let found = found.unwrap_or_else(|| panic!("{name} is missing: apt-get install {package}"));
        let log = folder.join(format!("{name}.log"));
        let out = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(found).args(arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.process_group(0).stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap_or_else(|error| panic!("setpriv {name}: {error}"));
        Self { name, log, child: Some(child) }
    }

    /// Waits until `ready` says so; fails at once when the program ends first.
    pub fn wait_ready(&mut self, mut ready: impl FnMut() -> bool) {
        let what = format!("{} is ready", self.name);
        wait_for(&what, START_LIMIT, || {
            if self.has_ended() {
                panic!("{} ended at its start:\n{}", self.name, self.log());
            }
            ready().then_some(())
        });
    }

    /// How it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// Whether it has ended by itself, or was.
    pub fn has_ended(&mut self) -> bool {
        self.child.is_none() || self.ended().is_some()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// All that it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        kill("TERM", child.id());
        let begun = std::time::Instant::now();
        while begun.elapsed() < STOP_LIMIT {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill_group(&mut child);
        panic!("{} did not end within {STOP_LIMIT:?} of a SIGTERM", self.name);
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.kill_group(&mut child);
        }
    }

    fn kill_group(&self, child: &mut Child) {
        // A negative number names the group.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
        let _ = child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of {}:", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// `program` itself when it is a path, else where `PATH` has it.
fn find(program: &Path) -> Option<PathBuf> {
    if program.is_absolute() {
        return program.exists().then(|| program.to_owned());
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.exists())
}
