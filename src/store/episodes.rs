//! Episodes: the incidents. What an alert means for them is decided in `alert::episode`.

use diesel::prelude::*;

use super::schema::episodes;
use super::types::{cleaned, prepared, word};
use super::{Db, DecideState, Page, Paged, StoreError, each_backend};
use crate::alert::episode::{Episode, EpisodeState};
use crate::clock::Timestamp;
use crate::id::{AlertId, EpisodeId};

/// One incident of one alert of one source.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = episodes, treat_none_as_default_value = false)]
pub struct EpisodeRow {
    pub id: EpisodeId,
    pub source: String,
    pub fingerprint: String,
    /// Counts from 1 per (source, fingerprint).
    pub number: i32,
    pub state: EpisodeState,
    /// Earliest `startsAt` seen.
    pub earliest_starts_at: Timestamp,
    /// Latest `startsAt` seen.
    pub latest_starts_at: Timestamp,
    /// The latest moment at which it is known to have fired, in the bodies' own time.
    pub last_seen_firing: Timestamp,
    /// The body's `endsAt`; of a superseded one the start of its successor.
    pub ended_at: Option<Timestamp>,
    /// It fired again long after its end: perhaps the end was false.
    pub suspect: bool,
    /// The first firing alert; null if only its end is known.
    pub alert_id: Option<AlertId>,
    pub alert_name: String,
    pub severity: String,
    pub instance: String,
    pub decide_state: DecideState,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl EpisodeRow {
    /// The episode as `alert::episode` knows it.
    pub fn episode(&self) -> Episode {
        Episode {
            number: self.number,
            state: self.state,
            earliest_starts_at: self.earliest_starts_at,
            latest_starts_at: self.latest_starts_at,
            last_seen_firing: self.last_seen_firing,
            ended_at: self.ended_at,
            suspect: self.suspect,
        }
    }

    /// Takes over what `alert::episode` said.
    pub fn set_episode(&mut self, episode: &Episode, now: Timestamp) {
        self.number = episode.number;
        self.state = episode.state;
        self.earliest_starts_at = episode.earliest_starts_at;
        self.latest_starts_at = episode.latest_starts_at;
        self.last_seen_firing = episode.last_seen_firing;
        self.ended_at = episode.ended_at;
        self.suspect = episode.suspect;
        self.updated_at = now;
    }
}

/// Which episodes a list shows; everything `None` shows all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EpisodeFilter {
    pub source: Option<String>,
    pub fingerprint: Option<String>,
    pub state: Option<EpisodeState>,
    pub alert_name: Option<String>,
}

/// Stores a new episode.
pub fn insert(db: &mut Db, row: &EpisodeRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; fingerprint, alert_name, severity, instance);
    each_backend!(db, c => diesel::insert_into(episodes::table).values(row).execute(c))?;
    Ok(())
}

/// One episode.
pub fn get(db: &mut Db, id: EpisodeId) -> Result<EpisodeRow, StoreError> {
    Ok(each_backend!(db, c => episodes::table.find(id).select(EpisodeRow::as_select()).first(c))?)
}

/// The last episode of a label set, open or closed.
pub fn latest(db: &mut Db, source: &str, fingerprint: &str) -> Result<Option<EpisodeRow>, StoreError> {
    Ok(each_backend!(db, c => episodes::table
        .filter(episodes::source.eq(source))
        .filter(episodes::fingerprint.eq(fingerprint))
        .order(episodes::number.desc())
        .select(EpisodeRow::as_select())
        .first(c)
        .optional())?)
}

/// The open episode of a label set.
pub fn open(db: &mut Db, source: &str, fingerprint: &str) -> Result<Option<EpisodeRow>, StoreError> {
    Ok(each_backend!(db, c => episodes::table
        .filter(episodes::source.eq(source))
        .filter(episodes::fingerprint.eq(fingerprint))
        .filter(episodes::state.eq(word(EpisodeState::Open.as_str())))
        .select(EpisodeRow::as_select())
        .first(c)
        .optional())?)
}

/// Episodes that the matching stage has not seen, oldest first.
pub fn undecided(db: &mut Db, limit: i64) -> Result<Vec<EpisodeRow>, StoreError> {
    Ok(each_backend!(db, c => episodes::table
        .filter(episodes::decide_state.eq(word(DecideState::Undecided.as_str())))
        .order(episodes::id)
        .limit(limit)
        .select(EpisodeRow::as_select())
        .load(c))?)
}

/// Takes an episode off the matching stage's list, and answers with it; `None` if it was off already.
pub fn mark_decided(db: &mut Db, id: EpisodeId, now: Timestamp) -> Result<Option<EpisodeRow>, StoreError> {
    Ok(each_backend!(db, c => prepared(diesel::update(episodes::table)
        .filter(episodes::id.eq(id))
        .filter(episodes::decide_state.eq(word(DecideState::Undecided.as_str())))
        .set((episodes::decide_state.eq(DecideState::Decided), episodes::updated_at.eq(now)))
        .returning(EpisodeRow::as_returning()))
        .get_result(c)
        .optional())?)
}

/// How many episodes of a label set began at or after `since`, by the bodies' time.
pub fn occurrences(db: &mut Db, source: &str, fingerprint: &str, since: Timestamp) -> Result<i64, StoreError> {
    Ok(each_backend!(db, c => episodes::table
        .filter(episodes::source.eq(source))
        .filter(episodes::fingerprint.eq(fingerprint))
        .filter(episodes::earliest_starts_at.ge(since))
        .count()
        .get_result(c))?)
}

/// Episodes, newest first.
pub fn list(
    db: &mut Db,
    filter: &EpisodeFilter,
    page: Page<EpisodeId>,
) -> Result<Paged<EpisodeRow, EpisodeId>, StoreError> {
    let rows = each_backend!(db, c: B => {
        let mut query = episodes::table.select(EpisodeRow::as_select()).into_boxed::<B>();
        if let Some(value) = &filter.source {
            query = query.filter(episodes::source.eq(value));
        }
        if let Some(value) = &filter.fingerprint {
            query = query.filter(episodes::fingerprint.eq(value));
        }
        if let Some(value) = filter.state {
            query = query.filter(episodes::state.eq(word(value.as_str())));
        }
        if let Some(value) = &filter.alert_name {
            query = query.filter(episodes::alert_name.eq(value));
        }
        if let Some(before) = page.before {
            query = query.filter(episodes::id.lt(before));
        }
        query.order(episodes::id.desc()).limit(page.fetch()).load(c)
    })?;
    Ok(page.cut(rows, |row| row.id))
}
