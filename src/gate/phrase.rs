//! How times, durations and lists are said in a gate's message.

use std::time::Duration;

use chrono::SecondsFormat;

use crate::clock::Timestamp;

/// "10:05:00Z", with the date when it is not today.
pub fn moment(time: Timestamp, now: Timestamp) -> String {
    let (time, now) = (time.utc(), now.utc());
    if time.date_naive() == now.date_naive() {
        time.format("%H:%M:%SZ").to_string()
    } else {
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// "45 s", "2 min", "1 min 30 s", "1 h 30 min", "3 d 4 h": the two largest units, rounded down.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("min", seconds / 60 % 60), ("s", seconds % 60)];
    let Some(first) = units.iter().position(|(_, count)| *count > 0) else {
        return "0 s".to_owned();
    };
    let said = units.iter().skip(first).take(2).filter(|(_, count)| *count > 0);
    said.map(|(unit, count)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

/// "2 min ago", or "in 2 min" when clocks disagree.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    if time > now { format!("in {}", span(time.since(now))) } else { format!("{} ago", span(now.since(time))) }
}

/// "1 execution", "3 executions".
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The first few of a long list, and how many more there are.
pub fn list(items: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = items.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN { format!("{shown} and {} more", items.len() - SHOWN) } else { shown }
}
