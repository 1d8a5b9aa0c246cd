//! SQLite's one writer: a thread that takes what is waiting and commits it together.
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
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; it holds the directory's lock as long as it may write.
    pub(super) fn start(opener: Opener, lock: DirectoryLock) -> Result<Self, StoreError> {
        let db = opener.connect()?;
        let (queue, jobs) = mpsc::channel(limits::DATABASE_WRITES_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                work(&opener, db, jobs);
                drop(lock);
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread for SQLite: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
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
            tracing::error!("the thread that writes to SQLite panicked");
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
        together(&mut db, first, &mut jobs, monotonic() + limits::DATABASE_WRITES_TOGETHER_FOR);
    }
}

/// Runs `first` and whatever else is waiting until then, commits, and answers.
fn together(db: &mut Db, first: Job, jobs: &mut mpsc::Receiver<Job>, until: Instant) {
    let mut answers = Vec::new();
    let mut outcome = db.begin(Access::Write);
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
        together(&mut db, job(&path, true, &told), &mut jobs, monotonic() + Duration::from_secs(600));
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
        together(&mut db, job(&path, true, &told), &mut jobs, monotonic());
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
        together(&mut db, job(&path, true, &told), &mut jobs, monotonic() + Duration::from_secs(600));
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), [(0, false), (0, false)]);
        assert_eq!(rows(&mut open(&path, Access::Read)), 0);
    }
}
