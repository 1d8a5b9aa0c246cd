//! Turns that writers take on PostgreSQL where counting and writing must not overlap. On SQLite writers take turns
//! anyway, so both are nothing there. A turn ends with the transaction.
//!
//! Take them in the order of this file, at most one of each, and before the transaction's first write, or two
//! transactions may wait for each other.

use std::cell::Cell;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Integer, Text};

use super::{Db, StoreError};

/// Class of the ingest turns, one per source.
const INGEST: i32 = 1;
/// Class of the one decision turn.
const DECISIONS: i32 = 2;
/// Class of the one turn of adding to the audit chain.
const CHAIN: i32 = 3;
/// Class of the one turn of taking records away.
const RETENTION: i32 = 4;

thread_local! {
    /// The transaction that runs on this thread has the decisions' turn: asking again would be a round trip for nothing.
    static IS_DECIDING: Cell<bool> = const { Cell::new(false) };
}

/// A transaction begins on this thread, without any turn.
pub(super) fn begin() {
    IS_DECIDING.set(false);
}

/// The turn of storing deliveries of `source`: finding an episode and writing it back do not overlap.
pub fn lock_ingest(db: &mut Db, source: &str) -> Result<(), StoreError> {
    take(db, Turn { class: INGEST, of: source })
}

/// The turn of whoever changes what the gates count or look at: deciding, claiming, ending a run, people's changes. So
/// nothing changes between the gates' asking and the writing of what they said: limits are exact, and a release is never
/// lost to a decision that is about to be held.
pub fn lock_decisions(db: &mut Db) -> Result<(), StoreError> {
    if !IS_DECIDING.get() {
        take(db, Turn { class: DECISIONS, of: "" })?;
        IS_DECIDING.set(true);
    }
    Ok(())
}

/// The turn of adding to the audit chain.
pub fn lock_chain(db: &mut Db) -> Result<(), StoreError> {
    take(db, Turn { class: CHAIN, of: "" })
}

/// The turn of taking records away: a legal hold that is set waits until what is being taken away is gone, and what is taken
/// away after that heeds it.
pub fn lock_retention(db: &mut Db) -> Result<(), StoreError> {
    take(db, Turn { class: RETENTION, of: "" })
}

fn take(db: &mut Db, turn: Turn<'_>) -> Result<(), StoreError> {
    if let Db::Pg(c) = db {
        turn.load::<i32>(c)?;
    }
    Ok(())
}

/// Waits for a turn. Unlike an `sql_query`, its statement is prepared once.
struct Turn<'a> {
    class: i32,
    of: &'a str,
}

impl QueryFragment<Pg> for Turn<'_> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_sql("SELECT 1 FROM pg_advisory_xact_lock(");
        pass.push_bind_param::<Integer, _>(&self.class)?;
        pass.push_sql(", hashtext(");
        pass.push_bind_param::<Text, _>(self.of)?;
        pass.push_sql("))");
        Ok(())
    }
}

impl QueryId for Turn<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Turn<'_> {
    type SqlType = Integer;
}

impl<C> RunQueryDsl<C> for Turn<'_> {}
