//! Episodes: which incident of an alert a body speaks of, and whether that is news.
//!
//! A fingerprint names a label set for ever, and `startsAt` may lie in the future, move earlier, or flap between the
//! peers of a cluster, so neither alone nor together do they identify an incident. [`observe`] compares times of bodies
//! with times of bodies only; our own clock (`received_at`) is asked for nothing but [`Outcome::Late`]'s suspicion.
//! Bodies that were all seen once change nothing when they are seen again, in whatever order.
//!
//! Decides nothing about runbooks: `engine/receive` stores what this says, and flags new episodes for matching.

use crate::clock::Timestamp;
use crate::limits::SUSPECT_AFTER;
use crate::words::words;

use super::AlertStatus;

words! {
    /// Where an episode stands.
    EpisodeState {
        /// It burns, as far as we know.
        Open = "open",
        /// A body said that it ended.
        Resolved = "resolved",
        /// A later incident of the same alert began without a word about this one's end.
        Superseded = "superseded",
    }
}

/// One incident of one alert of one source.
///
/// Invariant: `earliest_starts_at <= latest_starts_at <= ended_at`; `ended_at` is set exactly when the state is not open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Episode {
    /// Counts the episodes of the fingerprint, from 1.
    pub number: i32,
    pub state: EpisodeState,
    pub earliest_starts_at: Timestamp,
    pub latest_starts_at: Timestamp,
    /// The latest moment at which it is known to have fired, in the sender's time: the latest `startsAt` that a body
    /// proved, or the Alertmanager API's `updatedAt`.
    pub last_seen_firing: Timestamp,
    /// The body's `endsAt`; for a superseded one the start of its successor.
    pub ended_at: Option<Timestamp>,
    /// A firing came long after the end: perhaps the resolution was false (a Prometheus died).
    pub suspect: bool,
}

/// What one body said about one alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    pub status: AlertStatus,
    pub starts_at: Timestamp,
    /// Of a resolved alert; `None` when its sender did not say.
    pub ends_at: Option<Timestamp>,
    /// When the Alertmanager was last told that it fires; only its API says.
    pub seen_at: Option<Timestamp>,
}

/// What a sighting means. Every variant carries the episode as it is to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The first firing of an incident: to be matched.
    New(Episode),
    /// A firing of the open episode.
    Same(Episode),
    /// A firing of an episode that has ended: late or repeated. Nothing runs again.
    Late(Episode),
    /// The Alertmanager's API lists an episode as active after its end: that end was false, the episode goes on.
    Reopened(Episode),
    /// The first firing of an incident whose predecessor was still open: to be matched.
    Superseding { old: Episode, new: Episode },
    /// The open episode has ended.
    Resolved(Episode),
    /// A resolution of an episode that has ended already.
    AlreadyEnded(Episode),
    /// A resolution of an incident before the open episode, which burns on.
    BeforeStart(Episode),
    /// A resolution of an incident that we never saw firing: stored closed, so that a firing that comes after it is
    /// known to be late. Triggers nothing.
    UnknownResolved(Episode),
}

impl Outcome {
    /// The episode that the alert belongs to.
    pub fn episode(&self) -> &Episode {
        match self {
            Self::New(episode)
            | Self::Same(episode)
            | Self::Late(episode)
            | Self::Reopened(episode)
            | Self::Superseding { new: episode, .. }
            | Self::Resolved(episode)
            | Self::AlreadyEnded(episode)
            | Self::BeforeStart(episode)
            | Self::UnknownResolved(episode) => episode,
        }
    }

    /// Whether the episode is to be matched against the triggers.
    pub fn is_new_firing(&self) -> bool {
        matches!(self, Self::New(_) | Self::Superseding { .. })
    }
}

/// What `sighting`, received at `received_at`, says about the fingerprint whose latest episode is `latest`.
pub fn observe(latest: Option<&Episode>, sighting: Sighting, received_at: Timestamp) -> Outcome {
    match sighting.status {
        AlertStatus::Firing => firing(latest, sighting, received_at),
        AlertStatus::Resolved => resolved(latest, sighting),
    }
}

