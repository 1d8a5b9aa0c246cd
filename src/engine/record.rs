//! The one writer of executions: an event, the rows that show it, its locks and its audit events, in one transaction.
//!
//! It decides nothing: [`crate::execution::machine`] says whether an event may follow, and everyone who changes an
//! execution (`gating`, `dispatch`, `execute`, `recover`, the operator's acts) does it through here.

mod rows;
mod trail;

use std::sync::Arc;

use crate::audit::NewEvent;
use crate::clock::Timestamp;
use crate::engine::acts::Person;
use crate::engine::execute::output::Printed;
use crate::engine::gating;
use crate::engine::{Engine, Policy};
use crate::execution::{Event, IllegalTransition, State, apply, begin, replay};
use crate::failpoint;
use crate::id::ExecutionId;
use crate::runbook::plan::Plan;
use crate::store::details::{self, DetailsRow};
use crate::store::events::{self, EventRow};
use crate::store::executions::{self, ExecutionRow};
use crate::store::leases::{self, Hold};
use crate::store::target_locks::{self, Claim};
use crate::store::{Db, Json, LockReason, StoreError, audit, lock_decisions};

/// An execution as the database has it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub row: ExecutionRow,
    pub details: DetailsRow,
    pub plan: Plan,
    /// The replay of its events.
    pub state: State,
    /// Number of the last of them.
    pub seq: i32,
}

/// Who makes something happen, when, and under which policy.
#[derive(Clone, Debug)]
pub struct Author {
    /// A token's name, `engine`, `auto`.
    pub name: String,
    pub ip_address: Option<String>,
    pub policy: Arc<Policy>,
    pub now: Timestamp,
}

impl Author {
    /// The engine itself.
    pub fn engine(engine: &Engine) -> Self {
        Self { name: "engine".to_owned(), ip_address: None, policy: engine.policy(), now: engine.clock.now() }
    }

    /// A person.
    pub fn person(engine: &Engine, person: &Person) -> Self {
        Self { name: person.name.clone(), ip_address: person.ip_address.clone(), ..Self::engine(engine) }
    }
}

/// What stands behind an event and is not part of it.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// Nothing.
    None,
    /// Of [`Event::AttemptStarted`]: what was sent, as a hash.
    Inputs { hash: String },
    /// Of [`Event::AttemptFinished`]: what was printed, masked.
    Output { stdout: Printed, stderr: Printed },
    /// Of [`Event::Finished`]: the runbook's outputs, and the same for people.
    Results { outputs: serde_json::Value, summary: String },
}

/// Reads an execution and replays it.
pub fn load(db: &mut Db, id: ExecutionId) -> Result<Loaded, StoreError> {
    let (row, details) = executions::get_whole(db, id)?;
    let plan = serde_json::from_value(details.plan_json.0.clone())
        .map_err(|error| StoreError::Defect(format!("the plan of execution {id} cannot be read: {error}")))?;
    let stored = events::load(db, id)?;
    let seq = stored.last().map_or(0, |event| event.seq);
    let mut log = Vec::with_capacity(stored.len());
    for event in stored {
        let read: Event = serde_json::from_value(event.event_json.0).map_err(|error| {
            StoreError::Defect(format!("event {} of execution {id} cannot be read: {error}", event.seq))
        })?;
        log.push((event.at, read));
    }
    let state = replay(log.iter().map(|(at, event)| (*at, event)))
        .map_err(|error| StoreError::Defect(format!("the events of execution {id} contradict each other: {error}")))?;
    Ok(Loaded { row, details, plan, state, seq })
}

/// The same for a write of the replica that runs it, and that knew it as `known`. `Fenced`: another has it now.
pub fn load_held(db: &mut Db, known: Loaded, hold: Hold) -> Result<Loaded, StoreError> {
    let id = known.row.id;
    let (lease, last) = leases::get_to_write(db, id)?;
    if !lease.is_held(hold) {
        return Err(StoreError::Fenced(id));
    }
    // Whatever happens to a run is an event.
    if last == known.seq { Ok(known) } else { load(db, id) }
}

/// Stores a new execution with its plan, its steps, its first event, and `PLANNED`.
///
/// `row.approved_by` says whether it is born approved; `undoes` makes it an execution that only undoes these steps.
pub fn create(
    db: &mut Db,
    row: &ExecutionRow,
    details: &DetailsRow,
    plan: &Plan,
    undoes: Option<Vec<usize>>,
    author: &Author,
) -> Result<Loaded, StoreError> {
    let event = Event::Created { steps: plan.steps.len(), approved_by: row.approved_by.clone(), undoes };
    let state = begin(author.now, &event).map_err(|error| StoreError::Defect(error.to_string()))?;
    let row = ExecutionRow { status: state.status, created_at: author.now, ..row.clone() };
    executions::insert(db, &row, details)?;
    leases::insert(db, row.id, author.policy.replica.id)?;
    let loaded = Loaded { row, details: details.clone(), plan: plan.clone(), state: state.clone(), seq: 0 };
    rows::write_steps(db, &loaded, None, &state)?;
    let mut log = Log::after(loaded.seq);
    log.add(&loaded, &event, &Evidence::None, &state, author)?;
    log.write(db, author)?;
    Ok(Loaded { seq: 1, ..loaded })
}

