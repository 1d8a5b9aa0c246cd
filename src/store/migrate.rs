//! Brings the tables up to date at start. Both engines have the same migrations by name.

use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Db, StoreError};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The key of the advisory lock under which replicas that start together take turns ("douse" in ASCII).
const TURN: i64 = 0x64_6f75_7365;

/// SQLite before this one can corrupt a WAL database when it is reset (sqlite.org/wal.html).
const SQLITE_NEEDED: (u32, u32, u32) = (3, 51, 3);

/// Runs what has not been run. Takes no other process's place: on PostgreSQL it waits for its turn.
pub(super) fn up(db: &mut Db) -> Result<(), StoreError> {
    match db {
        Db::Sqlite(c) => {
            is_new_enough(c)?;
            c.run_pending_migrations(SQLITE).map_err(|error| StoreError::Migration(error.to_string()))?;
        }
        Db::Pg(c) => {
            diesel::sql_query(format!("SELECT pg_advisory_lock({TURN})")).execute(c)?;
            let done = c.run_pending_migrations(POSTGRES).map(drop);
            diesel::sql_query(format!("SELECT pg_advisory_unlock({TURN})")).execute(c)?;
            done.map_err(|error| StoreError::Migration(error.to_string()))?;
        }
    }
    Ok(())
}

/// Takes every migration back, newest first: all data is gone.
pub(super) fn down(db: &mut Db) -> Result<(), StoreError> {
    let done = match db {
        Db::Sqlite(c) => c.revert_all_migrations(SQLITE).map(drop),
        Db::Pg(c) => c.revert_all_migrations(POSTGRES).map(drop),
    };
    done.map_err(|error| StoreError::Migration(error.to_string()))
}

fn is_new_enough(c: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: String =
        diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>("sqlite_version()")).get_result(c)?;
    let mut parts = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    if (part(), part(), part()) < SQLITE_NEEDED {
        return Err(StoreError::TooOld {
            engine: "SQLite",
            found,
            needed: "3.51.3",
            why: "older ones can corrupt the database when its write-ahead log is reset",
        });
    }
    Ok(())
}
