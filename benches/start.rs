//! How soon `douse serve` is ready, and how much memory it holds while idle.
//!
//! The release binary on a SQLite database that exists. "Ready" is the first 200 of `/-/ready`. Memory is what the kernel
//! says in `/proc/PID/smaps_rollup` after ten quiet seconds.
//!
//! `cargo bench --bench start`. Targets: 150 ms, 40 MiB.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::engine::Engine;

const ROUNDS: usize = 15;
const READY_TARGET: Duration = Duration::from_millis(150);
const MEMORY_TARGET_KIB: u64 = 40 * 1024;
const QUIET: Duration = Duration::from_secs(10);

const RUNBOOK: &str = include_str!("../runbooks/restart-service.yml");

fn main() {
    let mut engine = Engine::setup().runbook("restart-service.yml", RUNBOOK).start();
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| time_start(&mut engine)).collect();
    times.sort();
    let median = times[ROUNDS / 2];
    println!("start to ready, warm    {median:>9.2?} median, {:>9.2?} slowest of {ROUNDS}", times[ROUNDS - 1]);
    println!("                        target {READY_TARGET:?}: {}", if median <= READY_TARGET { "ok" } else { "OVER" });
    std::thread::sleep(QUIET);
    let resident = kib(engine.pid(), "Rss:");
    let own = kib(engine.pid(), "Pss:");
    println!("idle memory             {:>6.1} MiB resident, {:.1} MiB proportional", mib(resident), mib(own));
    println!(
        "                        target {} MiB: {}",
        MEMORY_TARGET_KIB / 1024,
        if resident < MEMORY_TARGET_KIB { "ok" } else { "OVER" }
    );
}

fn time_start(engine: &mut Engine) -> Duration {
    engine.stop();
    let begun = Instant::now();
    let program = engine.spawn();
    while !is_ready(engine.address()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "not ready:\n{}", engine.log());
        std::thread::sleep(Duration::from_micros(500));
    }
    let took = begun.elapsed();
    engine.adopt(program);
    took
}

fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut head = [0; 12];
    stream.write_all(b"GET /-/ready HTTP/1.1\r\nHost: douse\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut head).is_ok()
        && &head[9..] == b"200"
}

/// A line of `smaps_rollup`.
fn kib(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).expect(name);
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
