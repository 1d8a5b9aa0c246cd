//! Waiting for a condition, with a deadline.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Asks every 25 ms until `probe` gives something; fails after `limit` with `what`.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// As [`wait_for`], for a value that has to become acceptable; fails with the last one seen.
pub fn wait_until<T: Debug>(
    what: &str,
    limit: Duration,
    mut read: impl FnMut() -> T,
    accept: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let seen = read();
        if accept(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain: {what}; last seen: {seen:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
