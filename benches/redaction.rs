//! What it costs to take secrets out of what a command printed: 1 MiB of a log, with none, 1 and 100 secrets known, and for
//! comparison a copy of the text. `cargo bench --bench redaction`; the best of several rounds is told.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has nothing to tell")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use douse::secrets::redact;
use serde_json::json;

/// Bytes of a text: as much as is kept of one stream.
const BYTES: usize = 1024 * 1024;
/// Rounds, of which the best counts: the others were disturbed.
const ROUNDS: usize = 20;

fn main() {
    // `cargo test --benches` asks whether it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let clean = log(None);
    let per_mib =
        |text: &str| format!("{:.2} ms", millis(best(rounds, || drop(black_box(redact::text(black_box(text)))))));
    println!("1 MiB copied: {:.2} ms", millis(best(rounds, || drop(black_box(black_box(clean.as_str()).to_owned())))));
    println!("1 MiB, no secret known: {}", per_mib(&clean));
    let record = json!({"executionId": "0193e3a2-7c1f-7d5e-9f5b-0e6d1c2b3a4f", "step": "Restart", "exitCode": 0, "durationMs": 431,
        "server": "web1", "command": "systemctl restart nginx", "outcome": "success", "attempt": 1});
    for count in [1, 100, 1_000] {
        let secrets: Vec<String> =
            (0..count).map(|number| format!("s3cret-{number:04}-{:x}", number * 7_919)).collect();
        let start = Instant::now();
        let _known = redact::hold(secrets.iter().map(String::as_str));
        redact::text("the first text after a change builds what finds them");
        println!("{count} secrets known: made ready in {:.2} ms", millis(start.elapsed()));
        println!("1 MiB, {count} known, none in it: {}", per_mib(&clean));
        println!("1 MiB, {count} known, one in each 100th line: {}", per_mib(&log(secrets.last())));
        let told = best(rounds * 100, || drop(black_box(redact::json(black_box(record.clone())))));
        println!("a record of the audit log, {count} known: {:.1} µs", told.as_secs_f64() * 1e6);
    }
}

/// Lines as a service writes them; `secret` stands in each hundredth.
fn log(secret: Option<&String>) -> String {
    let mut text = String::with_capacity(BYTES + 200);
    let mut number = 0_u32;
    while text.len() < BYTES {
        number += 1;
        let (second, bytes) = (number % 60, number.wrapping_mul(2_654_435_761) % 100_000);
        text.push_str(&format!(
            "2026-03-01T09:30:{second:02}Z web1 nginx[{number}]: 10.0.{second}.7 GET /api/v2/items?page={number} HTTP/1.1 200 {bytes}\n"
        ));
        if let Some(secret) = secret.filter(|_| number.is_multiple_of(100)) {
            text.push_str(&format!("connecting as app with {secret} to db1\n"));
        }
    }
    text.truncate(BYTES);
    text
}

fn best(rounds: usize, mut work: impl FnMut()) -> Duration {
    let once = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    std::iter::repeat_with(once).take(rounds).min().unwrap()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
