//! Wall time to moments, across changes of a zone's offset.
//!
//! A wall time occurs once, twice (the repeated hour in autumn) or never (the gap in spring).

use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// A stretch of time in which a zone keeps one offset, cut to the range that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    pub start: DateTime<Utc>,
    /// Not part of it.
    pub end: DateTime<Utc>,
    /// Wall time is UTC plus this.
    pub offset: Duration,
}

impl Segment {
    /// The wall time at `moment`, by this segment's offset.
    pub fn wall(&self, moment: DateTime<Utc>) -> NaiveDateTime {
        saturating_add(moment.naive_utc(), self.offset)
    }

    /// The moment of `wall`, by this segment's offset; it may lie outside of the segment.
    pub fn moment(&self, wall: NaiveDateTime) -> DateTime<Utc> {
        saturating_add(wall, -self.offset).and_utc()
    }
}

/// Wall time at `moment`.
pub fn wall(zone: Tz, moment: DateTime<Utc>) -> NaiveDateTime {
    moment.with_timezone(&zone).naive_local()
}

/// Cuts `[start, end)` where the zone's offset changes; in order, without gaps.
pub fn segments(zone: Tz, start: DateTime<Utc>, end: DateTime<Utc>) -> Vec<Segment> {
    // No zone ever changed its offset twice within this time.
    let stride = Duration::hours(6);
    let mut segments = Vec::new();
    let mut segment = Segment { start, end, offset: offset(zone, start) };
    let mut at = start;
    while at < end {
        let next = at.checked_add_signed(stride).map_or(end, |next| next.min(end));
        let next_offset = offset(zone, next);
        if next_offset != segment.offset {
            let change = change_between(zone, at, next);
            segments.push(Segment { end: change, ..segment });
            segment = Segment { start: change, end, offset: next_offset };
        }
        at = next;
    }
    // A change exactly at `end` leaves nothing after it.
    if segment.start < segment.end {
        segments.push(segment);
    }
    segments
}

/// The moments of a wall time: two in a repeated hour; in a gap, the gap's end stands for it.
pub fn moments(zone: Tz, wall: NaiveDateTime) -> Vec<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(only) => vec![only.with_timezone(&Utc)],
        LocalResult::Ambiguous(first, second) => vec![first.with_timezone(&Utc), second.with_timezone(&Utc)],
        LocalResult::None => {
            let around = Duration::hours(30);
            let start = saturating_add(wall, -around).and_utc();
            let end = saturating_add(wall, around).and_utc();
            let segments = segments(zone, start, end);
            let gap = segments.windows(2).find_map(|pair| match pair {
                [before, after] if before.wall(before.end) <= wall && wall < after.wall(after.start) => {
                    Some(after.start)
                }
                _ => None,
            });
            gap.into_iter().collect()
        }
    }
}

fn offset(zone: Tz, moment: DateTime<Utc>) -> Duration {
    let seconds = zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc();
    Duration::seconds(i64::from(seconds))
}

/// The first moment with the later offset, to the second.
fn change_between(zone: Tz, before: DateTime<Utc>, after: DateTime<Utc>) -> DateTime<Utc> {
    let old = offset(zone, before);
    let (mut low, mut high) = (before.timestamp(), after.timestamp());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let is_old = DateTime::from_timestamp(middle, 0).is_some_and(|at| offset(zone, at) == old);
        if is_old {
            low = middle;
        } else {
            high = middle;
        }
    }
    DateTime::from_timestamp(high, 0).unwrap_or(after)
}

/// `NaiveDateTime` at the ends of time instead of a panic.
pub fn saturating_add(time: NaiveDateTime, delta: Duration) -> NaiveDateTime {
    let bound = if delta < Duration::zero() { NaiveDateTime::MIN } else { NaiveDateTime::MAX };
    time.checked_add_signed(delta).unwrap_or(bound)
}
