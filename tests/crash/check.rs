//! What has to hold after a round, whatever was killed when.

use std::collections::{BTreeMap, BTreeSet};

use douse::execution::{Origin, Phase, RollbackState, Status};
use douse::id::ExecutionId;
use douse::store::alerts::{self, AlertFilter};
use douse::store::attempts::{self, AttemptRow};
use douse::store::decisions::{self, DecisionFilter, DecisionRow};
use douse::store::episodes::{self, EpisodeFilter, EpisodeRow};
use douse::store::executions::{self, ExecutionFilter, ExecutionRow};
use douse::store::steps::{self, StepRow};
use douse::store::{AttemptEnding, AttemptHold, Db, Page, Paged, Store, StoreError};

use super::client::Made;
use super::world::KINDS;

/// Exit codes of what TERM or KILL ended, as a shell tells them.
const KILLED: [i32; 2] = [143, 137];

/// One line of the effect log.
#[derive(Clone, Debug)]
struct Effect {
    execution: String,
    attempt: String,
    step: String,
    server: String,
    is_start: bool,
    at: u128,
    /// Of an end.
    code: i32,
}

/// All that the database has.
struct Records {
    /// Fingerprints by the `uid` of the labels.
    uids: BTreeMap<String, String>,
    episodes: Vec<EpisodeRow>,
    decisions: Vec<DecisionRow>,
    executions: Vec<(ExecutionRow, Vec<StepRow>, Vec<AttemptRow>)>,
}

/// Checks everything; answers in words how much there was.
pub fn all(url: &str, made: &[Made], effects: &str) -> String {
    let effects: Vec<Effect> = effects.lines().map(effect).collect();
    let records = read(url);
    accepted_alerts_exist(made, &records);
    each_firing_is_one_episode(made, &records);
    decided_once(&records);
    executed_once(&records);
    started_once(&records, &effects);
    targets_are_not_shared(&effects);
    all_at_rest(&records);
    exit_codes_are_true(&records, &effects);
    undone_in_reverse(&records, &effects);
    let count = |status: Status| records.executions.iter().filter(|(row, ..)| row.status == status).count();
    let lost =
        records.executions.iter().flat_map(|(.., attempts)| attempts).filter(|row| row.exit_code.is_none()).count();
    format!(
        "{} alerts accepted, {} executions ({} completed, {} failed, {} cancelled), {} commands, {lost} attempts without an \
         exit code",
        made.iter().filter(|made| made.is_accepted).count(),
        records.executions.len(),
        count(Status::Completed),
        count(Status::Failed),
        count(Status::Cancelled),
        effects.iter().filter(|effect| effect.is_start).count(),
    )
}

fn accepted_alerts_exist(made: &[Made], records: &Records) {
    for made in made.iter().filter(|made| made.is_accepted) {
        assert!(records.uids.contains_key(&made.uid), "accepted and lost: {made:?}");
    }
    assert!(made.iter().any(|made| made.is_accepted), "nothing was accepted at all");
}

fn each_firing_is_one_episode(made: &[Made], records: &Records) {
    let mut numbers: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for episode in &records.episodes {
        numbers.entry(&episode.fingerprint).or_default().push(episode.number.into());
    }
    for (uid, fingerprint) in &records.uids {
        let firings = |is_meant: fn(&Made) -> bool| {
            made.iter().filter(|made| made.uid == *uid && !made.is_resolved && is_meant(made)).count()
        };
        let numbers = numbers.get_mut(fingerprint.as_str()).map(std::mem::take).unwrap_or_default();
        // One that was not accepted may have been stored all the same: its answer was lost.
        let possible = firings(|made| made.is_accepted)..=firings(|_| true);
        assert!(possible.contains(&numbers.len()), "{uid}: episodes {numbers:?}, firings {possible:?}");
    }
}

