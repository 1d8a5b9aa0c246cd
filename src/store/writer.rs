//! One writer: a thread that takes what is waiting and commits it together. SQLite has one for everything; PostgreSQL one for
//! what has the decisions' turn, which is held from before the first of them to the end of their commit.
//!
//! A commit costs an fsync, whatever is in it. Writes that arrive while one is on its way to the disk share the next
//! one, so that a thousand webhooks a second do not need a thousand fsyncs. Each write has a savepoint of its own: what
//! one does wrong is taken back alone. Nobody is answered before the commit. Writes are taken in the order of their
//! arrival, so that nobody starves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Instant;

use diesel::r2d2::ManageConnection;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::connection::{Access, Db, Opener};
use super::location::DirectoryLock;
use super::locks::lock_decisions;
use crate::clock::monotonic;
use crate::limits;

/// A write on its way: run over the open transaction, or told why there is none; answered after the commit.
type Job = Box<dyn FnOnce(Result<&mut Db, &StoreError>) -> Ran + Send>;
/// What has been run, waiting for the word on its commit.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a job left behind.
struct Ran {
    /// `false`: it wants nothing of it to be kept.
    keep: bool,
    answer: Answer,
}

/// The queue to the writing thread.
pub(super) struct Writer {
    /// `None` only while it is closed.
    queue: Option<mpsc::Sender<Job>>,
    /// `None`: nobody waits for its end.
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, called `name`; it holds the directory's lock, if there is one, as long as it may write.
    pub(super) fn start(name: &str, opener: Opener, lock: Option<DirectoryLock>) -> Result<Self, StoreError> {
        let db = opener.connect()?;
        let has_directory = lock.is_some();
        let (queue, jobs) = mpsc::channel(limits::DATABASE_WRITES_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                work(&opener, db, jobs);
                drop(lock);
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread for the database: {error}")))?;
        // A server may be silent for long, and does not need to be free for the next one.
        Ok(Self { queue: Some(queue), thread: Some(thread).filter(|_| has_directory) })
    }

    /// Runs `f` in its turn. It runs to its end even if the caller is dropped meanwhile.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |db| {
            let result = match db {
                Ok(db) => catch_unwind(AssertUnwindSafe(|| f(db)))
                    .unwrap_or_else(|_| Err(StoreError::Defect("a database task panicked".to_owned()))),
                Err(error) => Err(failed(error)),
            };
            Ran {
                keep: result.is_ok(),
                answer: Box::new(move |committed| {
                    // The error of `f` stands whatever became of the rest. A caller that has gone wants no answer.
                    let _gone = sender.send(result.and_then(|value| committed.map(|()| value)));
                }),
            }
        });
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        self.queue.as_ref().ok_or_else(closed)?.send(job).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whoever is dropped last waits until what was taken is on the disk and the directory is free again.
        self.queue = None;
        let Some(thread) = self.thread.take() else { return };
        // A write that holds the last handle of the store drops it on the thread itself, which cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!("the thread that writes to the database panicked");
        }
    }
}

/// The same failure for each of those that it hit.
fn failed(error: &StoreError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn work(opener: &Opener, mut db: Db, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        if opener.has_broken(&mut db) {
            match opener.connect() {
                Ok(fresh) => db = fresh,
                Err(error) => {
                    let Ran { answer, .. } = first(Err(&error));
                    answer(Ok(()));
                    continue;
                }
            }
        }
        together(opener, &mut db, first, &mut jobs, monotonic() + limits::DATABASE_WRITES_TOGETHER_FOR);
    }
}

/// Begins a transaction, in the decisions' turn.
fn begin(opener: &Opener, db: &mut Db) -> Result<(), StoreError> {
    let begun = db.begin(Access::Write).and_then(|()| lock_decisions(db));
    if begun.is_ok() || matches!(db, Db::Sqlite(_)) {
        return begun;
    }
    // A connection that stood idle may have been cut since. Nothing has been done on it yet.
    db.give_up();
    *db = opener.connect()?;
    db.begin(Access::Write)?;
    lock_decisions(db)
}

/// Runs `first` and whatever else is waiting until then, commits, and answers.
fn together(opener: &Opener, db: &mut Db, first: Job, jobs: &mut mpsc::Receiver<Job>, until: Instant) {
    let mut outcome = begin(opener, db);
    if outcome.is_ok() && jobs.is_empty() {
        // Most often nobody shares: then a savepoint would be two statements for nothing.
        return single(db, first);
    }
    let mut answers = Vec::new();
    let mut next = Some(first);
    while let Some(job) = next {
        if let Err(error) = &outcome {
            answers.push(job(Err(error)).answer);
            break;
        }
        outcome = alone(db, job, &mut answers);
        let full = answers.len() >= limits::DATABASE_WRITES_TOGETHER_MAX || monotonic() >= until;
        next = if full { None } else { jobs.try_recv().ok() };
    }
    let outcome = outcome.and_then(|()| db.commit());
    if outcome.is_err()
        && let Err(second) = db.roll_back()
    {
        tracing::debug!(%second, "rollback failed; the connection is given up");
    }
    for answer in answers {
        answer(match &outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(failed(error)),
        });
    }
}

