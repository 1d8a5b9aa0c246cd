//! A host with a service that can break: a private sshd, a `systemctl` that knows the service, and an exporter that
//! tells Prometheus whether it is up.
//!
//! What is real: sshd, the shell, every command but `systemctl` and `sudo`. Those two are scripts first in `PATH`,
//! because a test may not restart the machine's services; the service is a file.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::sshd::Sshd;

const SYSTEMCTL: &str = r#"#!/bin/sh
# systemctl of a host whose services are files
state=$(dirname "$0")/../state verb= unit=
for word; do
  case $word in
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else unit=${word%.service}; fi ;;
  esac
done
printf '%s %s\n' "$verb" "$unit" >>"$state/calls"
[ -e "$state/$unit.service" ] || { echo "Unit $unit.service could not be found." >&2; exit 4; }
[ ! -e "$state/$unit.$verb-fails" ] || { echo "Job for $unit.service failed." >&2; exit 1; }
become() { echo "$1" >"$state/$unit.new" && mv "$state/$unit.new" "$state/$unit.service"; }
now=$(cat "$state/$unit.service")
case $verb in
  start | restart) become active ;;
  stop) become inactive ;;
  status) echo "$unit.service - $now"; [ "$now" = active ] || exit 3 ;;
  is-active) echo "$now"; [ "$now" = active ] || exit 3 ;;
  *) echo "Unknown command verb $verb." >&2; exit 1 ;;
esac
"#;

const SUDO: &str = r#"#!/bin/sh
# sudo without a password, for whoever logs in here
while :; do case $1 in -n | -E | --) shift ;; -u) shift 2 ;; *) break ;; esac; done
exec "$@"
"#;

/// A host with services.
pub struct Host {
    pub sshd: Sshd,
    exporter: Exporter,
    folder: TempDir,
}

impl Host {
    /// A host on which each of `services` runs.
    pub fn start(services: &[&str]) -> Self {
        let folder = TempDir::with_prefix("douse-host-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (bin, state) = (folder.path().join("bin"), folder.path().join("state"));
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&state).unwrap();
        for (name, text) in [("systemctl", SYSTEMCTL), ("sudo", SUDO)] {
            fs::write(bin.join(name), text).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for service in services {
            fs::write(state.join(format!("{service}.service")), "active\n").unwrap();
        }
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
        let sshd = Sshd::setup().env("PATH", &path).start();
        let exporter = Exporter::start(SocketAddr::new(sshd.address.ip(), 0), state);
        Self { sshd, exporter, folder }
    }

    /// Where Prometheus scrapes; its host part is the sshd's.
    pub fn metrics_address(&self) -> SocketAddr {
        self.exporter.address
    }

    /// Breaks a service: it is down from now on.
    pub fn break_service(&self, service: &str) {
        let path = self.state().join(format!("{service}.service"));
        let new = path.with_extension("broken");
        fs::write(&new, "failed\n").unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Lets `systemctl VERB SERVICE` fail from now on.
    pub fn let_fail(&self, verb: &str, service: &str) {
        fs::write(self.state().join(format!("{service}.{verb}-fails")), "").unwrap();
    }

    /// `active`, `inactive` or `failed`.
    pub fn service(&self, service: &str) -> String {
        fs::read_to_string(self.state().join(format!("{service}.service"))).unwrap().trim().to_owned()
    }

    /// Every call of `systemctl`, as `restart nginx`, in order.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.state().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A folder of the host's own, for files that commands write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }
}

/// `/metrics` of one host: `service_up{service="nginx"} 1`.
struct Exporter {
    address: SocketAddr,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    fn start(address: SocketAddr, state: PathBuf) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stops = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stops);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // A scraper that hangs up is its own business.
                let _ = stream.and_then(|stream| answer(stream, &metrics(&state)));
            }
        });
        Self { address, stops, thread: Some(thread) }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
        // Wakes `accept`.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn metrics(state: &Path) -> String {
    let mut text = String::from("# TYPE service_up gauge\n");
    for entry in fs::read_dir(state).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(service) = name.strip_suffix(".service") {
            let now = fs::read_to_string(entry.path()).unwrap_or_default();
            text.push_str(&format!("service_up{{service=\"{service}\"}} {}\n", u8::from(now.trim() == "active")));
        }
    }
    text
}

fn answer(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    let mut line = String::new();
    let mut lines = BufReader::new(stream.try_clone()?);
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    let kind = "text/plain; version=0.0.4";
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}
