//! One engine per database: who may run executions.
//!
//! On SQLite the lock of the data directory says it already. On PostgreSQL it is an advisory lock that a connection of
//! its own holds for as long as the engine lives; the server frees it when that connection ends, however it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::ManageConnection;
use diesel::sql_types::{Bool, Integer, Nullable, Text};

use super::{Db, Pools, Store, StoreError, blocking};
use crate::clock::monotonic;
use crate::limits;

/// Class of the engine's lock; those of the transactions' turns stand in `locks`.
const ENGINE: i32 = 4;

/// The right to run executions on a database.
pub struct EngineTurn {
    store: Store,
    /// The connection that holds the lock; `None` on SQLite, or while it is lost.
    held: Arc<Mutex<Option<Db>>>,
}

impl Store {
    /// Takes the database for this engine, or says who has it. Waits a little: an engine that has just been killed still
    /// holds it until the server notices.
    pub async fn take_turn(&self) -> Result<EngineTurn, StoreError> {
        let turn = EngineTurn { store: self.clone(), held: Arc::default() };
        let until = monotonic() + limits::ENGINE_TURN_WAIT;
        loop {
            match turn.keep().await {
                Err(StoreError::Taken { .. }) if monotonic() < until => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                other => return other.map(|()| turn),
            }
        }
    }
}

impl EngineTurn {
    /// Makes sure that the lock is still held, and takes it again if its connection was lost.
    ///
    /// `Taken`: another engine was faster, and this one must not run anything any more.
    pub async fn keep(&self) -> Result<(), StoreError> {
        let (store, held) = (self.store.clone(), Arc::clone(&self.held));
        blocking(move || {
            let Pools::Pg { turn, .. } = &*store.pools else { return Ok(()) };
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.as_mut().is_some_and(|db| db.batch("SELECT 1").is_ok()) {
                return Ok(());
            }
            *held = None;
            let mut db = turn.connect()?;
            if !take(&mut db)? {
                return Err(StoreError::Taken { holder: holder(&mut db)? });
            }
            *held = Some(db);
            Ok(())
        })
        .await
    }
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

fn take(db: &mut Db) -> Result<bool, StoreError> {
    let query = || diesel::sql_query("SELECT pg_try_advisory_lock($1, 0) AS taken").bind::<Integer, _>(ENGINE);
    match db {
        Db::Pg(c) => Ok(query().get_result::<Taken>(c)?.taken),
        Db::Sqlite(_) => Ok(true),
    }
}

#[derive(QueryableByName)]
struct Holder {
    #[diesel(sql_type = Nullable<Text>)]
    shown: Option<String>,
}

/// Who holds it, in words; empty when the server does not tell.
fn holder(db: &mut Db) -> Result<String, StoreError> {
    let sql = "SELECT concat(' (', a.application_name, ' from ', coalesce(host(a.client_addr), 'this machine'), \
               ', connected since ', to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), ')') AS shown \
               FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
               WHERE l.locktype = 'advisory' AND l.granted AND l.classid = $1 AND l.objid = 0 \
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let found: Option<Holder> = match db {
        Db::Pg(c) => diesel::sql_query(sql).bind::<Integer, _>(ENGINE).get_result(c).optional()?,
        Db::Sqlite(_) => None,
    };
    Ok(found.and_then(|holder| holder.shown).unwrap_or_default())
}
