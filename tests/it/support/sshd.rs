//! A private OpenSSH server on a loopback address of its own, stopped when dropped.
//!
//! [`Sshd::start`] serves the user who runs the tests, with one key. [`Setup::user`] adds accounts with passwords,
//! shells and rights to use sudo: they exist only in a mount namespace of that sshd (root only), never on the machine.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use douse::inventory::{Auth, Protocol, Server};
use douse::runbook::model::OsType;
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";

/// A running sshd.
pub struct Sshd {
    pub address: SocketAddr,
    dir: TempDir,
    child: Option<Child>,
    user: String,
    setup: Setup,
}

/// What is special about an sshd.
#[derive(Clone, Default)]
pub struct Setup {
    config: Vec<String>,
    env: Vec<(String, String)>,
    users: Vec<User>,
}

/// An account that only this sshd knows.
#[derive(Clone)]
struct User {
    name: String,
    password: String,
    shell: String,
    sudo: Sudo,
}

/// What an account may do with sudo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sudo {
    Nothing,
    WithPassword,
    WithoutPassword,
}

impl Setup {
    /// A line of `sshd_config`; it wins over the harness's own.
    pub fn config(mut self, line: &str) -> Self {
        self.config.push(line.to_owned());
        self
    }

    /// A variable that every session gets (`SetEnv`), for example a `PATH` with stub programs.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An account with a password. The key of the harness is accepted for it too.
    pub fn user(mut self, name: &str, password: &str, shell: &str, sudo: Sudo) -> Self {
        let (name, password, shell) = (name.to_owned(), password.to_owned(), shell.to_owned());
        self.users.push(User { name, password, shell, sudo });
        self
    }

    /// Starts it.
    pub fn start(self) -> Sshd {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: apt-get install openssh-server");
        let dir = TempDir::with_prefix("douse-sshd-").unwrap();
        // sshd reads authorized_keys as the user who logs in.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        for name in ["host_key", "user_key"] {
            keygen(&dir.path().join(name), "");
        }
        fs::copy(dir.path().join("user_key.pub"), dir.path().join("authorized_keys")).unwrap();
        let user = run(Command::new("id").arg("-un")).trim().to_owned();
        let mut sshd = Sshd { address: free_address(), dir, child: None, user, setup: self };
        sshd.boot();
        sshd
    }
}

impl Sshd {
    /// An sshd without anything special.
    pub fn start() -> Self {
        Setup::default().start()
    }

    /// Describes an sshd with something special; end with [`Setup::start`].
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// The inventory's entry for this host: the harness's key, the host key pinned.
    pub fn server(&self, name: &str) -> Server {
        self.server_for(name, &self.user)
    }

    /// The same for one of the accounts of [`Setup::user`].
    pub fn server_for(&self, name: &str, username: &str) -> Server {
        Server {
            name: name.to_owned(),
            hostname: self.address.ip().to_string(),
            port: self.address.port(),
            username: username.to_owned(),
            os_type: OsType::Linux,
            auth: Auth::Key { key: self.key_file().into(), passphrase: None, certificate: None },
            host_keys: vec![self.host_key()],
            tags: Vec::new(),
            group: None,
            environment: None,
            is_paused: false,
            protocol: Protocol::Ssh,
            become_password: None,
            bastion: None,
            via: None,
        }
    }

    /// A `servers.yml` entry for this host, as one line of YAML flow style.
    pub fn server_yaml(&self, name: &str) -> String {
        format!(
            "{{name: {name}, hostname: {}, port: {}, username: {}, key_file: {}, host_key: \"{}\"}}",
            self.address.ip(),
            self.address.port(),
            self.user,
            self.key_file().display(),
            self.host_key()
        )
    }

