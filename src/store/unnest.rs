//! Many rows in one `INSERT` whose text does not depend on their number: one array a column.
//!
//! PostgreSQL prepares it once for each connection. A list of values would be another statement for each number of rows, and
//! take longer to parse than to run.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::HasSqlType;

/// Inserts `$rows` into `$table`; the named columns are fields of the rows.
macro_rules! insert_unnested {
    ($connection:expr, $table:ident, $rows:expr; $($column:ident),+ $(,)?) => {{
        let rows = $rows;
        let insert = $crate::store::unnest::Insert { table: stringify!($table), columns: &[$(stringify!($column)),+] };
        $(let insert = $crate::store::unnest::Column::<
            _,
            ::diesel::sql_types::Array<::diesel::dsl::SqlTypeOf<$table::$column>>,
            _,
        >::new(insert, rows.iter().map(|row| &row.$column).collect::<Vec<_>>());)+
        ::diesel::RunQueryDsl::execute($crate::store::unnest::Whole(insert), $connection)
    }};
}
pub(super) use insert_unnested;

/// Before the first column.
pub(super) struct Insert {
    pub(super) table: &'static str,
    pub(super) columns: &'static [&'static str],
}

/// A column's values, after those before it.
pub(super) struct Column<Q, T, V> {
    before: Q,
    values: V,
    sql_type: PhantomData<T>,
}

/// After the last column.
pub(super) struct Whole<Q>(pub(super) Q);

impl<Q, T, V> Column<Q, T, V> {
    pub(super) fn new(before: Q, values: V) -> Self {
        Self { before, values, sql_type: PhantomData }
    }
}

impl QueryFragment<Pg> for Insert {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_sql("INSERT INTO ");
        pass.push_identifier(self.table)?;
        for (index, column) in self.columns.iter().enumerate() {
            pass.push_sql(if index == 0 { " (" } else { ", " });
            pass.push_identifier(column)?;
        }
        pass.push_sql(") SELECT * FROM unnest");
        Ok(())
    }
}

/// How many columns stand before.
trait Depth {
    const DEPTH: usize;
}

impl Depth for Insert {
    const DEPTH: usize = 0;
}

impl<Q: Depth, T, V> Depth for Column<Q, T, V> {
    const DEPTH: usize = Q::DEPTH + 1;
}

impl<Q, T, V> QueryFragment<Pg> for Column<Q, T, V>
where
    Q: QueryFragment<Pg> + Depth,
    Pg: HasSqlType<T>,
    V: ToSql<T, Pg>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.before.walk_ast(pass.reborrow())?;
        pass.push_sql(if Q::DEPTH == 0 { "(" } else { ", " });
        pass.push_bind_param::<T, V>(&self.values)
    }
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Whole<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(pass.reborrow())?;
        pass.push_sql(")");
        Ok(())
    }
}

/// None: the text is the key of the statement's cache.
impl<Q> QueryId for Whole<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q, C> RunQueryDsl<C> for Whole<Q> {}
