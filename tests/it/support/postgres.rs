//! A private PostgreSQL: one cluster per test process, one fresh database per test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A running cluster. A static is never dropped, so its end is the watcher's business: see [`start`].
struct Cluster {
    socket: PathBuf,
    watcher: Child,
}

/// A server of a test's own, that can be stopped and started.
pub struct Server {
    /// Of its first database.
    pub url: String,
    cluster: Option<Cluster>,
    root: PathBuf,
    disk: Disk,
}

/// What a commit waits for.
#[derive(Clone, Copy, PartialEq)]
enum Disk {
    /// Nothing: tests have no power cuts.
    Ignored,
    /// The disk, and everything else as PostgreSQL has it by default.
    Synced,
}

impl Server {
    pub fn start() -> Self {
        Self::start_on(Disk::Ignored)
    }

    /// One whose commits survive a power cut.
    pub fn durable() -> Self {
        Self::start_on(Disk::Synced)
    }

    fn start_on(disk: Disk) -> Self {
        let root = initialise();
        let cluster = serve(&root, disk);
        sql(&root, "CREATE DATABASE douse");
        Self { url: url(&root, "douse"), cluster: Some(cluster), root, disk }
    }

    /// URL of another, empty database.
    pub fn fresh(&self) -> String {
        create(&self.root)
    }

    /// Ends the server at once; its data stay.
    pub fn stop(&mut self) {
        if let Some(mut cluster) = self.cluster.take() {
            drop(cluster.watcher.stdin.take());
            cluster.watcher.wait().expect("the watcher ends");
        }
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.join("log")).expect("the server's log")
    }

    /// Starts a stopped server again.
    pub fn start_again(&mut self) {
        self.cluster = Some(serve(&self.root, self.disk));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// URL of a new, empty database on the private cluster, which is started at the first call.
pub fn database() -> String {
    let cluster = CLUSTER.get_or_init(start);
    create(&cluster.socket)
}

fn create(socket: &Path) -> String {
    let name = format!("douse_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    sql(socket, &format!("CREATE DATABASE {name}"));
    url(socket, &name)
}

fn url(socket: &Path, name: &str) -> String {
    format!("postgres://postgres@{}/{name}", socket.display().to_string().replace('/', "%2F"))
}

/// The newest installed server's directory of programs.
fn programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is not installed: apt-get install postgresql").1
}

/// `program`, as user `postgres` if we are root: PostgreSQL refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("a Uid line");
    uid.split_whitespace().nth(1) == Some("0")
}

/// A cluster that removes itself when this process has ended.
fn start() -> Cluster {
    let root = initialise();
    watch(&root, Disk::Ignored, &format!("rm -rf '{}'", root.display()))
}

/// A cluster whose data outlive the server.
fn serve(root: &Path, disk: Disk) -> Cluster {
    watch(root, disk, "true")
}

/// Makes an empty cluster below a new folder.
fn initialise() -> PathBuf {
    let bin = programs();
    // In the system's temporary directory, not below a home that user `postgres` may not enter.
    let root = tempfile::Builder::new().prefix("douse-pg-").tempdir().expect("a temporary directory").keep();
    if is_root() {
        run(Command::new("chown").arg("postgres:postgres").arg(&root));
    }
    let data = root.join("data");
    run(unprivileged(&bin.join("initdb"))
        .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data));
    root
}

/// Runs the server until the watcher's input ends, then does `afterwards`.
fn watch(root: &Path, disk: Disk, afterwards: &str) -> Cluster {
    let bin = programs();
    let data = root.join("data");
    // The watcher's standard input ends with this process, however it dies; then it stops the server.
    let mut serve = unprivileged(&bin.join("postgres"));
    serve.arg("-D").arg(&data).arg("-k").arg(root).args(["-c", "listen_addresses=", "-c", "max_connections=300"]);
    if disk == Disk::Ignored {
        serve.args(["-c", "fsync=off", "-c", "autovacuum=off"]);
    }
    let line: Vec<String> = std::iter::once(serve.get_program())
        .chain(serve.get_args())
        .map(|word| format!("'{}'", word.to_str().expect("UTF-8")))
        .collect();
    let script = format!(
        "trap '' INT TERM HUP; {} >'{root}/log' 2>&1 </dev/null & server=$!; cat >/dev/null; kill -INT $server; wait $server; {afterwards}",
        line.join(" "),
        root = root.display()
    );
    let watcher = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready(&bin, root) {
        let log = || std::fs::read_to_string(root.join("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "PostgreSQL does not start:\n{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    Cluster { socket: root.to_owned(), watcher }
}

fn ready(bin: &Path, socket: &Path) -> bool {
    Command::new(bin.join("pg_isready"))
        .arg("-q")
        .arg("-h")
        .arg(socket)
        .args(["-U", "postgres"])
        .status()
        .expect("pg_isready")
        .success()
}

fn sql(socket: &Path, text: &str) {
    run(Command::new(programs().join("psql"))
        .args(["-X", "-q", "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1"])
        .arg("-h")
        .arg(socket)
        .args(["-c", text]));
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
