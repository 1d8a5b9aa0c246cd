//! Lists in pages, newest first, by a cursor that is the last id seen.

use crate::limits;

/// Which part of a list is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page<Id> {
    /// At most this many rows; bounded by [`limits::PAGE_MAX`].
    pub limit: u32,
    /// Rows older than this one; `None` from the newest.
    pub before: Option<Id>,
}

impl<Id> Page<Id> {
    /// The newest rows, of the default number.
    pub fn first() -> Self {
        Self { limit: limits::PAGE_DEFAULT, before: None }
    }

    /// How many rows to ask for: one more than wanted tells whether a next page exists.
    pub(super) fn fetch(&self) -> i64 {
        i64::from(self.limit.clamp(1, limits::PAGE_MAX)) + 1
    }

    /// Cuts the surplus row off and makes the cursor of the next page.
    pub(super) fn cut<Row>(&self, mut rows: Vec<Row>, id: impl Fn(&Row) -> Id) -> Paged<Row, Id> {
        let wanted = usize::try_from(self.fetch() - 1).unwrap_or(usize::MAX);
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        let next = if more { rows.last().map(id) } else { None };
        Paged { rows, next }
    }
}

/// One page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paged<Row, Id> {
    pub rows: Vec<Row>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<Id>,
}
