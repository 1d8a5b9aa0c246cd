//! From a webhook's POST to the first byte of its effect on the host, against a bare `russh` exec of the same command.
//!
//! Everything is real: the release binary as `douse serve` on SQLite with `synchronous=FULL`, an sshd, HTTP. Both sides use a
//! connection that stands. The command writes a byte into a FIFO that this program reads; both sides are timed to that byte.
//!
//! `cargo bench --bench post_to_effect`. Target: at most 3 × the bare exec.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use russh::client::{self, Handle};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use serde_json::json;
use support::engine::{Engine, WEBHOOK_TOKEN};
use support::sshd::Sshd;

const WARM_UP: usize = 5;
const ROUNDS: usize = 60;
const TARGET: f64 = 3.0;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("effect");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let effects = Effects::watch(&fifo);
    let command = format!("printf . >{}", fifo.display());
    let sshd = Sshd::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let engine = start_engine(&sshd, &command);
    let bare = runtime.block_on(log_in(&sshd));
    let client = reqwest::Client::new();
    let (mut posts, mut execs, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        // Alternating, so that whatever else the machine does hits both alike.
        let exec = runtime.block_on(time_exec(&bare, &command, &effects));
        let (answer, post) = runtime.block_on(time_post(&client, &engine, round, &effects));
        if round >= WARM_UP {
            execs.push(exec);
            posts.push(post);
            answers.push(answer);
        }
        wait_completed(&engine, round);
    }
    let (post, exec, answer) = (median(&mut posts), median(&mut execs), median(&mut answers));
    let ratio = post.as_secs_f64() / exec.as_secs_f64();
    println!("rounds                         {ROUNDS}");
    println!("bare russh exec to effect      {:>9.2?} median, {:>9.2?} p95", exec, p95(&execs));
    println!("POST to effect                 {:>9.2?} median, {:>9.2?} p95", post, p95(&posts));
    println!("  of that, POST to its answer  {:>9.2?} median (committed with an fsync)", answer);
    println!("ratio of the medians           {ratio:>9.2}  (target: at most {TARGET}) {}", verdict(ratio));
}

fn verdict(ratio: f64) -> &'static str {
    if ratio <= TARGET { "ok" } else { "OVER" }
}

/// The bytes that commands wrote, as they come.
struct Effects(Receiver<Instant>);

impl Effects {
    fn watch(fifo: &Path) -> Self {
        // Opened for both, so that neither this nor any writer waits for the other.
        let mut file = File::options().read(true).write(true).open(fifo).unwrap();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut byte = [0];
            while file.read_exact(&mut byte).is_ok() && sender.send(Instant::now()).is_ok() {}
        });
        Self(receiver)
    }

    fn next(&self) -> Instant {
        self.0.recv_timeout(PATIENCE).expect("the command's effect")
    }
}

fn start_engine(sshd: &Sshd, command: &str) -> Engine {
    let runbook = format!(
        "name: effect\nmode: auto\nguard:\n  recently_remediated: 0s\n  attempts: {{count: 0, window: 1h}}\n\
         steps:\n  - {{name: effect, command: \"{command}\"}}\ntriggers:\n  - {{name: effect, alert_name_pattern: Effect}}\n"
    );
    let limits = "limits: {executions_per_hour: 0, recently_remediated: 0s, attempts: 0, blast_radius: 0}";
    Engine::setup().server(sshd.server_yaml("web1")).runbook("effect.yml", &runbook).config(limits).start()
}

async fn time_post(client: &reqwest::Client, engine: &Engine, round: usize, effects: &Effects) -> (Duration, Duration) {
    let body = json!({"version": "4", "status": "firing", "receiver": "douse", "groupKey": "{}:{}", "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "truncatedAlerts": 0, "alerts": [{
            "status": "firing", "labels": {"alertname": "Effect", "instance": "web1:9100", "round": round.to_string()},
            "annotations": {}, "generatorURL": "", "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}]});
    let begun = Instant::now();
    let answer = client.post(engine.webhook()).bearer_auth(WEBHOOK_TOKEN).json(&body).send().await.unwrap();
    let answered = begun.elapsed();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    (answered, effects.next().duration_since(begun))
}

/// The target is locked until then; the next round would wait for it.
fn wait_completed(engine: &Engine, round: usize) {
    support::wait::wait_for("the execution is over", PATIENCE, || {
        let executions = engine.executions();
        let open = executions.iter().any(|execution| execution["status"] != "completed");
        (executions.len() > round.min(199) && !open).then_some(())
    });
}

struct Accept;

impl client::Handler for Accept {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

async fn log_in(sshd: &Sshd) -> Handle<Accept> {
    let config = Arc::new(client::Config { nodelay: true, ..client::Config::default() });
    let mut handle = client::connect(config, sshd.address, Accept).await.unwrap();
    let key = Arc::new(load_secret_key(sshd.key_file(), None).unwrap());
    let key = PrivateKeyWithHashAlg::new(key, None);
    assert!(handle.authenticate_publickey(sshd.server("bench").username, key).await.unwrap().success());
    handle
}

async fn time_exec(handle: &Handle<Accept>, command: &str, effects: &Effects) -> Duration {
    let begun = Instant::now();
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    while channel.wait().await.is_some() {}
    effects.next().duration_since(begun)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Of sorted times.
fn p95(times: &[Duration]) -> Duration {
    times[times.len() * 95 / 100]
}
