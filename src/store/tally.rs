//! Which audit events a write has added: told to the metrics after the commit, because what was rolled back never
//! happened.
//!
//! Queries take nothing but the connection, and a write runs on one thread from its begin to its end, so the count is
//! kept there.

use std::cell::RefCell;
use std::time::Duration;

use crate::audit::EventKind;

thread_local! {
    static TALLY: RefCell<Tally> = RefCell::default();
}

/// What became of one audit event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audited {
    /// It is committed; writing it took this long.
    Written(EventKind, Duration),
    /// It could not be written, or its transaction not committed: what it tells of did not happen.
    Failed,
}

/// Who is told.
pub type AuditWatch = Box<dyn Fn(Audited) + Send + Sync>;

/// The events of one write.
#[derive(Debug, Default)]
pub(super) struct Tally {
    written: Vec<(EventKind, Duration)>,
    failed: usize,
    /// The write wanted to be kept.
    is_kept: bool,
}

impl Tally {
    /// What there is to tell once it is known whether the write is committed.
    pub(super) fn outcome(self, is_committed: bool) -> Vec<Audited> {
        let Self { written, failed, is_kept } = self;
        let lost = if is_kept && !is_committed { written.len() } else { 0 };
        let written = written.into_iter().filter(|_| is_committed).map(|(kind, took)| Audited::Written(kind, took));
        written.chain(std::iter::repeat_n(Audited::Failed, failed + lost)).collect()
    }
}

/// An event was written, or could not be.
pub(super) fn note(kind: EventKind, took: Duration, is_written: bool) {
    TALLY.with_borrow_mut(|tally| if is_written { tally.written.push((kind, took)) } else { tally.failed += 1 });
}

/// Runs `write` and counts what it adds.
pub(super) fn count<T, E>(write: impl FnOnce() -> Result<T, E>) -> (Result<T, E>, Tally) {
    TALLY.take();
    let result = write();
    let tally = Tally { is_kept: result.is_ok(), ..TALLY.take() };
    (result, tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(kept: bool, failing: bool) -> Tally {
        let took = Duration::from_millis(2);
        let (_, tally) = count(|| {
            note(EventKind::Decided, took, true);
            note(EventKind::Planned, took, !failing);
            if kept { Ok(()) } else { Err(()) }
        });
        tally
    }

    #[test]
    fn what_is_committed_is_written_and_what_is_taken_back_never_happened() {
        let took = Duration::from_millis(2);
        let written = [Audited::Written(EventKind::Decided, took), Audited::Written(EventKind::Planned, took)];
        assert_eq!(tally(true, false).outcome(true), written);
        assert_eq!(tally(true, false).outcome(false), [Audited::Failed, Audited::Failed], "the commit failed");
        assert_eq!(tally(false, false).outcome(false), [], "the write itself gave up");
        assert_eq!(tally(false, true).outcome(false), [Audited::Failed], "the event could not be written");
    }
}
