//! Figures that the database alone cannot make: failures by what they are like, and times from alarm to quiet.
//!
//! Called by the API.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::execution::signature::signature;
use crate::id::ExecutionId;
use crate::store::statistics::{Failed, Remedied};

/// Failures that are alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    pub signature: String,
    pub runbook: String,
    pub count: usize,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub servers: BTreeSet<String>,
    /// The last one.
    pub example: ExecutionId,
    pub message: String,
}

/// Puts failures that are alike together, the most frequent first. `failures` are in the order of their ends, the last first.
pub fn patterns(failures: &[Failed]) -> Vec<Pattern> {
    let mut found: BTreeMap<(String, String), Pattern> = BTreeMap::new();
    for failed in failures {
        let message = failed.error_message.clone().unwrap_or_default();
        let signature = signature(&message, &[&failed.server]);
        let pattern = found.entry((failed.runbook.clone(), signature.clone())).or_insert_with(|| Pattern {
            signature,
            runbook: failed.runbook.clone(),
            count: 0,
            first_seen: failed.completed_at,
            last_seen: failed.completed_at,
            servers: BTreeSet::new(),
            example: failed.execution_id,
            message,
        });
        pattern.count += 1;
        pattern.first_seen = pattern.first_seen.min(failed.completed_at);
        pattern.servers.insert(failed.server.clone());
    }
    let mut patterns: Vec<Pattern> = found.into_values().collect();
    patterns.sort_by(|a, b| b.count.cmp(&a.count).then(b.last_seen.cmp(&a.last_seen)));
    patterns
}

/// Times from an alert's start to the end of the run that put it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    pub count: usize,
    pub median: Duration,
    pub p95: Duration,
}

/// `None` if there were none.
pub fn times(remedied: &[Remedied]) -> Option<Times> {
    let mut times: Vec<Duration> = remedied.iter().map(|row| row.ended.since(row.began)).collect();
    times.sort_unstable();
    // The nearest rank: the smallest that so many in a hundred do not exceed.
    let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).max(1) - 1).copied();
    Some(Times { count: times.len(), median: rank(50)?, p95: rank(95)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(server: &str, message: &str, at: &str) -> Failed {
        Failed {
            execution_id: ExecutionId::new(),
            runbook: "restart".to_owned(),
            server: server.to_owned(),
            status: "failed".to_owned(),
            error_code: None,
            error_message: Some(message.to_owned()),
            completed_at: at.parse().unwrap(),
        }
    }

    #[test]
    fn failures_that_are_alike_are_counted_together() {
        let failures = [
            failed("web2", "web2: exit code 7", "2026-03-03T12:00:00Z"),
            failed("web1", "web1: exit code 3", "2026-03-03T11:00:00Z"),
            failed("web1", "no such unit", "2026-03-03T10:30:00Z"),
            failed("web1", "web1: exit code 1", "2026-03-03T10:00:00Z"),
        ];
        let found = patterns(&failures);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].signature.as_str(), found[0].count), ("<host>: exit code <n>", 3));
        assert_eq!(found[0].first_seen.to_string(), "2026-03-03T10:00:00.000000Z");
        assert_eq!(found[0].last_seen.to_string(), "2026-03-03T12:00:00.000000Z");
        assert_eq!((found[0].example, found[0].servers.len()), (failures[0].execution_id, 2));
    }

    #[test]
    fn ranks_are_of_times_that_were() {
        let of = |secs: &[u64]| {
            let began: Timestamp = "2026-03-03T12:00:00Z".parse().unwrap();
            let rows: Vec<_> =
                secs.iter().map(|secs| Remedied { began, ended: began.plus(Duration::from_secs(*secs)) }).collect();
            times(&rows).map(|times| (times.count, times.median.as_secs(), times.p95.as_secs()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some((1, 7, 7)));
        assert_eq!(of(&[40, 10, 30, 20]), Some((4, 20, 40)));
        assert_eq!(of(&(1..=100).collect::<Vec<_>>()), Some((100, 50, 95)));
    }
}
