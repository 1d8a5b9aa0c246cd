//! Tests of `episode`.

use std::time::Duration;

use chrono::DateTime;
use proptest::prelude::*;

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::new(DateTime::from_timestamp(1_700_000_000 + secs, 0).unwrap())
}

fn firing(start: i64) -> Sighting {
    Sighting { status: AlertStatus::Firing, starts_at: at(start), ends_at: None, seen_at: None }
}

fn resolved(start: i64, end: i64) -> Sighting {
    Sighting { status: AlertStatus::Resolved, starts_at: at(start), ends_at: Some(at(end)), seen_at: None }
}

/// Applies sightings that arrive at once, one after the other.
fn apply(latest: &mut Option<Episode>, sightings: &[Sighting]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for sighting in sightings {
        let outcome = observe(latest.as_ref(), *sighting, at(0));
        *latest = Some(outcome.episode().clone());
        outcomes.push(outcome);
    }
    outcomes
}

fn words(sightings: &[Sighting]) -> Vec<&'static str> {
    let outcomes = apply(&mut None, sightings);
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::New(_) => "new",
            Outcome::Same(_) => "same",
            Outcome::Late(_) => "late",
            Outcome::Reopened(_) => "reopened",
            Outcome::Superseding { .. } => "superseding",
            Outcome::Resolved(_) => "resolved",
            Outcome::AlreadyEnded(_) => "already",
            Outcome::BeforeStart(_) => "before",
            Outcome::UnknownResolved(_) => "unknown",
        })
        .collect()
}

#[test]
fn each_sighting_means_what_the_rules_say() {
    for (sightings, expected) in [
        (&[firing(10), firing(10)][..], &["new", "same"][..]),
        (&[firing(10), firing(5)], &["new", "same"]),
        (&[firing(10), firing(20)], &["new", "superseding"]),
        (&[firing(10), resolved(10, 15), firing(10)], &["new", "resolved", "late"]),
        (&[firing(10), resolved(10, 15), firing(15)], &["new", "resolved", "late"]),
        (&[firing(10), resolved(10, 15), firing(16)], &["new", "resolved", "new"]),
        (&[firing(10), resolved(10, 15), resolved(10, 15)], &["new", "resolved", "already"]),
        (&[firing(10), resolved(5, 9)], &["new", "before"]),
        (&[firing(10), resolved(10, 10)], &["new", "resolved"]),
        (&[resolved(10, 5), firing(10), firing(11)], &["unknown", "late", "new"]),
        (&[resolved(10, 15), firing(10)], &["unknown", "late"]),
        (&[resolved(10, 15), firing(16)], &["unknown", "new"]),
        (&[firing(10), resolved(10, 15), resolved(20, 25), firing(20)], &["new", "resolved", "unknown", "late"]),
        (&[firing(10), resolved(10, 15), resolved(10, 30), firing(20)], &["new", "resolved", "already", "late"]),
        // The incident before comes again while the next one burns: neither its firing nor its end is news.
        (
            &[firing(10), resolved(10, 15), firing(20), firing(10), resolved(10, 15)],
            &["new", "resolved", "new", "same", "before"],
        ),
        // Peers of a cluster that disagree about the start: stable once both were heard.
        (
            &[firing(10), firing(20), firing(10), firing(20), firing(10)],
            &["new", "superseding", "same", "same", "same"],
        ),
    ] {
        assert_eq!(words(sightings), expected, "{sightings:?}");
    }
}

#[test]
fn an_episode_keeps_what_it_has_seen() {
    let mut latest = None;
    apply(&mut latest, &[firing(10), firing(5), resolved(10, 30)]);
    let episode = latest.unwrap();
    assert_eq!((episode.number, episode.state), (1, EpisodeState::Resolved));
    assert_eq!((episode.earliest_starts_at, episode.latest_starts_at), (at(5), at(10)));
    assert_eq!((episode.last_seen_firing, episode.ended_at), (at(10), Some(at(30))));
}

#[test]
fn a_successor_closes_its_predecessor_at_its_own_start() {
    let mut latest = None;
    let outcomes = apply(&mut latest, &[firing(10), firing(20)]);
    let Outcome::Superseding { old, new } = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!((old.number, old.state, old.ended_at), (1, EpisodeState::Superseded, Some(at(20))));
    assert_eq!((new.number, new.state, new.ended_at), (2, EpisodeState::Open, None));
}

#[test]
fn a_firing_long_after_the_end_is_suspect_and_one_soon_after_is_not() {
    let mut latest = None;
    apply(&mut latest, &[firing(10), resolved(10, 20)]);
    for (after, suspect) in [(0, false), (300, false), (301, true), (86_400, true)] {
        let outcome = observe(latest.as_ref(), firing(10), at(20 + after));
        assert!(matches!(&outcome, Outcome::Late(episode) if episode.suspect == suspect), "{after}: {outcome:?}");
    }
}

