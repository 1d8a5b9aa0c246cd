//! Keeping the lease, and looking at the others: who is gone, who does the housekeeping, what was changed elsewhere.
//!
//! Called by `schedule` again and again, and by `app` at the start and the end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::tenure::Moment;
use super::wall_clock::Look;
use super::{Others, Replica, Tenure};
use crate::clock::monotonic;
use crate::engine::{Engine, ReloadError};
use crate::store::changes::{self, Seen};
use crate::store::replicas::{self, ReplicaRow, Told};
use crate::store::{Db, StoreError, decisions, duties, executions, leases};

impl Replica {
    fn told(&self, engine: &Engine) -> Told {
        let policy_version = engine.policy().version.clone();
        Told { id: self.id, name: self.name.clone(), policy_version, lease: self.lease }
    }

    fn begin_tenure(&self, sent: Moment) {
        let tenure = Arc::new(Tenure::default());
        tenure.renewed(sent, self.lease);
        let old = std::mem::replace(&mut *self.tenure.write().unwrap_or_else(PoisonError::into_inner), tenure);
        old.lose();
    }
}

/// Tells the others that this replica is there. On SQLite it is alone: what an earlier one held is free at once.
pub async fn join(engine: &Engine) -> Result<(), StoreError> {
    let replica = &engine.replica;
    let (told, is_alone) = (replica.told(engine), engine.store.is_exclusive());
    let sent = Moment::now();
    let seen = engine.store.write(move |db| {
        if is_alone {
            replicas::bury_all(db, told.id)?;
        }
        replicas::join(db, &told)?;
        changes::seen(db)
    });
    *replica.changes.lock().unwrap_or_else(PoisonError::into_inner) = seen.await?;
    replica.begin_tenure(sent);
    look(engine).await
}

/// Renews the lease. A replica that others have buried lets go of all that it had in hand, and comes back with nothing.
pub async fn renew(engine: &Engine) -> Result<(), StoreError> {
    let replica = &engine.replica;
    let (told, sent) = (replica.told(engine), Moment::now());
    if engine.store.write(move |db| replicas::renew(db, &told)).await? {
        replica.tenure().renewed(sent, replica.lease);
        return Ok(());
    }
    tracing::error!(
        replica = replica.name,
        in_hand = engine.in_flight.len(),
        "the others gave this replica up, for it was not heard of in time; they have what it had in hand"
    );
    replica.tenure().lose();
    replica.keeps_house.store(false, Ordering::Relaxed);
    let (told, sent) = (replica.told(engine), Moment::now());
    engine.store.write(move |db| replicas::join(db, &told)).await?;
    replica.begin_tenure(sent);
    Ok(())
}

/// Ends this replica in good order: the others, or the next start, take up what it had at once.
pub async fn leave(engine: &Engine) -> Result<(), StoreError> {
    engine.replica.tenure().lose();
    let id = engine.replica.id;
    engine
        .store
        .write(move |db| {
            replicas::leave(db, id)?;
            leases::disown(db, &[id])
        })
        .await
}

/// What a look finds in the database.
struct Found {
    is_overdue: bool,
    housekeeper: Option<crate::id::ReplicaId>,
    replicas: Vec<ReplicaRow>,
    changes: Seen,
}

/// Looks at the others and at the clock, and does what follows.
pub async fn look(engine: &Engine) -> Result<(), StoreError> {
    look_at_clock(engine).await?;
    let me = engine.replica.id;
    let found = engine.store.read(move |db| {
        Ok(Found {
            is_overdue: replicas::has_overdue(db, me)?,
            housekeeper: duties::housekeeper(db)?,
            replicas: replicas::list(db)?,
            changes: changes::seen(db)?,
        })
    });
    let found = found.await?;
    let mut housekeeper = found.housekeeper;
    if found.is_overdue {
        bury(engine).await?;
        // Perhaps it was the housekeeper.
        housekeeper = engine.store.read(duties::housekeeper).await?;
    }
    keep_house(engine, housekeeper).await?;
    see(engine, found.replicas);
    follow(engine, found.changes).await
}