fn decided_once(records: &Records) {
    let mut decided: BTreeMap<_, Vec<&DecisionRow>> = BTreeMap::new();
    records.decisions.iter().for_each(|row| decided.entry(row.episode_id).or_default().push(row));
    let mut of_uid = BTreeSet::new();
    for episode in &records.episodes {
        let found = decided.get(&episode.id).map_or(0, Vec::len);
        assert_eq!(found, 1, "decisions of episode {} ({:?})", episode.id, decided.get(&episode.id));
        assert!(of_uid.insert((episode.fingerprint.clone(), episode.number)), "{episode:?}");
    }
}

fn executed_once(records: &Records) {
    let mut seen = BTreeSet::new();
    for (row, ..) in records.executions.iter().filter(|(row, ..)| row.origin == Origin::Alert) {
        let key = (row.episode_id, row.runbook.clone(), row.trigger_name.clone());
        assert!(seen.insert(key), "two executions of one episode and trigger: {row:?}");
    }
}

fn started_once(records: &Records, effects: &[Effect]) {
    let known: BTreeMap<String, &AttemptRow> =
        records.executions.iter().flat_map(|(.., attempts)| attempts).map(|row| (row.id.to_string(), row)).collect();
    let mut of_attempt = BTreeSet::new();
    let mut of_step: BTreeMap<(String, String), u32> = BTreeMap::new();
    for start in effects.iter().filter(|effect| effect.is_start) {
        assert!(known.contains_key(&start.attempt), "a command of an attempt that is not on record: {start:?}");
        assert!(of_attempt.insert(start.attempt.clone()), "an attempt started twice: {start:?}");
        *of_step.entry((start.execution.clone(), start.step.clone())).or_default() += 1;
    }
    let runbook_of: BTreeMap<String, &str> =
        records.executions.iter().map(|(row, ..)| (row.id.to_string(), row.runbook.as_str())).collect();
    for ((execution, step), count) in of_step {
        let steps = KINDS.iter().find(|(name, _)| runbook_of.get(&execution) == Some(name)).unwrap().1;
        let is_idempotent = steps.iter().any(|(name, .., idempotent)| *name == step && *idempotent);
        assert!(count == 1 || is_idempotent, "{step} of execution {execution} ran {count} times");
    }
}

fn targets_are_not_shared(effects: &[Effect]) {
    let mut spans: BTreeMap<(&str, &str), (u128, u128)> = BTreeMap::new();
    for effect in effects {
        let span = spans.entry((&effect.server, &effect.execution)).or_insert((effect.at, effect.at));
        *span = (span.0.min(effect.at), span.1.max(effect.at));
    }
    let mut ordered: Vec<_> = spans.into_iter().map(|((server, execution), span)| (server, span, execution)).collect();
    ordered.sort_unstable();
    for pair in ordered.windows(2) {
        let [(server, one, first), (other, two, second)] = pair else { continue };
        assert!(server != other || one.1 <= two.0, "{first} and {second} were on {server} at once: {one:?} {two:?}");
    }
}

fn all_at_rest(records: &Records) {
    for (row, ..) in &records.executions {
        assert!(row.status.is_final(), "{row:?}");
    }
}

fn exit_codes_are_true(records: &Records, effects: &[Effect]) {
    let ends: BTreeMap<&str, i32> =
        effects.iter().filter(|effect| !effect.is_start).map(|effect| (effect.attempt.as_str(), effect.code)).collect();
    for (execution, _, attempts) in &records.executions {
        for row in attempts {
            // Its host was there all the time: whoever killed the engine, the next one has found it.
            let is_lost = row.hold == AttemptHold::Held && row.ending == Some(AttemptEnding::Lost);
            assert!(!is_lost, "held, and not found again: {row:?}");
            let Some(code) = row.exit_code else { continue };
            let logged = ends.get(row.id.to_string().as_str());
            // A cancel kills it before it writes its end, or between that and its exit.
            let is_killed = KILLED.contains(&code) && execution.cancel_requested_at.is_some();
            assert!(logged == Some(&code) || is_killed, "its log ends with {logged:?}: {row:?} of {execution:?}");
        }
    }
}

