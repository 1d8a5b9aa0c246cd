//! The database: one blocking seam, and one file of plain query functions per table.
//!
//! [`Store::read`] and [`Store::write`] run a closure over a [`Db`] on a blocking thread, each in one transaction.
//! Query functions are synchronous and take `&mut Db`, so that several make one transaction. They decide nothing:
//! what a row means is told by the nouns, and the engine's stages call both. Diesel is used here and nowhere else.
//!
//! Constraints stand in `migrations/`, for both engines; `schema.rs` is compared with them by a test.

pub mod alerts;
pub mod api_tokens;
pub mod attempts;
pub mod audit;
pub mod audit_links;
pub mod batches;
pub mod blackouts;
pub mod breakers;
pub mod changes;
pub mod decisions;
pub mod deliveries;
pub mod details;
pub mod duties;
pub mod encryption_keys;
pub mod episodes;
pub mod events;
pub mod executions;
pub mod facts;
pub mod glance;
pub mod holds;
pub mod idempotency;
pub mod ingest;
pub mod leases;
pub mod login_failures;
pub mod pauses;
pub mod prefix;
pub mod replicas;
pub mod retention;
pub mod runbooks;
pub mod server_credentials;
pub mod servers;
pub mod sessions;
pub mod setup_tokens;
pub mod sources;
pub mod statistics;
pub mod steps;
pub mod system_config;
pub mod target_locks;
pub mod triggers;
pub mod users;

mod backup;
mod connection;
mod error;
mod kinds;
mod location;
mod locks;
mod migrate;
mod notice;
mod page;
mod schema;
mod sealing;
mod tally;
mod types;
mod unnest;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use diesel::r2d2::{ManageConnection, Pool};
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub use backup::Backup;
pub use connection::Db;
pub(crate) use connection::each_backend;
use connection::{Access, Opener, pool};
pub use error::StoreError;
pub use kinds::*;
use location::{DirectoryLock, Location};
pub use locks::{lock_chain, lock_decisions, lock_ingest, lock_retention};
pub use notice::Word;
pub use page::{Page, Paged};
use tally::Tally;
pub use tally::{AuditWatch, Audited};
pub use types::Json;
use writer::Writer;

use crate::limits;

/// The database of one engine; cheap to clone.
#[derive(Clone)]
pub struct Store {
    pools: Arc<Pools>,
    audit_watch: Arc<OnceLock<AuditWatch>>,
    sealing: Arc<sealing::Sealing>,
    /// Changes with each commit that adds to the audit log.
    news: Arc<watch::Sender<()>>,
}

enum Pools {
    Sqlite {
        readers: Pool<Opener>,
        /// SQLite's busy handler starves writers under load; one thread with a queue does not. `None`: to be looked at only.
        writer: Option<Writer>,
    },
    Pg {
        readers: Pool<Opener>,
        /// Apart from the readers: who waits for a turn keeps nobody from looking.
        writers: Pool<Opener>,
        /// What has the decisions' turn: those that wait for it share it, and its commit.
        turns: Writer,
        /// Opens the connection on which other replicas are heard.
        opener: Opener,
        /// Drives that connection, whichever runtime a caller lives in. `None` only while it is shut down.
        runtime: Option<Runtime>,
    },
}

impl Drop for Pools {
    fn drop(&mut self) {
        if let Self::Pg { runtime, .. } = self {
            // A runtime must not be dropped where blocking is forbidden; this does not wait.
            if let Some(runtime) = runtime.take() {
                runtime.shutdown_background();
            }
        }
    }
}

