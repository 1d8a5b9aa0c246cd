//! What every replica keeps in memory, and when to look at it anew: a number that grows with each change.

use diesel::prelude::*;

use super::schema::changes;
use super::types::prepared;
use super::{Db, StoreError, each_backend};
use crate::words::words;

words! {
    /// What changed.
    Changed {
        /// Somebody had the operator's files read again.
        Files = "files",
        /// People changed the servers that the database adds to the files'.
        Servers = "servers",
    }
}

/// How often each has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    pub files: i64,
    pub servers: i64,
}

/// Notes a change, in the transaction that makes it; answers how often it has changed by now.
pub fn note(db: &mut Db, changed: Changed) -> Result<i64, StoreError> {
    Ok(each_backend!(db, c => prepared(diesel::update(changes::table)
        .filter(changes::name.eq(changed.as_str()))
        .set(changes::number.eq(changes::number + 1))
        .returning(changes::number))
        .get_result(c))?)
}

/// How often each has changed by now.
pub fn seen(db: &mut Db) -> Result<Seen, StoreError> {
    let rows: Vec<(String, i64)> =
        each_backend!(db, c => changes::table.select((changes::name, changes::number)).load(c))?;
    let of = |changed: Changed| rows.iter().find(|(name, _)| name == changed.as_str()).map_or(0, |(_, number)| *number);
    Ok(Seen { files: of(Changed::Files), servers: of(Changed::Servers) })
}
