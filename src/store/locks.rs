//! Turns that writers take on PostgreSQL where counting and writing must not overlap. On SQLite writers take turns
//! anyway, so both are nothing there. A turn ends with the transaction.
//!
//! Take them in the order of this file, at most one of each, and before the transaction's first write, or two
//! transactions may wait for each other.

use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};

use super::{Db, StoreError};

/// Class of the ingest turns, one per source.
const INGEST: i32 = 1;
/// Class of the one decision turn.
const DECISIONS: i32 = 2;

/// The turn of storing deliveries of `source`: finding an episode and writing it back do not overlap.
pub fn lock_ingest(db: &mut Db, source: &str) -> Result<(), StoreError> {
    if let Db::Pg(c) = db {
        diesel::sql_query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
            .bind::<Integer, _>(INGEST)
            .bind::<Text, _>(source)
            .execute(c)?;
    }
    Ok(())
}

/// The turn of whoever changes what the gates count or look at: deciding, claiming, ending a run, people's changes. So
/// nothing changes between the gates' asking and the writing of what they said: limits are exact, and a release is never
/// lost to a decision that is about to be held.
pub fn lock_decisions(db: &mut Db) -> Result<(), StoreError> {
    if let Db::Pg(c) = db {
        diesel::sql_query("SELECT pg_advisory_xact_lock($1, 0)").bind::<Integer, _>(DECISIONS).execute(c)?;
    }
    Ok(())
}