fn undone_in_reverse(records: &Records, effects: &[Effect]) {
    for (row, steps, attempts) in &records.executions {
        let id = row.id.to_string();
        let mut started: Vec<&str> = Vec::new();
        let mut undone: Vec<&str> = Vec::new();
        for start in effects.iter().filter(|effect| effect.is_start && effect.execution == id) {
            match start.step.strip_prefix("undo-") {
                Some(step) => undone.push(step),
                None if started.contains(&start.step.as_str()) => {}
                None => started.push(&start.step),
            }
        }
        started.reverse();
        match row.rollback {
            RollbackState::Done => {
                let (undone, others): (Vec<&str>, Vec<&str>) =
                    undone.into_iter().partition(|step| started.contains(step));
                assert_eq!(undone, started, "{row:?} {steps:?}");
                // What was killed before its first word may have begun all the same.
                for step in others {
                    let is_it = |attempt: &AttemptRow| {
                        steps.iter().any(|row| row.id == attempt.step_run_id && row.step_id == step)
                    };
                    let is_killed = |attempt: &AttemptRow| attempt.exit_code.is_none_or(|code| KILLED.contains(&code));
                    assert!(
                        attempts.iter().any(|attempt| is_it(attempt) && is_killed(attempt)),
                        "{step}: {row:?} {steps:?}"
                    );
                }
            }
            // An undo of which nobody knows how far it came stops the rollback.
            RollbackState::Stuck | RollbackState::Running => {
                assert!(started.starts_with(&undone), "{undone:?} of {started:?}: {row:?}");
            }
            RollbackState::None => assert!(undone.is_empty(), "{undone:?}: {row:?}"),
        }
        if row.status == Status::Completed {
            assert!(steps.iter().all(|step| step.phase == Phase::Main), "{row:?}");
        }
    }
}

fn effect(line: &str) -> Effect {
    let words: Vec<&str> = line.split(' ').collect();
    let [execution, attempt, step, server, what, at, last] = words[..] else { panic!("the effect log has `{line}`") };
    Effect {
        execution: execution.to_owned(),
        attempt: attempt.to_owned(),
        step: step.to_owned(),
        server: server.to_owned(),
        is_start: what == "start",
        at: at.parse().unwrap(),
        code: last.parse().unwrap(),
    }
}

fn read(url: &str) -> Records {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(url).await.unwrap();
        let read = store.read(|db| {
            let alerts = pages(|page| alerts::list(db, &AlertFilter::default(), page))?;
            let mut uids = BTreeMap::new();
            for row in &alerts {
                let uid = row.labels_json.0.get("uid").cloned().unwrap_or_default();
                let before = uids.insert(uid, row.fingerprint.clone());
                assert!(before.is_none_or(|before| before == row.fingerprint), "{row:?}");
            }
            let episodes = pages(|page| episodes::list(db, &EpisodeFilter::default(), page))?;
            let decisions = pages(|page| decisions::list(db, &DecisionFilter::default(), page))?;
            let found = pages(|page| executions::list(db, &ExecutionFilter::default(), page))?;
            let whole = |db: &mut Db, row: ExecutionRow| {
                let id: ExecutionId = row.id;
                Ok::<_, StoreError>((row, steps::of_execution(db, id)?, attempts::of_execution(db, id)?))
            };
            let executions = found.into_iter().map(|(row, _)| whole(db, row)).collect::<Result<_, _>>()?;
            Ok(Records { uids, episodes, decisions, executions })
        });
        read.await.unwrap()
    })
}

fn pages<Row, Id: Copy>(
    mut list: impl FnMut(Page<Id>) -> Result<Paged<Row, Id>, StoreError>,
) -> Result<Vec<Row>, StoreError> {
    let (mut rows, mut page) = (Vec::new(), Page { limit: 200, before: None });
    loop {
        let found = list(page)?;
        rows.extend(found.rows);
        match found.next {
            Some(next) => page = Page { limit: 200, before: Some(next) },
            None => return Ok(rows),
        }
    }
}