#[test]
fn a_suspicion_stays_and_the_api_takes_a_false_end_back() {
    let mut latest = None;
    apply(&mut latest, &[firing(10), resolved(10, 20)]);
    let late = observe(latest.as_ref(), firing(10), at(20).plus(Duration::from_secs(301))).episode().clone();
    assert!(observe(Some(&late), firing(10), at(21)).episode().suspect);
    let listed = |start, seen| Sighting { seen_at: Some(at(seen)), ..firing(start) };
    assert!(matches!(observe(Some(&late), listed(10, 20), at(500)), Outcome::Late(_)), "told before the end");
    let Outcome::Reopened(open) = observe(Some(&late), listed(10, 400), at(500)) else { panic!("{late:?}") };
    assert_eq!((open.state, open.ended_at, open.suspect), (EpisodeState::Open, None, false));
    // A start that the API has seen burning is the same incident.
    assert!(matches!(observe(Some(&open), firing(390), at(500)), Outcome::Same(_)));
    assert!(matches!(observe(Some(&open), firing(401), at(500)), Outcome::Superseding { .. }));
}

#[test]
fn a_resolution_without_an_end_ends_the_episode_all_the_same() {
    let sighting = Sighting { status: AlertStatus::Resolved, starts_at: at(10), ends_at: None, seen_at: None };
    let outcome = observe(Some(&Episode::firing(1, firing(10))), sighting, at(0));
    assert!(matches!(&outcome, Outcome::Resolved(episode) if episode.ended_at == Some(at(10))), "{outcome:?}");
}

fn any_sighting() -> impl Strategy<Value = Sighting> {
    (0..12_i64, prop::option::of(0..14_i64)).prop_map(|(start, end)| match end {
        None => firing(start),
        Some(end) => resolved(start, end),
    })
}

/// What a repetition must leave alone. The earliest start may be moved back by the incident before.
fn lasting(episode: &Episode) -> (i32, EpisodeState, Timestamp, Timestamp, Option<Timestamp>) {
    (episode.number, episode.state, episode.latest_starts_at, episode.last_seen_firing, episode.ended_at)
}

proptest! {
    /// Whatever came, in whatever order: to hear any of it again, in whatever order, is no news.
    #[test]
    fn what_was_seen_once_changes_nothing_when_it_is_seen_again(
        seen in prop::collection::vec(any_sighting(), 1..12),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let mut latest = None;
        apply(&mut latest, &seen);
        let before = lasting(latest.as_ref().unwrap());
        for pick in picks {
            let outcome = observe(latest.as_ref(), *pick.get(&seen), at(0));
            prop_assert!(!outcome.is_new_firing(), "{outcome:?}");
            prop_assert!(!matches!(outcome, Outcome::Resolved(_) | Outcome::UnknownResolved(_)), "{outcome:?}");
            latest = Some(outcome.episode().clone());
            prop_assert_eq!(lasting(latest.as_ref().unwrap()), before);
        }
    }

    /// Incidents that come in order are counted right, however often what came before is repeated between them, and
    /// whether or not their ends are told.
    #[test]
    fn each_incident_is_one_episode(
        incidents in prop::collection::vec((1..50_i64, 0..50_i64, any::<bool>()), 1..6),
        repeats in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..5), 12),
    ) {
        let (mut clock, mut seen, mut latest, mut begun) = (0, Vec::new(), None, 0);
        let mut repeats = repeats.into_iter();
        for (number, (gap, length, end_is_told)) in incidents.iter().enumerate() {
            let start = clock + gap;
            clock = start + length;
            let told = [Some(firing(start)), end_is_told.then(|| resolved(start, clock))];
            for sighting in told.into_iter().flatten() {
                seen.push(sighting);
                let again = repeats.next().unwrap_or_default().into_iter().map(|pick| *pick.get(&seen));
                let arriving: Vec<Sighting> = std::iter::once(sighting).chain(again).collect();
                begun += apply(&mut latest, &arriving).iter().filter(|outcome| outcome.is_new_firing()).count();
            }
            prop_assert_eq!(begun, number + 1);
        }
        let episode = latest.unwrap();
        prop_assert_eq!(usize::try_from(episode.number).unwrap(), incidents.len());
        prop_assert_eq!(episode.state == EpisodeState::Open, !incidents.last().unwrap().2);
    }

    /// An end that overtakes its beginning: nothing is begun, whatever else of the incident comes.
    #[test]
    fn an_incident_whose_end_is_known_is_never_begun(start in 0..50_i64, length in 0..50_i64, again in 0..4_usize) {
        let mut told = vec![resolved(start, start + length)];
        told.extend(std::iter::repeat_n(firing(start), again + 1));
        prop_assert!(apply(&mut None, &told).iter().all(|outcome| !outcome.is_new_firing()));
    }

    /// `ended_at` and the state agree, starts are in order, numbers never go back.
    #[test]
    fn invariants_hold(seen in prop::collection::vec(any_sighting(), 1..30)) {
        let (mut latest, mut number) = (None, 0);
        for sighting in seen {
            let outcomes = apply(&mut latest, &[sighting]);
            let mut episodes = vec![outcomes[0].episode()];
            if let Outcome::Superseding { old, .. } = &outcomes[0] {
                prop_assert_eq!(old.state, EpisodeState::Superseded);
                episodes.push(old);
            }
            for episode in episodes {
                prop_assert_eq!(episode.ended_at.is_none(), episode.state == EpisodeState::Open);
                prop_assert!(episode.earliest_starts_at <= episode.latest_starts_at);
                prop_assert!(episode.latest_starts_at <= episode.last_seen_firing);
                prop_assert!(episode.ended_at.is_none_or(|end| end >= episode.latest_starts_at));
            }
            let next = outcomes[0].episode().number;
            prop_assert!(next == number || next == number + 1);
            number = next;
        }
    }
}
