//! The rows of deliveries of one source: read what is known, apply each alert, write all of it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::queue::Parcel;
use super::{AlertResult, Incoming, Receipt, Taken};
use crate::alert::Alert;
use crate::alert::episode::{Outcome, Sighting, observe};
use crate::alert::wire::{Delivery, Entry};
use crate::clock::Timestamp;
use crate::id::{AlertId, DeliveryId, EpisodeId};
use crate::store::alerts::{AlertRow, identity_hash};
use crate::store::deliveries::{DeliveryRow, QuarantinedRow};
use crate::store::episodes::EpisodeRow;
use crate::store::{
    Db, DecideState, EpisodeRelation, Json, StoreError, decisions, deliveries, ingest, lock_decisions, lock_ingest,
    sources,
};

/// Deliveries of one source on their way into the database.
pub(super) struct Intake<'db> {
    db: &'db mut Db,
    source: String,
    /// By fingerprint: as stored, then as the deliveries have changed them.
    latest: HashMap<String, EpisodeRow>,
    /// By identity: what was told before, then what the deliveries told.
    known: HashMap<String, (AlertId, EpisodeId)>,
    /// Episodes to be written, by id, which is by age.
    begun: BTreeMap<EpisodeId, EpisodeRow>,
    changed: BTreeMap<EpisodeId, EpisodeRow>,
    deliveries: Vec<DeliveryRow>,
    alerts: Vec<AlertRow>,
    quarantined: Vec<QuarantinedRow>,
    /// Episodes that fire after all.
    reopened: Vec<EpisodeId>,
}

/// The delivery that is being applied.
struct Current {
    now: Timestamp,
    group: Value,
    receipt: Receipt,
}

