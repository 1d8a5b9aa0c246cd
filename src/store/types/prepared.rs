//! Changes that a connection prepares once, though Diesel thinks that it should not.
//!
//! Diesel prepares every `UPDATE` and every upsert anew each time, since the text of some differs from one time to the next.
//! That costs SQLite more than running them, and PostgreSQL a round trip. The texts of ours are few: a list that is in one of
//! them has a handful of lengths, never one for each size of a batch.

use diesel::backend::Backend;
use diesel::connection::LoadConnection;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::LoadQuery;
use diesel::sql_types::Integer;

/// A change whose text is one of a few.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Prepared<Q>(Q);

/// A query whose text is one of a few, that is to be read.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Read<Q>(Q);

/// The change, answering with a row for each that it changed. Diesel asks a query by reference whether its statement may be
/// kept, and so does not hear its own word, unless it is read from.
pub(in crate::store) struct Counted<Q>(Q);

/// Keeps the statement of `change` with the connection, by its text.
pub(in crate::store) fn prepared<Q>(change: Q) -> Prepared<Q> {
    Prepared(change)
}

/// Keeps the statement of `query`, which has lists in it, with the connection, by its text.
pub(in crate::store) fn prepared_read<Q>(query: Q) -> Read<Q> {
    Read(query)
}

impl<Q> Prepared<Q> {
    /// How many rows were changed.
    pub(in crate::store) fn execute<'q, C>(self, connection: &mut C) -> QueryResult<usize>
    where
        C: LoadConnection,
        Counted<Q>: LoadQuery<'q, C, i32>,
    {
        Ok(RunQueryDsl::<C>::load::<i32>(Counted(self.0), connection)?.len())
    }

    /// What the change returns of the one row that it changed.
    pub(in crate::store) fn get_result<'q, C, T>(self, connection: &mut C) -> QueryResult<T>
    where
        C: LoadConnection,
        Read<Q>: LoadQuery<'q, C, T>,
    {
        RunQueryDsl::<C>::get_result(Read(self.0), connection)
    }
}

impl<Q, B> QueryFragment<B> for Read<Q>
where
    Q: QueryFragment<B>,
    B: Backend,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &B) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q, B> QueryFragment<B> for Counted<Q>
where
    Q: QueryFragment<B>,
    B: Backend,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        self.0.walk_ast(pass.reborrow())?;
        pass.push_sql(" RETURNING 1");
        Ok(())
    }

    fn is_safe_to_cache_prepared(&self, _: &B) -> QueryResult<bool> {
        Ok(true)
    }
}

/// None: the text is the key of the statement's cache.
impl<Q> QueryId for Read<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> QueryId for Counted<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Read<Q> {
    type SqlType = Q::SqlType;
}

impl<Q> Query for Counted<Q> {
    type SqlType = Integer;
}

impl<Q, C> RunQueryDsl<C> for Read<Q> {}
impl<Q, C> RunQueryDsl<C> for Counted<Q> {}
