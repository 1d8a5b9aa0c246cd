//! What a process holds: its proportional share, as the kernel counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks; each walks the process's pages.
const INTERVAL: Duration = Duration::from_millis(100);

/// PSS, MiB.
pub fn pss(pid: u32) -> f64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return 0.0 };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok()).unwrap_or(0);
    f64::from(kib) / 1_024.0
}

/// The most that a process held while it was watched.
pub struct Peak {
    over: Arc<AtomicBool>,
    thread: JoinHandle<f64>,
}

impl Peak {
    pub fn watch(pid: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut most: f64 = 0.0;
            while !end.load(Ordering::Relaxed) {
                most = most.max(pss(pid));
                std::thread::sleep(INTERVAL);
            }
            most.max(pss(pid))
        });
        Self { over, thread }
    }

    pub fn end(self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