/// Runs the only job of a transaction, and answers.
fn single(db: &mut Db, job: Job) {
    let Ran { keep, answer } = job(Ok(db));
    let outcome = if !keep {
        db.roll_back()
    } else if db.depth() == Some(1) {
        db.commit()
    } else {
        Err(StoreError::Unavailable("the write left the transaction broken".to_owned()))
    };
    if keep
        && outcome.is_err()
        && let Err(second) = db.roll_back()
    {
        tracing::debug!(%second, "rollback failed; the connection is given up");
    }
    answer(outcome.map_err(|error| failed(&error)));
}

/// Runs one job in a savepoint. `Err` means that the whole transaction is lost.
fn alone(db: &mut Db, job: Job, answers: &mut Vec<Answer>) -> Result<(), StoreError> {
    if let Err(error) = db.savepoint() {
        answers.push(job(Err(&error)).answer);
        return Err(error);
    }
    let Ran { keep, answer } = job(Ok(db));
    answers.push(answer);
    // A panic inside a deeper transaction leaves that open: then nobody can tell what belongs to whom.
    if db.depth() != Some(2) {
        return Err(StoreError::Unavailable("another write left the transaction broken".to_owned()));
    }
    if keep { db.commit() } else { db.roll_back() }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::mpsc as std_mpsc;
    use std::time::Duration;

    use diesel::prelude::*;
    use diesel::sql_types::BigInt;

    use super::*;
    use crate::store::each_backend;

    fn open(path: &Path, access: Access) -> Db {
        Opener::Sqlite { path: path.to_owned(), access }.connect().unwrap()
    }

    fn opener(path: &Path) -> Opener {
        Opener::Sqlite { path: path.to_owned(), access: Access::Write }
    }

    fn rows(db: &mut Db) -> i64 {
        each_backend!(db, c => diesel::select(diesel::dsl::sql::<BigInt>("(SELECT count(*) FROM t)")).get_result(c))
            .unwrap()
    }

    /// A database with an empty table, its file, and the folder that it lives in.
    fn table() -> (tempfile::TempDir, PathBuf, Db) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let mut db = open(&path, Access::Write);
        db.batch("CREATE TABLE t (n INTEGER)").unwrap();
        (directory, path, db)
    }

    /// A job that adds a row, looks how many are committed, and says whether it wants its row.
    fn job(path: &Path, keep: bool, told: &std_mpsc::Sender<(i64, bool)>) -> Job {
        let (path, told) = (path.to_owned(), told.clone());
        Box::new(move |db| {
            let committed = rows(&mut open(&path, Access::Read));
            let ran = db.is_ok_and(|db| db.batch("INSERT INTO t VALUES (1)").is_ok());
            Ran { keep: keep && ran, answer: Box::new(move |result| told.send((committed, result.is_ok())).unwrap()) }
        })
    }

    #[test]
    fn what_waits_shares_one_commit_and_what_fails_is_taken_back_alone() {
        let (_directory, path, mut db) = table();
        let (queue, mut jobs) = mpsc::channel(16);
        let (told, answers) = std_mpsc::channel();
        for keep in [true, false, true, true] {
            assert!(queue.try_send(job(&path, keep, &told)).is_ok());
        }
        together(&opener(&path), &mut db, job(&path, true, &told), &mut jobs, monotonic() + Duration::from_secs(600));
        // Nobody saw a row of another one committed, and everybody was answered.
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), [(0, true); 5]);
        assert_eq!(rows(&mut open(&path, Access::Read)), 4);
        assert_eq!(db.depth(), Some(0));
    }

    #[test]
    fn nothing_joins_a_commit_whose_time_is_over() {
        let (_directory, path, mut db) = table();
        let (queue, mut jobs) = mpsc::channel(16);
        let (told, answers) = std_mpsc::channel();
        assert!(queue.try_send(job(&path, true, &told)).is_ok());
        together(&opener(&path), &mut db, job(&path, true, &told), &mut jobs, monotonic());
        assert_eq!((answers.try_iter().count(), jobs.len()), (1, 1));
    }

    #[test]
    fn when_the_transaction_is_lost_everybody_in_it_is_told() {
        let (_directory, path, mut db) = table();
        let (queue, mut jobs) = mpsc::channel(16);
        let (told, answers) = std_mpsc::channel();
        let vandal: Job = Box::new(|db| {
            // What SQLite does by itself when the disk is full.
            if let Ok(db) = db {
                db.batch("ROLLBACK").unwrap();
            }
            Ran { keep: true, answer: Box::new(drop) }
        });
        assert!(queue.try_send(vandal).is_ok());
        assert!(queue.try_send(job(&path, true, &told)).is_ok());
        together(&opener(&path), &mut db, job(&path, true, &told), &mut jobs, monotonic() + Duration::from_secs(600));
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), [(0, false), (0, false)]);
        assert_eq!(rows(&mut open(&path, Access::Read)), 0);
    }
}