/// Applies `told` to an execution and stores everything that follows from it; or says why it must not follow, and
/// writes nothing.
pub fn record(
    db: &mut Db,
    loaded: Loaded,
    told: &[(Event, Evidence)],
    author: &Author,
) -> Result<Result<Loaded, IllegalTransition>, StoreError> {
    let mut states = Vec::with_capacity(told.len());
    let mut state = loaded.state.clone();
    for (event, _) in told {
        state = match apply(state, author.now, event) {
            Ok(state) => state,
            Err(illegal) => return Ok(Err(illegal)),
        };
        states.push(state.clone());
    }
    let has_ended = state.status.is_final() && !loaded.state.status.is_final();
    let frees_target = has_ended || (loaded.state.holds_target() && !state.holds_target());
    if frees_target {
        // Before the first write: what ends here is counted by the gates, and releases what they hold.
        lock_decisions(db)?;
    }
    // While the row is not final yet: from then on these are frozen.
    let is_told_more = rows::write_details(db, &loaded, told, &state, author.now)?;
    let ids = rows::write_steps(db, &loaded, Some(&loaded.state), &state)?;
    let mut loaded = loaded;
    let before = loaded.state.clone();
    let mut log = Log::after(loaded.seq);
    for ((event, evidence), state) in told.iter().zip(states) {
        rows::write_attempt(db, &loaded, &ids, event, evidence, author.now)?;
        log.add(&loaded, event, evidence, &state, author)?;
        loaded.seq += 1;
        loaded.state = state;
    }
    log.write(db, author)?;
    rows::write_execution(db, &mut loaded, &before, told, author.now)?;
    write_lock(db, &loaded, &before)?;
    if has_ended {
        gating::record_outcome(db, &author.policy, &loaded.row, author.now)?;
    }
    if frees_target {
        gating::target_freed(db, &loaded.row.server, author.now)?;
    }
    if is_told_more {
        loaded.details = details::get(db, loaded.row.id)?;
    }
    Ok(Ok(loaded))
}

/// Takes an approved execution for the author's replica: it runs, and its server is locked. At most one of many claims
/// gets it, and the number under which it is held.
pub fn claim(db: &mut Db, mut loaded: Loaded, author: &Author) -> Result<Result<(Loaded, Hold), Claim>, StoreError> {
    let (id, replica) = (loaded.row.id, &author.policy.replica);
    let fence = match target_locks::claim(db, &loaded.row, &replica.name, author.now)? {
        Claim::Taken(row) => {
            loaded.row = *row;
            leases::claim(db, id, replica.id)?
        }
        refused @ (Claim::NotApproved | Claim::Busy(_)) => return Ok(Err(refused)),
    };
    loaded.details.claimed_by = Some(replica.name.clone());
    match record(db, loaded, &[(Event::Claimed, Evidence::None)], author)? {
        Ok(loaded) => Ok(Ok((loaded, Hold { replica: replica.id, fence }))),
        // The row said `approved`, its events say otherwise.
        Err(illegal) => Err(StoreError::Defect(illegal.to_string())),
    }
}

/// What was told, to be added to the execution's events and to the audit log.
struct Log {
    /// Number of the event before them.
    last: i32,
    events: Vec<EventRow>,
    audited: Vec<NewEvent>,
}

impl Log {
    fn after(last: i32) -> Self {
        Self { last, events: Vec::new(), audited: Vec::new() }
    }

    /// `event` is the one after `loaded`, and leads to `state`.
    fn add(
        &mut self,
        loaded: &Loaded,
        event: &Event,
        evidence: &Evidence,
        state: &State,
        author: &Author,
    ) -> Result<(), StoreError> {
        let event_json = serde_json::to_value(event).map_err(|error| StoreError::Defect(error.to_string()))?;
        self.events.push(EventRow {
            execution_id: loaded.row.id,
            seq: loaded.seq + 1,
            at: author.now,
            kind: event.as_str().to_owned(),
            event_json: Json(event_json),
        });
        let made = trail::Made {
            plan: &loaded.plan,
            plan_hash: &loaded.details.plan_hash,
            inputs_hash: &loaded.details.inputs_hash,
        };
        for (kind, payload) in trail::entries(event, evidence, state, &made) {
            let mut entry =
                NewEvent::of_execution(kind, loaded.row.id, loaded.row.episode_id, payload).by(&author.name);
            entry.ip_address.clone_from(&author.ip_address);
            self.audited.push(entry);
        }
        Ok(())
    }

    fn write(self, db: &mut Db, author: &Author) -> Result<(), StoreError> {
        events::append(db, self.last, &self.events)?;
        audit::append_all(db, &self.audited, &author.policy.version, author.now)?;
        failpoint::pass(failpoint::AUDIT_UNCOMMITTED);
        Ok(())
    }
}

/// A target is held while something runs, and for as long as a person has to look; then it is free.
fn write_lock(db: &mut Db, loaded: &Loaded, before: &State) -> Result<(), StoreError> {
    let state = &loaded.state;
    let id = loaded.row.id;
    match (before.holds_target(), state.holds_target()) {
        (true, false) => target_locks::free(db, id).map(drop),
        (_, true) if state.status == crate::execution::Status::Interrupted => {
            target_locks::keep(db, id, LockReason::Interrupted).map(drop)
        }
        (_, true) if state.status.is_final() => target_locks::keep(db, id, LockReason::Stuck).map(drop),
        (true | false, true) | (false, false) => Ok(()),
    }
}
