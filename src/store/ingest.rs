//! Storing deliveries of thousands of alerts: the few queries that `engine/receive` needs.
//!
//! On PostgreSQL each is one for all rows: with a round trip for each, 5,000 alerts would not be committed in the time that a
//! webhook has. On SQLite there is no way to save, and a statement for one row is prepared already.

use std::borrow::Cow;
use std::collections::HashMap;

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::alerts::AlertRow;
use super::deliveries::DeliveryRow;
use super::episodes::EpisodeRow;
use super::schema::{alerts, deliveries, episodes};
use super::types::{cleaned, prepared};
use super::unnest::insert_unnested;
use super::{Db, StoreError};
use crate::id::{AlertId, EpisodeId};

/// Rows of one statement that lists their values: SQLite takes 32,766 of them, PostgreSQL 65,535, and a row has up to 26.
pub(super) const CHUNK: usize = 1_000;

/// The last episode of each of `fingerprints`, open or closed, by fingerprint.
pub fn latest(db: &mut Db, source: &str, fingerprints: &[&str]) -> Result<HashMap<String, EpisodeRow>, StoreError> {
    let mut found = HashMap::with_capacity(fingerprints.len());
    match db {
        Db::Pg(c) => {
            let later = diesel::alias!(episodes as later);
            let rows: Vec<EpisodeRow> = episodes::table
                .filter(episodes::source.eq(source))
                .filter(episodes::fingerprint.eq_any(fingerprints))
                .filter(diesel::dsl::not(diesel::dsl::exists(
                    later
                        .filter(later.field(episodes::source).eq(episodes::source))
                        .filter(later.field(episodes::fingerprint).eq(episodes::fingerprint))
                        .filter(later.field(episodes::number).gt(episodes::number)),
                )))
                .select(EpisodeRow::as_select())
                .load(c)?;
            found.extend(rows.into_iter().map(|row| (row.fingerprint.clone(), row)));
        }
        Db::Sqlite(c) => {
            for fingerprint in fingerprints {
                let row: Option<EpisodeRow> = episodes::table
                    .filter(episodes::source.eq(source))
                    .filter(episodes::fingerprint.eq(fingerprint))
                    .order(episodes::number.desc())
                    .select(EpisodeRow::as_select())
                    .first(c)
                    .optional()?;
                found.extend(row.map(|row| ((*fingerprint).to_owned(), row)));
            }
        }
    }
    Ok(found)
}

/// Which of `hashes` (see [`super::alerts::identity_hash`]) the source has told before, and as which alert.
pub fn known(db: &mut Db, source: &str, hashes: &[&str]) -> Result<HashMap<String, (AlertId, EpisodeId)>, StoreError> {
    let columns = (alerts::identity_hash, alerts::id, alerts::episode_id);
    let mut rows: Vec<(String, AlertId, EpisodeId)> = Vec::new();
    match db {
        Db::Pg(c) => {
            rows = alerts::table
                .filter(alerts::source.eq(source))
                .filter(alerts::identity_hash.eq_any(hashes))
                .order(alerts::id)
                .select(columns)
                .load(c)?;
        }
        Db::Sqlite(c) => {
            for hash in hashes {
                let known = alerts::table.filter(alerts::source.eq(source)).filter(alerts::identity_hash.eq(hash));
                rows.extend(known.order(alerts::id.desc()).select(columns).first(c).optional()?);
            }
        }
    }
    let found = rows.into_iter().map(|(hash, alert, episode)| (hash, (alert, episode))).collect();
    Ok(found)
}

/// Writes what a delivery may change of stored episodes. `decide_state` is not among it: the matching stage may have
/// taken an episode off its list since its row was read.
pub fn update_episodes(db: &mut Db, rows: &[EpisodeRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    match db {
        // All rows are there already, so nothing is inserted; it is one round trip for all of them.
        Db::Pg(c) => {
            for some in rows.chunks(CHUNK) {
                let some: Vec<Cow<'_, EpisodeRow>> = some.iter().map(clean_episode).collect();
                let some: Vec<&EpisodeRow> = some.iter().map(AsRef::as_ref).collect();
                diesel::insert_into(episodes::table)
                    .values(some)
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
        }
        Db::Sqlite(c) => {
            for row in rows {
                prepared(diesel::update(episodes::table.find(row.id)).set((
                    episodes::state.eq(row.state),
                    episodes::earliest_starts_at.eq(row.earliest_starts_at),
                    episodes::latest_starts_at.eq(row.latest_starts_at),
                    episodes::last_seen_firing.eq(row.last_seen_firing),
                    episodes::ended_at.eq(row.ended_at),
                    episodes::suspect.eq(row.suspect),
                    episodes::alert_id.eq(row.alert_id),
                    episodes::updated_at.eq(row.updated_at),
                )))
                .execute(c)?;
            }
        }
    }
    Ok(())
}

/// Stores new episodes. Those that they supersede have to be closed before.
pub fn insert_episodes(db: &mut Db, rows: &[EpisodeRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<Cow<'_, EpisodeRow>> = rows.iter().map(clean_episode).collect();
    match db {
        Db::Pg(c) => {
            insert_unnested!(
                c, episodes, rows;
                id, source, fingerprint, number, state, earliest_starts_at, latest_starts_at, last_seen_firing, ended_at,
                suspect, alert_id, alert_name, severity, instance, decide_state, created_at, updated_at
            )?;
        }
        Db::Sqlite(c) => {
            for row in &rows {
                diesel::insert_into(episodes::table).values(&**row).execute(c)?;
            }
        }
    }
    Ok(())
}

/// Stores alerts that [`known`] did not know.
pub fn insert_alerts(db: &mut Db, rows: &[AlertRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<Cow<'_, AlertRow>> = rows
        .iter()
        .map(|row: &AlertRow| cleaned!(row; alert_name, severity, instance, job, fingerprint, generator_url))
        .collect();
    match db {
        Db::Pg(c) => {
            insert_unnested!(
                c, alerts, rows;
                id, delivery_id, position, source, fingerprint, received_at, alert_name, severity, instance, job, status,
                starts_at, ends_at, generator_url, labels_json, annotations_json, annotations_cut, raw_alert_json, group_json,
                identity_hash, episode_id, episode_relation, matched_trigger, action_taken
            )?;
        }
        Db::Sqlite(c) => {
            for row in &rows {
                diesel::insert_into(alerts::table).values(&**row).execute(c)?;
            }
        }
    }
    Ok(())
}

/// Stores deliveries.
pub fn insert_deliveries(db: &mut Db, rows: &[DeliveryRow]) -> Result<(), StoreError> {
    // Borrowed: a body may be 16 MiB.
    let rows: Vec<Cow<'_, DeliveryRow>> =
        rows.iter().map(|row: &DeliveryRow| cleaned!(row; content_type, receiver, group_key, external_url)).collect();
    match db {
        Db::Pg(c) => {
            insert_unnested!(
                c, deliveries, rows;
                id, source, received_at, remote_addr, content_type, body, body_sha256, format, receiver, group_key,
                external_url, truncated_alerts, alert_count, quarantined_count
            )?;
        }
        Db::Sqlite(c) => {
            for row in &rows {
                diesel::insert_into(deliveries::table).values(&**row).execute(c)?;
            }
        }
    }
    Ok(())
}

fn clean_episode(row: &EpisodeRow) -> Cow<'_, EpisodeRow> {
    cleaned!(row; fingerprint, alert_name, severity, instance)
}
