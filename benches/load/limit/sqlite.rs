//! SQLite: one thread, one transaction for all that waits, prepared statements, `synchronous=FULL`.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use tokio::sync::mpsc::UnboundedReceiver;

use super::rows::{Rows, alerts, deliveries, episodes, job};
use super::{Job, TOGETHER_MAX, Write};

/// Douse's own tables and indexes.
const TABLES: &str = include_str!("../../../migrations/sqlite/2026-11-21-000001_tables/up.sql");

/// Opens the database and starts the thread; answers what an earlier process left undone.
pub fn start(path: &str, writes: UnboundedReceiver<Write>) -> Vec<Job> {
    let is_new = !std::path::Path::new(path).exists();
    let mut db = SqliteConnection::establish(path).unwrap();
    db.batch_execute(
        "PRAGMA busy_timeout = 4000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
    )
    .unwrap();
    if is_new {
        db.batch_execute(TABLES).unwrap();
    }
    let undone: Vec<(String, String, String)> = episodes::table
        .inner_join(alerts::table.on(alerts::episode_id.eq(episodes::id)))
        .filter(episodes::decide_state.eq("undecided"))
        .select((episodes::id, episodes::instance, alerts::labels_json))
        .load(&mut db)
        .unwrap();
    std::thread::spawn(move || work(db, writes));
    undone.iter().map(|(episode, instance, labels)| job(episode, instance, labels)).collect()
}

fn work(mut db: SqliteConnection, mut writes: UnboundedReceiver<Write>) {
    while let Some(first) = writes.blocking_recv() {
        let mut answers = Vec::new();
        let committed = db.immediate_transaction(|db| {
            let (mut next, mut count) = (Some(first), 0);
            while let Some(write) = next {
                match write {
                    Write::Store(rows, answer) => {
                        store(db, &rows)?;
                        answers.push(answer);
                    }
                    Write::Done(episode) => done(db, &episode)?,
                }
                count += 1;
                next = if count < TOGETHER_MAX { writes.try_recv().ok() } else { None };
            }
            seen(db, answers.len())
        });
        committed.unwrap();
        for answer in answers {
            let _gone = answer.send(());
        }
    }
}

fn store(db: &mut SqliteConnection, rows: &Rows) -> QueryResult<()> {
    // Row by row: a prepared statement costs nothing but its step here, one of many rows is prepared each time.
    diesel::insert_into(deliveries::table).values(&rows.delivery).execute(db)?;
    for row in &rows.episodes {
        diesel::insert_into(episodes::table).values(row).execute(db)?;
    }
    for row in &rows.alerts {
        diesel::insert_into(alerts::table).values(row).execute(db)?;
    }
    Ok(())
}

fn done(db: &mut SqliteConnection, episode: &str) -> QueryResult<()> {
    diesel::update(episodes::table.find(episode)).set(episodes::decide_state.eq("decided")).execute(db)?;
    Ok(())
}

fn seen(db: &mut SqliteConnection, deliveries: usize) -> QueryResult<()> {
    if deliveries > 0 {
        db.batch_execute(&format!(
            "INSERT INTO sources VALUES ('main', datetime(), datetime(), {deliveries})
             ON CONFLICT (name) DO UPDATE SET last_delivery_at = datetime(), deliveries = deliveries + {deliveries}"
        ))?;
    }
    Ok(())
}
