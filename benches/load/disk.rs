//! The disk: without its rate a durable rate means nothing.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use super::side::Database;
use super::table::{Measure, Table, Target, Unit};

const ROUNDS: usize = 200;
const PAGE: usize = 4_096;

/// The fdatasync rate of the moment.
pub fn measure(database: &Database<'_>, table: &mut Table) {
    let times = fdatasyncs();
    let rate = 1.0 / (times.iter().sum::<Duration>().as_secs_f64() / 200.0);
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1_000.0).collect();
    let spread = Measure::times(&mut times).spread;
    let subject = format!("{}: the disk, fdatasync of a 4 KiB page", database.name());
    table.limit(&subject, Unit::PerSecond, Target::None, Measure { value: rate, spread });
}

/// Median time of one, ms.
pub fn fdatasync() -> f64 {
    let mut times: Vec<f64> = fdatasyncs().iter().map(|time| time.as_secs_f64() * 1_000.0).collect();
    Measure::times(&mut times).value
}

/// Pages written in place, where the databases of this run are: in the system's temporary directory.
fn fdatasyncs() -> Vec<Duration> {
    let file: File = tempfile::tempfile().unwrap();
    file.write_all_at(&vec![1; PAGE * 64], 0).unwrap();
    file.sync_all().unwrap();
    let page = [2; PAGE];
    (0..ROUNDS)
        .map(|round| {
            let begun = Instant::now();
            file.write_all_at(&page, u64::try_from(round % 64 * PAGE).unwrap()).unwrap();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect()
}
