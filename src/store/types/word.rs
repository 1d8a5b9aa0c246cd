//! Words as part of the SQL.
//!
//! SQLite looks at the value of a parameter that is compared with a column of a partial index's `WHERE`, and prepares the
//! statement anew whenever another value is bound. A word that stands in the text is neither looked at nor bound, and lets
//! the partial index be used. Only our own words stand there, never what came from outside.

use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Text;

/// `'word'` in the SQL. For filters by columns on which a partial index stands.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Word(&'static str);

/// The word of an enum made by `words!`: `word(Status::Running.as_str())`.
pub(in crate::store) fn word(text: &'static str) -> Word {
    Word(text)
}

impl Expression for Word {
    type SqlType = Text;
}

impl<Source> SelectableExpression<Source> for Word {}
impl<Source> AppearsOnTable<Source> for Word {}

impl<Grouping> ValidGrouping<Grouping> for Word {
    type IsAggregate = is_aggregate::Never;
}

/// None: the text differs from word to word, and is the key of the statement's cache.
impl QueryId for Word {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<B: Backend> QueryFragment<B> for Word {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        pass.push_sql("'");
        pass.push_sql(self.0);
        pass.push_sql("'");
        Ok(())
    }
}