    /// A folder of this host: host key, user key, log, and whatever a test puts there.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `HOME` of its sessions, unless it has accounts of its own.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The private key that is accepted.
    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join("user_key")
    }

    /// The public host key, as `servers.yml` wants it.
    pub fn host_key(&self) -> String {
        let line = fs::read_to_string(self.dir.path().join("host_key.pub")).unwrap();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// What sshd has logged (level DEBUG1).
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("sshd.log")).unwrap_or_default()
    }

    /// The process id of the listener.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("sshd runs").id()
    }

    /// The processes that serve connections.
    pub fn sessions(&self) -> Vec<u32> {
        descendants(self.pid(), 1)
    }

    /// Sends a signal to the processes that serve connections (`STOP`, `CONT`, `KILL`) and to their unprivileged halves.
    pub fn signal_sessions(&self, signal: &str) {
        for pid in self.sessions() {
            for pid in [vec![pid], descendants(pid, 1)].concat() {
                if fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("sshd")) {
                    kill(signal, pid);
                }
            }
        }
    }

    /// Sends a signal to the listener: after `STOP` a connect succeeds and no banner comes.
    pub fn signal_listener(&self, signal: &str) {
        kill(signal, self.pid());
    }

    /// Ends the listener and all its connections; the address stays this host's.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let all = descendants(child.id(), 9);
            kill("KILL", child.id());
            for pid in all {
                kill("KILL", pid);
            }
            let _ = child.wait();
        }
    }

    /// Starts a stopped sshd again at the same address.
    pub fn boot(&mut self) {
        self.stop();
        let config = self.write_config();
        let root = self.user == "root";
        if root {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let log = self.dir.path().join("sshd.log");
        let mut command = if self.setup.users.is_empty() {
            Command::new(SSHD)
        } else {
            assert!(root, "accounts of its own need a mount namespace: run the tests as root");
            self.write_accounts();
            let mut command = Command::new("unshare");
            let dir = self.dir.path().display();
            let mounts = ["passwd", "shadow", "group", "sudoers"].map(|f| format!("mount --bind {dir}/{f} /etc/{f}"));
            let script = format!(
                "{} && mkdir -p /run/sudo && mount -t tmpfs none /run/sudo && exec {SSHD} \"$@\"",
                mounts.join(" && ")
            );
            command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
            command
        };
        command.arg("-D").arg("-f").arg(config).arg("-E").arg(&log);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::options().create(true).append(true).open(self.dir.path().join("stderr")).unwrap());
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("starting {SSHD}: {error}")));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !greets(self.address) {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let stderr = fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
                panic!("sshd did not start ({ended:?}): {stderr}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Gives the host another key, as after a new installation.
    pub fn change_host_key(&mut self) {
        self.stop();
        for name in ["host_key", "host_key.pub"] {
            fs::remove_file(self.dir.path().join(name)).unwrap();
        }
        keygen(&self.dir.path().join("host_key"), "");
        self.boot();
    }

    fn write_config(&self) -> PathBuf {
        let dir = self.dir.path().display();
        let own = format!(
            "HostKey {dir}/host_key\nListenAddress {address}\nAuthorizedKeysFile {dir}/authorized_keys\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nLogLevel DEBUG1\nUseDNS no\nMaxStartups 100:30:200\n",
            address = self.address
        );
        let mut text = String::new();
        // For most keywords sshd takes the first value, for MaxStartups the last; HostKey is a list.
        for line in own.lines() {
            let keyword = line.split(' ').next();
            let is_replaced = |given: &String| given.split(' ').next() == keyword && keyword != Some("HostKey");
            if !self.setup.config.iter().any(is_replaced) {
                let _ = writeln!(text, "{line}");
            }
        }
        for line in &self.setup.config {
            let _ = writeln!(text, "{line}");
        }
        let mut pairs: Vec<String> = self.setup.env.iter().map(|(name, value)| format!("\"{name}={value}\"")).collect();
        if self.setup.users.is_empty() {
            // bash reads its files for a command over SSH unless it believes to be a shell within a shell: what stands there
            // would cost each command its time.
            pairs.push("\"SHLVL=2\"".to_owned());
            // What Douse keeps on a host shall not come into the home of whoever runs the tests.
            if !self.setup.env.iter().any(|(name, _)| name == "HOME") {
                pairs.push(format!("\"HOME={}\"", self.home().display()));
            }
        }
        if !pairs.is_empty() {
            let _ = writeln!(text, "SetEnv {}", pairs.join(" "));
        }
        let path = self.dir.path().join("sshd_config");
        fs::write(&path, text).unwrap();
        path
    }

    fn write_accounts(&self) {
        let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
        let (mut passwd, mut shadow, mut group) = (read("/etc/passwd"), read("/etc/shadow"), read("/etc/group"));
        let mut sudoers = "Defaults !lecture\nroot ALL=(ALL:ALL) NOPASSWD: ALL\n".to_owned();
        for (id, user) in (52_000..).zip(&self.setup.users) {
            let User { name, password, shell, sudo } = user;
            let home = self.dir.path().join(format!("home-{name}"));
            fs::create_dir_all(&home).unwrap();
            std::os::unix::fs::chown(&home, Some(id), Some(id)).unwrap();
            let hash = run(Command::new("openssl").args(["passwd", "-6", password]));
            let _ = writeln!(passwd, "{name}:x:{id}:{id}::{}:{shell}", home.display());
            let _ = writeln!(shadow, "{name}:{}:19000:0:99999:7:::", hash.trim());
            let _ = writeln!(group, "{name}:x:{id}:");
            let _ = match sudo {
                Sudo::Nothing => Ok(()),
                Sudo::WithPassword => writeln!(sudoers, "{name} ALL=(ALL:ALL) ALL"),
                Sudo::WithoutPassword => writeln!(sudoers, "{name} ALL=(ALL:ALL) NOPASSWD: ALL"),
            };
        }
        for (name, text, mode) in
            [("passwd", passwd, 0o644), ("shadow", shadow, 0o600), ("group", group, 0o644), ("sudoers", sudoers, 0o440)]
        {
            let path = self.dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of the log of sshd at {}:", self.address);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Makes an ed25519 key pair at `path`.
pub fn keygen(path: &Path, passphrase: &str) {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", "test", "-N", passphrase, "-f"]).arg(path));
}

/// Sends a signal, named without `SIG`, to one process.
pub fn kill(signal: &str, pid: u32) {
    // The process may have ended meanwhile.
    let _ = Command::new("sh").args(["-c", &format!("kill -{signal} {pid} 2>/dev/null")]).status();
}

/// The processes below `pid`, at most `depth` generations.
pub fn descendants(pid: u32, depth: u32) -> Vec<u32> {
    if depth == 0 {
        return Vec::new();
    }
    let children = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let child: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let parent: u32 = stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()?;
        (parent == pid).then_some(child)
    });
    let children: Vec<u32> = children.collect();
    let below = children.iter().flat_map(|&child| descendants(child, depth - 1));
    let below: Vec<u32> = below.collect();
    [children, below].concat()
}

/// An address that no other test has: of the loopback network, by process and count, with a port free right now.
pub fn free_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let octet = |value: u32| u8::try_from(value % 254 + 1).unwrap();
    let ip = IpAddr::V4(Ipv4Addr::new(127, octet(pid / 254 + 1), octet(pid), octet(count)));
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else { return false };
    let mut banner = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-"
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