impl Store {
    /// Opens `sqlite://path` (made with its directory if missing) or `postgres://…`, and brings the tables up to date.
    ///
    /// A SQLite file belongs to one process at a time; its directory is locked.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let location = Location::parse(url)?;
        blocking(move || {
            let pools = match location {
                Location::Sqlite(path) => open_sqlite(&path)?,
                Location::Pg(config) => open_pg(*config)?,
            };
            Ok(Self::over(pools))
        })
        .await
    }

    fn over(pools: Pools) -> Self {
        let (pools, news) = (Arc::new(pools), Arc::new(watch::Sender::new(())));
        Self { pools, audit_watch: Arc::default(), sealing: Arc::default(), news }
    }

    /// Changes with each commit of this store that adds to the audit log; what others commit is not told.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Opens a database to be looked at only, also one that another process works on. Nothing is migrated or locked.
    pub async fn inspect(url: &str) -> Result<Self, StoreError> {
        let location = Location::parse(url)?;
        blocking(move || {
            let pools = match location {
                Location::Sqlite(path) => {
                    let opener = Opener::Sqlite { path, access: Access::Read };
                    // By hand first: a pool would tell only that it timed out.
                    drop(opener.connect()?);
                    Pools::Sqlite { readers: pool(opener, limits::DATABASE_READERS_MAX)?, writer: None }
                }
                Location::Pg(config) => connect_pg(*config, |_| Ok(()))?,
            };
            Ok(Self::over(pools))
        })
        .await
    }

    /// Tells `watch` about each audit event, after its commit. The first watch stays.
    pub fn watch_audit(&self, watch: AuditWatch) {
        let _one_is_there = self.audit_watch.set(watch);
    }

    /// No other process can work on this database.
    pub fn is_exclusive(&self) -> bool {
        matches!(&*self.pools, Pools::Sqlite { .. })
    }

    /// Name of the engine, for logs.
    pub fn engine(&self) -> &'static str {
        match &*self.pools {
            Pools::Sqlite { .. } => "sqlite",
            Pools::Pg { .. } => "postgres",
        }
    }

    /// Runs queries over one snapshot. Writing is refused by the engine.
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let pools = Arc::clone(&self.pools);
        blocking(move || {
            let pool = match &*pools {
                Pools::Sqlite { readers, .. } | Pools::Pg { readers, .. } => readers,
            };
            run(pool, Access::Read, f)
        })
        .await
    }

    /// Runs `f` in one transaction: committed when it returns `Ok`, rolled back when it returns `Err`.
    ///
    /// It runs to its end even if the caller is dropped meanwhile. On SQLite writes take turns, and may share a commit;
    /// on PostgreSQL they run side by side (READ COMMITTED): see [`lock_decisions`].
    pub async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.watched(Turn::None, f).await
    }

    /// The same in the decisions' turn ([`lock_decisions`]), which `f` has from its first statement on. Those that wait for
    /// it in this process share it, and its commit: whoever would take it alone keeps it while the disk is at work.
    pub async fn write_in_turn<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.watched(Turn::Decisions, f).await
    }

    async fn watched<T: Send + 'static>(
        &self,
        turn: Turn,
        f: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let keys = self.sealing.keys();
        let f = move |db: &mut Db| sealing::with(keys, || f(db));
        let told = Arc::new(Mutex::new(Tally::default()));
        let counted = Arc::clone(&told);
        let result = self.commit(turn, move |db| {
            let (result, tally) = tally::count(|| f(db));
            *counted.lock().unwrap_or_else(PoisonError::into_inner) = tally;
            result
        });
        let result = result.await;
        let tally = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = tally.outcome(result.is_ok());
        if outcome.iter().any(|audited| matches!(audited, Audited::Written(..))) {
            self.news.send_replace(());
        }
        if let Some(watch) = self.audit_watch.get() {
            outcome.into_iter().for_each(watch);
        }
        result
    }

    async fn commit<T: Send + 'static>(
        &self,
        turn: Turn,
        f: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let writers = match (&*self.pools, turn) {
            (Pools::Sqlite { writer: Some(writer), .. }, _) => return writer.write(f).await,
            (Pools::Sqlite { writer: None, .. }, _) => {
                return Err(StoreError::Unavailable("this database was opened to be looked at only".to_owned()));
            }
            (Pools::Pg { turns, .. }, Turn::Decisions) => return turns.write(f).await,
            (Pools::Pg { writers, .. }, Turn::None) => writers.clone(),
        };
        let pools = Arc::clone(&self.pools);
        blocking(move || {
            let result = run(&writers, Access::Write, f);
            drop(pools);
            result
        })
        .await
    }

    /// Takes every table away, with all data, and makes them anew. For the tests of the migrations.
    #[doc(hidden)]
    pub async fn rebuild(&self) -> Result<(), StoreError> {
        self.write(|db| {
            migrate::down(db)?;
            migrate::up(db)
        })
        .await
    }
}

/// Which turn a write has from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    None,
    Decisions,
}

fn run<T>(
    pool: &Pool<Opener>,
    access: Access,
    f: impl FnOnce(&mut Db) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // A connection that stood idle may have been cut since. Nothing has been done on it yet, so the next one is tried.
    let mut others = pool.max_size();
    let mut db = loop {
        let mut db = pool.get().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        match db.begin(access) {
            Ok(()) => break db,
            Err(error) => {
                db.give_up();
                others = others.checked_sub(1).ok_or(error)?;
            }
        }
    };
    db.finish(f)
}

/// The one place where the program leaves async code for the database.
async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(f).await {
        Ok(result) => result,
        // Only the end of the runtime does that, and then nobody is left to be told.
        Err(error) if error.is_cancelled() => std::future::pending().await,
        Err(error) => Err(StoreError::Defect(format!("a database task ended early: {error}"))),
    }
}

fn open_sqlite(path: &Path) -> Result<Pools, StoreError> {
    let lock = DirectoryLock::take(path)?;
    let opener = |access| Opener::Sqlite { path: path.to_owned(), access };
    // Opened by hand first: a pool would tell only that it timed out.
    migrate::up(&mut opener(Access::Write).connect()?)?;
    Ok(Pools::Sqlite {
        readers: pool(opener(Access::Read), limits::DATABASE_READERS_MAX)?,
        writer: Some(Writer::start("sqlite-writer", opener(Access::Write), Some(lock))?),
    })
}

fn open_pg(config: tokio_postgres::Config) -> Result<Pools, StoreError> {
    connect_pg(config, migrate::up)
}

fn connect_pg(
    config: tokio_postgres::Config,
    prepare: impl FnOnce(&mut Db) -> Result<(), StoreError>,
) -> Result<Pools, StoreError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("postgres")
        .enable_all()
        .build()
        .map_err(|error| StoreError::Unavailable(format!("no thread for PostgreSQL: {error}")))?;
    let opened = Opener::pg(config).and_then(|opener| {
        prepare(&mut opener.connect()?)?;
        let readers = pool(opener.reading(), limits::DATABASE_READERS_MAX)?;
        let turns = Writer::start("postgres-turns", opener.clone(), None)?;
        Ok((readers, pool(opener.clone(), limits::DATABASE_WRITERS_MAX)?, turns, opener))
    });
    match opened {
        Ok((readers, writers, turns, opener)) => {
            Ok(Pools::Pg { readers, writers, turns, opener, runtime: Some(runtime) })
        }
        Err(error) => {
            runtime.shutdown_background();
            Err(error)
        }
    }
}
