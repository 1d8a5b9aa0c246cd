//! Storing a delivery of thousands of alerts: the few queries that `engine/receive` needs, each for all of them at once.
//!
//! One query per alert would not commit 5,000 alerts in the time that a webhook has on PostgreSQL.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::alerts::AlertRow;
use super::episodes::EpisodeRow;
use super::schema::{alerts, episodes};
use super::types::cleaned;
use super::{Db, StoreError, each_backend};
use crate::id::{AlertId, EpisodeId};

/// Rows of one statement: SQLite takes 32,766 values, PostgreSQL 65,535, and a row has up to 26.
pub(super) const CHUNK: usize = 1_000;

/// The last episode of each of `fingerprints`, open or closed, by fingerprint.
pub fn latest(db: &mut Db, source: &str, fingerprints: &[&str]) -> Result<HashMap<String, EpisodeRow>, StoreError> {
    let later = diesel::alias!(episodes as later);
    let mut found = HashMap::with_capacity(fingerprints.len());
    for some in fingerprints.chunks(CHUNK) {
        let rows: Vec<EpisodeRow> = each_backend!(db, c => episodes::table
            .filter(episodes::source.eq(source))
            .filter(episodes::fingerprint.eq_any(some))
            .filter(diesel::dsl::not(diesel::dsl::exists(
                later
                    .filter(later.field(episodes::source).eq(episodes::source))
                    .filter(later.field(episodes::fingerprint).eq(episodes::fingerprint))
                    .filter(later.field(episodes::number).gt(episodes::number)),
            )))
            .select(EpisodeRow::as_select())
            .load(c))?;
        found.extend(rows.into_iter().map(|row| (row.fingerprint.clone(), row)));
    }
    Ok(found)
}

/// Which of `hashes` (see [`super::alerts::identity_hash`]) the source has told before, and as which alert.
pub fn known(db: &mut Db, source: &str, hashes: &[&str]) -> Result<HashMap<String, (AlertId, EpisodeId)>, StoreError> {
    let mut found = HashMap::new();
    for some in hashes.chunks(CHUNK) {
        let rows: Vec<(String, AlertId, EpisodeId)> = each_backend!(db, c => alerts::table
            .filter(alerts::source.eq(source))
            .filter(alerts::identity_hash.eq_any(some))
            .order(alerts::id)
            .select((alerts::identity_hash, alerts::id, alerts::episode_id))
            .load(c))?;
        found.extend(rows.into_iter().map(|(hash, alert, episode)| (hash, (alert, episode))));
    }
    Ok(found)
}

/// Writes what a delivery may change of stored episodes. `decide_state` is not among it: the matching stage may have
/// taken an episode off its list since its row was read.
pub fn update_episodes(db: &mut Db, rows: &[EpisodeRow]) -> Result<(), StoreError> {
    for some in rows.chunks(CHUNK) {
        let clean = |row: &EpisodeRow| cleaned!(row; fingerprint, alert_name, severity, instance).into_owned();
        let some: Vec<EpisodeRow> = some.iter().map(clean).collect();
        match db {
            // A statement costs a round trip. All rows are there already, so nothing is inserted.
            Db::Pg(c) => {
                diesel::insert_into(episodes::table)
                    .values(&some)
                    .on_conflict(episodes::id)
                    .do_update()
                    .set((
                        episodes::state.eq(excluded(episodes::state)),
                        episodes::earliest_starts_at.eq(excluded(episodes::earliest_starts_at)),
                        episodes::latest_starts_at.eq(excluded(episodes::latest_starts_at)),
                        episodes::last_seen_firing.eq(excluded(episodes::last_seen_firing)),
                        episodes::ended_at.eq(excluded(episodes::ended_at)),
                        episodes::suspect.eq(excluded(episodes::suspect)),
                        episodes::alert_id.eq(excluded(episodes::alert_id)),
                        episodes::updated_at.eq(excluded(episodes::updated_at)),
                    ))
                    .execute(c)?;
            }
            Db::Sqlite(c) => {
                for row in &some {
                    diesel::update(episodes::table.find(row.id))
                        .set((
                            episodes::state.eq(row.state),
                            episodes::earliest_starts_at.eq(row.earliest_starts_at),
                            episodes::latest_starts_at.eq(row.latest_starts_at),
                            episodes::last_seen_firing.eq(row.last_seen_firing),
                            episodes::ended_at.eq(row.ended_at),
                            episodes::suspect.eq(row.suspect),
                            episodes::alert_id.eq(row.alert_id),
                            episodes::updated_at.eq(row.updated_at),
                        ))
                        .execute(c)?;
                }
            }
        }
    }
    Ok(())
}

/// Stores new episodes. Those that they supersede have to be closed before.
pub fn insert_episodes(db: &mut Db, rows: &[EpisodeRow]) -> Result<(), StoreError> {
    for some in rows.chunks(CHUNK) {
        let clean = |row: &EpisodeRow| cleaned!(row; fingerprint, alert_name, severity, instance).into_owned();
        let some: Vec<EpisodeRow> = some.iter().map(clean).collect();
        each_backend!(db, c => diesel::insert_into(episodes::table).values(&some).execute(c))?;
    }
    Ok(())
}

/// Stores alerts that [`known`] did not know.
pub fn insert_alerts(db: &mut Db, rows: &[AlertRow]) -> Result<(), StoreError> {
    let clean =
        |row: &AlertRow| cleaned!(row; alert_name, severity, instance, job, fingerprint, generator_url).into_owned();
    for some in rows.chunks(CHUNK) {
        let some: Vec<AlertRow> = some.iter().map(clean).collect();
        each_backend!(db, c => diesel::insert_into(alerts::table).values(&some).execute(c))?;
    }
    Ok(())
}
