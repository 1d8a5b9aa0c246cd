//! Doubts about the wall clock: it was set, or the machine slept.
//!
//! Windows, cooldowns and ages are asked by the wall clock. When it and the monotonic clock come apart by more than
//! [`limits::CLOCK_APART_MAX`], nothing is run by itself until it is back, or has gone steadily for
//! [`limits::CLOCK_STEADY_AFTER`] (then the new time is the right one), or a person reloads. Runs under way go on: they
//! count by the monotonic clock.

use std::time::Instant;

use crate::clock::{Clock, Timestamp, monotonic};
use crate::limits;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Both {
    wall: Timestamp,
    monotonic: Instant,
}

impl Both {
    /// How much further the wall clock went since `earlier` than the monotonic one, milliseconds.
    fn apart(self, earlier: Self) -> i64 {
        let went = (self.wall.utc() - earlier.wall.utc()).num_milliseconds();
        let passed = self.monotonic.saturating_duration_since(earlier.monotonic).as_millis();
        went.saturating_sub(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

/// What is known of the wall clock; nothing before the first look.
#[derive(Debug, Default)]
pub struct WallClock {
    /// When it was right; `None` before the first look.
    right: Option<Both>,
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    apart: i64,
    /// Since then it goes as the monotonic clock does.
    steady: Both,
}

/// What a look has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Nothing new.
    Same,
    /// From now on the clock is doubted.
    Doubted,
    /// The clock went back to where it was believed.
    Back,
    /// It has gone steadily for so long that its time is taken for the right one.
    Steady,
}

impl WallClock {
    /// Looks at `clock`.
    pub fn look(&mut self, clock: &Clock) -> Look {
        self.see(Both { wall: clock.now(), monotonic: monotonic() })
    }

    fn see(&mut self, now: Both) -> Look {
        let max = i64::try_from(limits::CLOCK_APART_MAX.as_millis()).unwrap_or(i64::MAX);
        let right = *self.right.get_or_insert(now);
        let apart = now.apart(right);
        let age = |since: Both| now.monotonic.saturating_duration_since(since.monotonic);
        if apart.abs() <= max {
            // Corrections of milliseconds must not add up over months.
            if age(right) > limits::CLOCK_STEADY_AFTER {
                self.right = Some(now);
            }
            return if self.doubt.take().is_some() { Look::Back } else { Look::Same };
        }
        match &mut self.doubt {
            None => {
                self.doubt = Some(Doubt { apart, steady: now });
                Look::Doubted
            }
            Some(doubt) if now.apart(doubt.steady).abs() > 1_000 => {
                *doubt = Doubt { apart, steady: now };
                Look::Same
            }
            Some(doubt) if age(doubt.steady) >= limits::CLOCK_STEADY_AFTER => {
                *self = Self { right: Some(now), doubt: None };
                Look::Steady
            }
            Some(_) => Look::Same,
        }
    }

    /// Why the clock is doubted; `None` while it is not.
    pub fn doubt(&self) -> Option<String> {
        self.doubt.map(|doubt| {
            let way = if doubt.apart > 0 { "ahead" } else { "back" };
            format!(
                "the wall clock was set {} s {way}, or this machine slept; nothing runs by itself until the clock is back, \
                 has gone steadily for {} minutes, or a person reloads (`POST /-/reload`, SIGHUP)",
                doubt.apart.abs() / 1_000,
                limits::CLOCK_STEADY_AFTER.as_secs() / 60
            )
        })
    }

    /// The time that it shows is the right one.
    pub fn trust(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks after `passed`; meanwhile the wall clock went on as long, and `set` milliseconds further.
    fn after(clock: &mut WallClock, now: &mut Both, passed: Duration, set: i64) -> Look {
        let wall = now.wall.plus(passed).utc() + chrono::TimeDelta::milliseconds(set);
        *now = Both { wall: Timestamp::new(wall), monotonic: now.monotonic + passed };
        clock.see(*now)
    }

    #[test]
    fn a_clock_that_is_set_is_doubted_until_it_is_back_or_has_gone_steadily() {
        for set in [31_000, -31_000] {
            let mut now = Both { wall: "2026-03-03T12:00:00Z".parse().unwrap(), monotonic: monotonic() };
            let mut clock = WallClock::default();
            assert_eq!(after(&mut clock, &mut now, SECOND, 0), Look::Same);
            assert_eq!(after(&mut clock, &mut now, SECOND, set), Look::Doubted);
            assert!(clock.doubt().unwrap().contains("31 s"));
            assert_eq!(after(&mut clock, &mut now, SECOND, 0), Look::Same);
            assert_eq!(after(&mut clock, &mut now, SECOND, -set), Look::Back);
            assert_eq!(clock.doubt(), None);
            assert_eq!(after(&mut clock, &mut now, SECOND, set), Look::Doubted);
            assert_eq!(after(&mut clock, &mut now, limits::CLOCK_STEADY_AFTER - SECOND, 0), Look::Same);
            assert_eq!(after(&mut clock, &mut now, SECOND, set.signum() * 2_000), Look::Same, "it was set again");
            assert_eq!(after(&mut clock, &mut now, limits::CLOCK_STEADY_AFTER, 0), Look::Steady);
            assert_eq!(after(&mut clock, &mut now, SECOND, 0), Look::Same);
            assert_eq!(clock.doubt(), None);
        }
    }

    #[test]
    fn small_corrections_never_add_up_and_a_person_may_vouch() {
        let mut now = Both { wall: "2026-03-03T12:00:00Z".parse().unwrap(), monotonic: monotonic() };
        let mut clock = WallClock::default();
        for _ in 0..100 {
            assert_eq!(after(&mut clock, &mut now, 2 * limits::CLOCK_STEADY_AFTER, 900), Look::Same);
        }
        assert_eq!(after(&mut clock, &mut now, SECOND, 20_000), Look::Same);
        assert_eq!(after(&mut clock, &mut now, SECOND, 20_000), Look::Doubted, "two steps of one jump");
        clock.trust();
        assert_eq!(clock.doubt(), None);
        assert_eq!(after(&mut clock, &mut now, SECOND, 0), Look::Same);
    }
}