async fn bury(engine: &Engine) -> Result<(), StoreError> {
    let me = engine.replica.id;
    let buried = engine.store.write(move |db: &mut Db| {
        let buried = replicas::bury(db, me)?;
        // In the same transaction: from here on, what it still tells of them is refused.
        leases::disown(db, &buried.iter().map(|(id, _)| *id).collect::<Vec<_>>())?;
        Ok(buried)
    });
    for (_, name) in buried.await? {
        tracing::warn!(
            replica = name,
            "a replica was not heard of for the time of its lease; the others take up its runs"
        );
    }
    engine.wake.all();
    Ok(())
}

async fn keep_house(engine: &Engine, housekeeper: Option<crate::id::ReplicaId>) -> Result<(), StoreError> {
    let replica = &engine.replica;
    let keeps = match housekeeper {
        Some(id) => id == replica.id,
        None => {
            let id = replica.id;
            engine.store.write(move |db| duties::take_housekeeping(db, id)).await?
        }
    };
    if keeps != replica.keeps_house.swap(keeps, Ordering::Relaxed) {
        tracing::info!(replica = replica.name, keeps, "housekeeping");
        engine.wake.gating.notify_one();
    }
    Ok(())
}

/// Takes note of who is there, and says so when somebody has had something else in force for longer than a reload takes.
fn see(engine: &Engine, rows: Vec<ReplicaRow>) {
    let (replica, mine) = (&engine.replica, engine.policy().version.clone());
    let rows: Vec<ReplicaRow> = rows.into_iter().filter(|row| row.id != replica.id).collect();
    let differing: Vec<(String, String)> = rows
        .iter()
        .filter(|row| row.policy_version != mine)
        .map(|row| (row.name.clone(), row.policy_version.clone()))
        .collect();
    let mut others = replica.others.write().unwrap_or_else(PoisonError::into_inner);
    let mut differ_since = others.differ_since.filter(|_| !differing.is_empty());
    if !differing.is_empty() {
        let (since, is_told) = differ_since.get_or_insert((monotonic(), false));
        if !*is_told && since.elapsed() > replica.lease {
            *is_told = true;
            tracing::warn!(
                mine,
                others = ?differing,
                "replicas have different policies in force: runbooks, limits, blackouts or the mode differ in their files"
            );
        }
    }
    *others = Others { ids: rows.iter().map(|row| row.id).collect(), differing, differ_since };
    engine.metrics.replicas(rows.len() + 1, others.differing.len(), replica.keeps_house.load(Ordering::Relaxed));
}

/// Does here what was done at another replica.
async fn follow(engine: &Engine, now: Seen) -> Result<(), StoreError> {
    let before = engine.replica.changes_before(now);
    let followed = if now.files > before.files {
        engine.follow_reload().await.map(drop)
    } else if now.servers > before.servers {
        engine.refresh("engine").await.map(drop)
    } else {
        return Ok(());
    };
    match followed {
        Ok(()) => Ok(()),
        // What cannot be stored now is tried again at the next look.
        Err(ReloadError::Store(error)) => {
            engine.replica.changes_are(before);
            Err(error)
        }
        // Its own files or servers are wrong here: told already, and no better by trying again.
        Err(_) => Ok(()),
    }
}

impl Replica {
    /// What had changed before, and from now on has changed.
    fn changes_before(&self, now: Seen) -> Seen {
        std::mem::replace(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    fn changes_are(&self, seen: Seen) {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// This replica itself had the files read: the `number`th time that anyone did.
    pub(in crate::engine) fn has_read_files(&self, number: i64) {
        let mut seen = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.files + 1 == number {
            seen.files = number;
        }
    }
}

async fn look_at_clock(engine: &Engine) -> Result<(), StoreError> {
    let (look, doubt) = {
        let mut clock = engine.replica.wall_clock.lock().unwrap_or_else(PoisonError::into_inner);
        (clock.look(&engine.clock), clock.doubt())
    };
    engine.metrics.clock_doubted(doubt.is_some());
    match look {
        Look::Same => return Ok(()),
        Look::Doubted => {
            tracing::error!(doubt, "the clock is doubted");
            return Ok(());
        }
        Look::Back => tracing::warn!("the clock is back; runs start by themselves again"),
        Look::Steady => tracing::warn!("the clock has gone steadily; its time is taken for the right one"),
    }
    engine.release_all().await
}

impl Engine {
    /// What a gate holds is asked again: what held it is over.
    pub(in crate::engine) async fn release_all(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let released = self.store.write(move |db| {
            decisions::release_held(db, now)?;
            executions::release_held(db, now)
        });
        released.await?;
        self.wake.all();
        Ok(())
    }
}