fn firing(latest: Option<&Episode>, sighting: Sighting, received_at: Timestamp) -> Outcome {
    let Sighting { starts_at, seen_at, .. } = sighting;
    let Some(latest) = latest else { return Outcome::New(Episode::firing(1, sighting)) };
    let next = || Episode::firing(latest.number.saturating_add(1), sighting);
    let Some(ended_at) = latest.ended_at else {
        if starts_at <= latest.last_seen_firing.max(latest.latest_starts_at) {
            return Outcome::Same(latest.with_start(starts_at).with_last_seen(seen_at));
        }
        let old = Episode { state: EpisodeState::Superseded, ended_at: Some(starts_at), ..latest.clone() };
        return Outcome::Superseding { old, new: next() };
    };
    if starts_at > ended_at {
        return Outcome::New(next());
    }
    if seen_at.is_some_and(|seen| seen > ended_at) {
        let open = Episode { state: EpisodeState::Open, ended_at: None, suspect: false, ..latest.clone() };
        return Outcome::Reopened(open.with_start(starts_at).with_last_seen(seen_at));
    }
    let suspect = latest.suspect || received_at > ended_at.plus(SUSPECT_AFTER);
    Outcome::Late(Episode { suspect, ..latest.with_start(starts_at) })
}

fn resolved(latest: Option<&Episode>, sighting: Sighting) -> Outcome {
    let Sighting { starts_at, ends_at, .. } = sighting;
    // A body that ends an alert before its start contradicts itself; its start at least has been reached.
    let ends_at = ends_at.map(|end| end.max(starts_at));
    let Some(latest) = latest else { return Outcome::UnknownResolved(Episode::closed(1, sighting, ends_at)) };
    let Some(ended_at) = latest.ended_at else {
        // The latest start, not the earliest: a repeated firing of the incident before this one has moved the earliest
        // back, and the end of that incident must not close this one.
        if ends_at.is_some_and(|end| end < latest.latest_starts_at) {
            return Outcome::BeforeStart(latest.clone());
        }
        let seen = latest.with_start(starts_at);
        let ended_at = Some(ends_at.unwrap_or(seen.latest_starts_at));
        return Outcome::Resolved(Episode { state: EpisodeState::Resolved, ended_at, ..seen });
    };
    if starts_at <= ended_at {
        // The later of two ends: a firing between them, still on its way, is then known to be late.
        let ended_at = Some(ended_at.max(ends_at.unwrap_or(ended_at)));
        return Outcome::AlreadyEnded(Episode { ended_at, ..latest.with_start(starts_at) });
    }
    Outcome::UnknownResolved(Episode::closed(latest.number.saturating_add(1), sighting, ends_at))
}

impl Episode {
    fn firing(number: i32, Sighting { starts_at, seen_at, .. }: Sighting) -> Self {
        let episode = Self {
            number,
            state: EpisodeState::Open,
            earliest_starts_at: starts_at,
            latest_starts_at: starts_at,
            last_seen_firing: starts_at,
            ended_at: None,
            suspect: false,
        };
        episode.with_last_seen(seen_at)
    }

    fn closed(number: i32, sighting: Sighting, ends_at: Option<Timestamp>) -> Self {
        let ended_at = Some(ends_at.unwrap_or(sighting.starts_at));
        Self { state: EpisodeState::Resolved, ended_at, ..Self::firing(number, sighting) }
    }

    fn with_start(&self, starts_at: Timestamp) -> Self {
        Self {
            earliest_starts_at: self.earliest_starts_at.min(starts_at),
            latest_starts_at: self.latest_starts_at.max(starts_at),
            last_seen_firing: self.last_seen_firing.max(starts_at),
            ..self.clone()
        }
    }

    fn with_last_seen(self, seen_at: Option<Timestamp>) -> Self {
        let last_seen_firing = seen_at.map_or(self.last_seen_firing, |seen| self.last_seen_firing.max(seen));
        Self { last_seen_firing, ..self }
    }
}

#[cfg(test)]
#[path = "episode_tests.rs"]
mod tests;