impl<'db> Intake<'db> {
    /// `parcels` are of one source.
    pub(super) fn new(db: &'db mut Db, parcels: &[Parcel]) -> Result<Self, StoreError> {
        let source = parcels.first().map(|parcel| parcel.incoming.source.clone()).unwrap_or_default();
        lock_ingest(db, &source)?;
        let (mut fingerprints, mut hashes) = (Vec::new(), Vec::new());
        for entry in parcels.iter().flat_map(|parcel| &parcel.delivery.entries) {
            if let Entry::Alert { alert, .. } = entry {
                fingerprints.push(alert.fingerprint.as_str());
                hashes.push(identity_hash(alert));
            }
        }
        fingerprints.sort_unstable();
        fingerprints.dedup();
        let latest = ingest::latest(db, &source, &fingerprints)?;
        let known = ingest::known(db, &source, &hashes.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(Self {
            db,
            source,
            latest,
            known,
            begun: BTreeMap::new(),
            changed: BTreeMap::new(),
            deliveries: Vec::new(),
            alerts: Vec::new(),
            quarantined: Vec::new(),
            reopened: Vec::new(),
        })
    }

    /// Applies them in their order, and writes; a receipt for each.
    pub(super) fn store(mut self, parcels: Vec<Parcel>) -> Result<Vec<Receipt>, StoreError> {
        let Some(now) = parcels.iter().map(|parcel| parcel.now).max() else { return Ok(Vec::new()) };
        let receipts: Vec<Receipt> = parcels.into_iter().map(|parcel| self.apply(parcel)).collect();
        let Self { db, source, reopened, deliveries: rows, .. } = self;
        let ended: Vec<EpisodeId> = receipts.iter().flat_map(|receipt| &receipt.ended).copied().collect();
        if !ended.is_empty() || !reopened.is_empty() {
            // Before the first write: what waits for these episodes is released, or revived, below.
            lock_decisions(db)?;
        }
        sources::seen(db, &source, rows.len(), now)?;
        ingest::insert_deliveries(db, &rows)?;
        deliveries::quarantine(db, &self.quarantined)?;
        // Those that end come first, or two episodes of one alert would be open at once.
        ingest::update_episodes(db, &self.changed.into_values().collect::<Vec<_>>())?;
        ingest::insert_episodes(db, &self.begun.into_values().collect::<Vec<_>>())?;
        ingest::insert_alerts(db, &self.alerts)?;
        decisions::release_episodes(db, &ended, now)?;
        decisions::revive_episodes(db, &reopened, now)?;
        Ok(receipts)
    }

    fn apply(&mut self, parcel: Parcel) -> Receipt {
        let Parcel { incoming, mut delivery, body_sha256, now } = parcel;
        let entries = std::mem::take(&mut delivery.entries);
        let group = delivery.group();
        let receipt = Receipt {
            delivery: DeliveryId::new(),
            results: Vec::with_capacity(entries.len()),
            opened: Vec::new(),
            ended: Vec::new(),
            truncated_alerts: delivery.truncated_alerts,
            suspect: Vec::new(),
            group_labels: std::mem::take(&mut delivery.group_labels),
            receiver: delivery.receiver.clone(),
        };
        let mut current = Current { now, group, receipt };
        for (position, entry) in entries.into_iter().enumerate() {
            match entry {
                Entry::Alert { alert, seen_at, raw } => self.alert(&mut current, position, (*alert, seen_at), raw),
                Entry::Quarantined { reason, raw, fingerprint, .. } => {
                    self.quarantine(&mut current, position, reason, raw, fingerprint);
                }
            }
        }
        self.deliveries.push(delivery_row(incoming, delivery, body_sha256, now, &current.receipt));
        current.receipt
    }

    fn quarantine(
        &mut self,
        current: &mut Current,
        position: usize,
        reason: String,
        raw: Value,
        fingerprint: Option<String>,
    ) {
        let row = QuarantinedRow {
            id: AlertId::new(),
            delivery_id: current.receipt.delivery,
            position: i32::try_from(position).unwrap_or(i32::MAX),
            reason: reason.clone(),
            raw_json: Json(raw),
            created_at: current.now,
        };
        let taken = Taken::Quarantined;
        current.receipt.results.push(AlertResult {
            fingerprint,
            taken,
            alert: row.id,
            episode: None,
            reason: Some(reason),
        });
        self.quarantined.push(row);
    }

    fn alert(
        &mut self,
        current: &mut Current,
        position: usize,
        (alert, seen_at): (Alert, Option<Timestamp>),
        raw: Value,
    ) {
        let identity_hash = identity_hash(&alert);
        let latest = self.latest.get(&alert.fingerprint);
        let sighting = Sighting { status: alert.status, starts_at: alert.starts_at, ends_at: alert.ends_at, seen_at };
        let outcome = observe(latest.map(EpisodeRow::episode).as_ref(), sighting, current.now);
        if let Some((id, episode)) = self.known.get(&identity_hash).copied() {
            self.repeated(current, &alert, episode, &outcome);
            let fingerprint = Some(alert.fingerprint);
            let (taken, episode) = (Taken::Duplicate, Some(episode));
            current.receipt.results.push(AlertResult { fingerprint, taken, alert: id, episode, reason: None });
            return;
        }
        let id = AlertId::new();
        let episode = self.episode(current, &alert, id, &outcome);
        self.known.insert(identity_hash.clone(), (id, episode));
        let fingerprint = Some(alert.fingerprint.clone());
        let (taken, reason) = (Taken::Stored, None);
        current.receipt.results.push(AlertResult { fingerprint, taken, alert: id, episode: Some(episode), reason });
        self.alerts.push(AlertRow {
            id,
            delivery_id: current.receipt.delivery,
            position: i32::try_from(position).unwrap_or(i32::MAX),
            source: self.source.clone(),
            received_at: current.now,
            alert_name: alert.name().to_owned(),
            severity: alert.severity().to_owned(),
            instance: alert.instance().to_owned(),
            job: alert.job().to_owned(),
            status: alert.status,
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
            generator_url: alert.generator_url,
            annotations_cut: alert.annotations_cut,
            fingerprint: alert.fingerprint,
            labels_json: Json(alert.labels),
            annotations_json: Json(alert.annotations),
            raw_alert_json: Json(raw),
            group_json: Json(current.group.clone()),
            identity_hash,
            episode_id: episode,
            episode_relation: relation(&outcome),
            matched_trigger: None,
            action_taken: None,
        });
    }

    /// A repetition of what its episode has told already changes nothing, with two exceptions: long after the episode's
    /// end it makes that end suspect, and from the API it proves that the alert still fires.
    fn repeated(&mut self, current: &mut Current, alert: &Alert, told_in: EpisodeId, outcome: &Outcome) {
        let (Outcome::Same(episode) | Outcome::Late(episode) | Outcome::Reopened(episode)) = outcome else { return };
        let Some(row) = self.latest.get_mut(&alert.fingerprint).filter(|row| row.id == told_in) else { return };
        if row.episode() == *episode {
            return;
        }
        if episode.suspect && !row.suspect {
            current.receipt.suspect.push(alert.clone());
        }
        row.set_episode(episode, current.now);
        let row = row.clone();
        if matches!(outcome, Outcome::Reopened(_)) {
            self.reopened.push(row.id);
        }
        self.write_back(row);
    }

    /// Takes over what the alert means; answers to which episode it belongs.
    fn episode(&mut self, current: &mut Current, alert: &Alert, id: AlertId, outcome: &Outcome) -> EpisodeId {
        if let Outcome::Superseding { old, .. } = outcome
            && let Some(mut row) = self.latest.remove(&alert.fingerprint)
        {
            row.set_episode(old, current.now);
            current.receipt.ended.push(row.id);
            self.write_back(row);
        }
        let is_firing = !matches!(outcome, Outcome::Resolved(_) | Outcome::AlreadyEnded(_) | Outcome::BeforeStart(_));
        let begins = outcome.is_new_firing() || matches!(outcome, Outcome::UnknownResolved(_));
        let known = if begins { None } else { self.latest.remove(&alert.fingerprint) };
        let mut row = known.unwrap_or_else(|| self.new_episode(current, alert, outcome));
        if let Outcome::Late(episode) = outcome
            && episode.suspect
            && !row.suspect
        {
            current.receipt.suspect.push(alert.clone());
        }
        let before = row.episode();
        row.set_episode(outcome.episode(), if before == *outcome.episode() { row.updated_at } else { current.now });
        if matches!(outcome, Outcome::Reopened(_)) {
            self.reopened.push(row.id);
        }
        if is_firing && row.alert_id.is_none() && !matches!(outcome, Outcome::UnknownResolved(_)) {
            row.alert_id = Some(id);
        }
        let episode = row.id;
        if outcome.is_new_firing() {
            current.receipt.opened.push(episode);
        } else if matches!(outcome, Outcome::Resolved(_)) {
            current.receipt.ended.push(episode);
        }
        self.latest.insert(alert.fingerprint.clone(), row.clone());
        self.write_back(row);
        episode
    }

    fn new_episode(&mut self, current: &Current, alert: &Alert, outcome: &Outcome) -> EpisodeRow {
        let episode = outcome.episode();
        let row = EpisodeRow {
            id: EpisodeId::new(),
            source: self.source.clone(),
            fingerprint: alert.fingerprint.clone(),
            number: episode.number,
            state: episode.state,
            earliest_starts_at: episode.earliest_starts_at,
            latest_starts_at: episode.latest_starts_at,
            last_seen_firing: episode.last_seen_firing,
            ended_at: episode.ended_at,
            suspect: episode.suspect,
            alert_id: None,
            alert_name: alert.name().to_owned(),
            severity: alert.severity().to_owned(),
            instance: alert.instance().to_owned(),
            decide_state: if outcome.is_new_firing() { DecideState::Undecided } else { DecideState::Decided },
            created_at: current.now,
            updated_at: current.now,
        };
        self.begun.insert(row.id, row.clone());
        row
    }

    fn write_back(&mut self, row: EpisodeRow) {
        match self.begun.get_mut(&row.id) {
            Some(begun) => *begun = row,
            None => {
                self.changed.insert(row.id, row);
            }
        }
    }
}

fn delivery_row(
    incoming: Incoming,
    delivery: Delivery,
    body_sha256: String,
    now: Timestamp,
    receipt: &Receipt,
) -> DeliveryRow {
    let quarantined = receipt.results.iter().filter(|result| result.taken == Taken::Quarantined).count();
    DeliveryRow {
        id: receipt.delivery,
        source: incoming.source,
        received_at: now,
        remote_addr: incoming.remote_addr,
        content_type: incoming.content_type,
        body_sha256,
        body: incoming.body,
        format: delivery.format,
        receiver: delivery.receiver,
        group_key: delivery.group_key,
        external_url: delivery.external_url,
        truncated_alerts: i32::try_from(receipt.truncated_alerts).unwrap_or(i32::MAX),
        alert_count: i32::try_from(receipt.results.len()).unwrap_or(i32::MAX),
        quarantined_count: i32::try_from(quarantined).unwrap_or(i32::MAX),
    }
}

fn relation(outcome: &Outcome) -> EpisodeRelation {
    match outcome {
        Outcome::New(_) | Outcome::Superseding { .. } => EpisodeRelation::New,
        Outcome::Same(_) | Outcome::AlreadyEnded(_) => EpisodeRelation::Same,
        Outcome::Late(_) => EpisodeRelation::Late,
        Outcome::Reopened(_) => EpisodeRelation::Reopened,
        Outcome::Resolved(_) | Outcome::UnknownResolved(_) => EpisodeRelation::Resolved,
        Outcome::BeforeStart(_) => EpisodeRelation::Stale,
    }
}
