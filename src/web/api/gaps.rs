//! Numbers of the audit log that a live stream has passed over, because nothing was there that bears them.
//!
//! PostgreSQL gives an event its number when it is written, and shows it when its transaction commits: it may become visible
//! after one with a higher number, or never. So a number that is missing is looked for again until no transaction is left
//! that may bring it. Pure; [`super::stream`] reads the rows and the database's transaction numbers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Transaction numbers of the moment in which rows were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Horizon {
    /// Every transaction before this one was over.
    pub oldest: i64,
    /// No transaction from this one on had begun to write.
    pub next: i64,
}

/// Passed-over numbers, as ranges.
#[derive(Debug, Default)]
pub struct Gaps(BTreeMap<i64, Gap>);

#[derive(Clone, Copy, Debug)]
struct Gap {
    last: i64,
    since: Instant,
    /// When all transactions before this one are over, nothing comes any more.
    awaits: Option<i64>,
}

impl Gaps {
    /// The numbers from `first` to `last` were passed over; there are none if `last` is less.
    pub fn add(&mut self, first: i64, last: i64, now: Instant) {
        if first <= last {
            self.0.insert(first, Gap { last, since: now, awaits: None });
        }
    }

    /// `seq` has come after all; `false` if it was not missing.
    pub fn fill(&mut self, seq: i64) -> bool {
        let Some((&first, &gap)) = self.0.range(..=seq).next_back().filter(|(_, gap)| seq <= gap.last) else {
            return false;
        };
        self.0.remove(&first);
        if first < seq {
            self.0.insert(first, Gap { last: seq - 1, ..gap });
        }
        if seq < gap.last {
            self.0.insert(seq + 1, gap);
        }
        true
    }

    /// Forgets what did not come and never will. Call it after [`Gaps::fill`] with all that was there at `horizon`.
    ///
    /// Whoever took a number has begun to write within `patience`; then every transaction that may bring it is before
    /// `horizon.next`, and once all of those are over, a number that is missing stays so.
    pub fn settle(&mut self, horizon: Horizon, now: Instant, patience: Duration) {
        self.0.retain(|_, gap| gap.awaits.is_none_or(|awaits| awaits > horizon.oldest));
        for gap in self.0.values_mut() {
            if gap.awaits.is_none() && now.saturating_duration_since(gap.since) >= patience {
                gap.awaits = Some(horizon.next);
            }
        }
    }

    /// The lowest missing number.
    pub fn first(&self) -> Option<i64> {
        self.0.keys().next().copied()
    }

    /// All, as first and last number, the lowest first.
    pub fn ranges(&self) -> Vec<(i64, i64)> {
        self.0.iter().map(|(first, gap)| (*first, gap.last)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[test]
    fn what_comes_late_is_missing_no_more_and_the_rest_of_its_range_is() {
        let now = crate::clock::monotonic();
        let mut gaps = Gaps::default();
        gaps.add(5, 9, now);
        gaps.add(12, 12, now);
        gaps.add(14, 13, now);
        assert_eq!(gaps.ranges(), [(5, 9), (12, 12)]);
        assert!(gaps.fill(7) && !gaps.fill(7) && !gaps.fill(10) && !gaps.fill(4));
        assert_eq!(gaps.ranges(), [(5, 6), (8, 9), (12, 12)]);
        assert!(gaps.fill(5) && gaps.fill(6) && gaps.fill(9) && gaps.fill(12));
        assert_eq!((gaps.ranges(), gaps.first()), (vec![(8, 8)], Some(8)));
    }

    #[test]
    fn a_number_is_looked_for_until_every_transaction_that_may_bring_it_is_over() {
        let begun = crate::clock::monotonic();
        let mut gaps = Gaps::default();
        gaps.add(5, 5, begun);
        // Its transaction may not have begun to write yet: nothing is concluded from the first look.
        gaps.settle(Horizon { oldest: 1_000, next: 1_000 }, begun, PATIENCE);
        gaps.settle(Horizon { oldest: 2_000, next: 2_000 }, begun + PATIENCE / 2, PATIENCE);
        assert_eq!(gaps.first(), Some(5));
        gaps.settle(Horizon { oldest: 90, next: 100 }, begun + PATIENCE, PATIENCE);
        for oldest in [90, 95, 99] {
            gaps.settle(Horizon { oldest, next: 5_000 }, begun + PATIENCE * 60, PATIENCE);
            assert_eq!(gaps.first(), Some(5), "transaction {oldest} may bring it");
        }
        gaps.settle(Horizon { oldest: 100, next: 5_000 }, begun + PATIENCE * 61, PATIENCE);
        assert_eq!(gaps.first(), None);
    }
}
