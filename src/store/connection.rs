//! Connections of both engines, and the pools that hold them.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, Pool};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::{AsyncConnectionWrapper, BlockOn};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::runtime::Runtime;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::StoreError;
use crate::limits;

/// A connection to PostgreSQL behind Diesel's synchronous interface. It blocks: never use it outside of the store's
/// blocking threads.
pub type PgConn = AsyncConnectionWrapper<AsyncPgConnection, Driver>;

/// Drives one connection on the thread that waits for its answer. On a thread of its own each answer would wake two.
pub struct Driver(Option<Runtime>);

thread_local! {
    /// The runtime in which a connection was just opened; the wrapper asks for it without saying whose.
    static OPENED_IN: Cell<Option<Runtime>> = const { Cell::new(None) };
}

impl Driver {
    fn runtime() -> Result<Runtime, std::io::Error> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    }
}

impl BlockOn for Driver {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.0 {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("only a driver that is being dropped has no runtime"),
        }
    }

    fn get_runtime() -> Self {
        Self(OPENED_IN.take().or_else(|| Self::runtime().ok()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A runtime must not be dropped where blocking is forbidden; this does not wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection to either engine; what every query function takes.
#[expect(clippy::large_enum_variant, reason = "a pool holds a few; boxing would only hide them")]
pub enum Db {
    Pg(PgConn),
    Sqlite(SqliteConnection),
}

/// Runs the same Diesel expression on whichever engine is there; `c: B` also names its backend, for `into_boxed`.
macro_rules! each_backend {
    ($db:expr, $c:ident: $backend:ident => $body:expr) => {
        match $db {
            $crate::store::Db::Pg($c) => {
                type $backend = ::diesel::pg::Pg;
                $body
            }
            $crate::store::Db::Sqlite($c) => {
                type $backend = ::diesel::sqlite::Sqlite;
                $body
            }
        }
    };
    ($db:expr, $c:ident => $body:expr) => {
        match $db {
            $crate::store::Db::Pg($c) => $body,
            $crate::store::Db::Sqlite($c) => $body,
        }
    };
}
pub(crate) use each_backend;

impl Db {
    /// Runs SQL text without parameters; several statements may stand in it.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        Ok(each_backend!(self, c => c.batch_execute(sql))?)
    }

    /// Runs `f` in the transaction that was begun: committed if it says `Ok`, else rolled back.
    pub(super) fn finish<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match f(self) {
            Ok(value) => self.commit().map(|()| value),
            Err(error) => {
                // The error of `f` is the cause; a connection that cannot even roll back is dropped by the pool.
                if let Err(second) = self.roll_back() {
                    tracing::debug!(%second, "rollback failed; the connection is given up");
                }
                Err(error)
            }
        }
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self, access: Access) -> Result<(), StoreError> {
        super::locks::begin();
        match self {
            Self::Pg(c) => <PgConn as Connection>::TransactionManager::begin_transaction(c)?,
            Self::Sqlite(c) => {
                // A deferred transaction that reads and then writes fails under concurrency: "database is locked".
                let sql = if access == Access::Read { "BEGIN" } else { "BEGIN IMMEDIATE" };
                diesel::connection::AnsiTransactionManager::begin_transaction_sql(c, sql)?;
            }
        }
        Ok(())
    }

    /// Begins a transaction inside the open one.
    pub(super) fn savepoint(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Pg(c) => <PgConn as Connection>::TransactionManager::begin_transaction(c)?,
            Self::Sqlite(c) => diesel::connection::AnsiTransactionManager::begin_transaction(c)?,
        }
        Ok(())
    }

    /// Keeps what the innermost transaction did.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Pg(c) => <PgConn as Connection>::TransactionManager::commit_transaction(c)?,
            Self::Sqlite(c) => diesel::connection::AnsiTransactionManager::commit_transaction(c)?,
        }
        Ok(())
    }

    /// Takes back what the innermost transaction did.
    pub(super) fn roll_back(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Pg(c) => <PgConn as Connection>::TransactionManager::rollback_transaction(c)?,
            Self::Sqlite(c) => diesel::connection::AnsiTransactionManager::rollback_transaction(c)?,
        }
        Ok(())
    }

    /// How many transactions are open, one inside the other; `None` if the connection is broken.
    pub(super) fn depth(&mut self) -> Option<u32> {
        let status = match self {
            Self::Pg(c) => <PgConn as Connection>::TransactionManager::transaction_manager_status_mut(c),
            Self::Sqlite(c) => diesel::connection::AnsiTransactionManager::transaction_manager_status_mut(c),
        };
        Some(status.transaction_depth().ok()?.map_or(0, std::num::NonZeroU32::get))
    }

    /// The connection will not be used again.
    pub(super) fn give_up(&mut self) {
        match self {
            Self::Pg(c) => <PgConn as Connection>::TransactionManager::transaction_manager_status_mut(c),
            Self::Sqlite(c) => diesel::connection::AnsiTransactionManager::transaction_manager_status_mut(c),
        }
        .set_in_error();
    }

    /// A transaction was left open or broke: the connection must not be used again.
    fn is_broken(&mut self) -> bool {
        self.depth() != Some(0)
    }
}

/// What a transaction or a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// Opens connections for a pool.
#[derive(Clone)]
pub(super) enum Opener {
    Sqlite { path: PathBuf, access: Access },
    Pg { config: Box<tokio_postgres::Config>, tls: MakeRustlsConnect, access: Access },
}

impl Opener {
    /// Opens PostgreSQL connections that may write.
    pub(super) fn pg(mut config: tokio_postgres::Config) -> Result<Self, StoreError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|error| StoreError::Unavailable(format!("TLS cannot be set up: {error}")))?
            .with_no_client_auth();
        // A server that vanished without a word must not hold a blocking thread for ever.
        config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(limits::DATABASE_CONNECT_TIMEOUT));
        config.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(limits::DATABASE_SILENCE_TIMEOUT));
        if config.get_application_name().is_none() {
            config.application_name("douse");
        }
        Ok(Self::Pg { config: Box::new(config), tls: MakeRustlsConnect::new(tls), access: Access::Write })
    }

    /// The same for reading only.
    pub(super) fn reading(&self) -> Self {
        let mut opener = self.clone();
        match &mut opener {
            Self::Sqlite { access, .. } | Self::Pg { access, .. } => *access = Access::Read,
        }
        opener
    }
}

impl ManageConnection for Opener {
    type Connection = Db;
    type Error = StoreError;

    fn connect(&self) -> Result<Db, StoreError> {
        match self {
            Self::Sqlite { path, access } => open_sqlite(path, *access),
            Self::Pg { config, tls, access } => open_pg(config, tls, *access),
        }
    }

    fn is_valid(&self, db: &mut Db) -> Result<(), StoreError> {
        match db {
            Db::Pg(_) => db.batch("SELECT 1"),
            Db::Sqlite(_) => Ok(()),
        }
    }

    fn has_broken(&self, db: &mut Db) -> bool {
        std::thread::panicking() || db.is_broken()
    }
}

fn open_pg(config: &tokio_postgres::Config, tls: &MakeRustlsConnect, access: Access) -> Result<Db, StoreError> {
    // A replica that stands still in a transaction must not keep the others from theirs.
    let idle = limits::DATABASE_IDLE_TRANSACTION_MAX.as_millis();
    let mut session = format!("SET idle_in_transaction_session_timeout = {idle}");
    if access == Access::Read {
        // One snapshot for all queries of a read, as SQLite has it.
        session.push_str(
            "; SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on",
        );
    }
    let connect = async {
        let (client, connection) = config.connect(tls.clone()).await.map_err(|error| unreachable_pg(&error))?;
        let mut connected = AsyncPgConnection::try_from_client_and_connection(client, connection)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        diesel_async::SimpleAsyncConnection::batch_execute(&mut connected, &session)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok::<_, StoreError>(connected)
    };
    let runtime = Driver::runtime().map_err(|error| StoreError::Unavailable(format!("PostgreSQL: {error}")))?;
    let connected = runtime.block_on(connect)?;
    OPENED_IN.set(Some(runtime));
    Ok(Db::Pg(PgConn::from(connected)))
}

/// tokio-postgres hides the cause ("error connecting to server"); people need it.
fn unreachable_pg(error: &tokio_postgres::Error) -> StoreError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") {
        text.push_str(
            " (the server's certificate is always checked: have its authority trusted by this machine or in SSL_CERT_FILE, \
             or use sslmode=disable on a network that you trust)",
        );
    }
    StoreError::Unavailable(format!("PostgreSQL: {text}"))
}

fn open_sqlite(path: &std::path::Path, access: Access) -> Result<Db, StoreError> {
    let failed = |problem: String| StoreError::Directory { what: "open", path: path.to_owned(), problem };
    let name = path.to_str().ok_or_else(|| failed("the path is not UTF-8".to_owned()))?;
    if access == Access::Read && !path.is_file() {
        // SQLite would make an empty one.
        return Err(failed("there is no such file".to_owned()));
    }
    let mut db = Db::Sqlite(SqliteConnection::establish(name).map_err(|error| failed(error.to_string()))?);
    // All of these but WAL are per connection. FULL: a commit that was answered survives a power cut.
    let wait = limits::DATABASE_BUSY_TIMEOUT.as_millis();
    db.batch(&match access {
        Access::Read => format!("PRAGMA busy_timeout = {wait}; PRAGMA query_only = ON"),
        Access::Write => format!(
            "PRAGMA busy_timeout = {wait}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
        ),
    })?;
    Ok(db)
}

/// A pool of at most `size` connections that keeps one open.
pub(super) fn pool(opener: Opener, size: u32) -> Result<Pool<Opener>, StoreError> {
    let closes = matches!(opener, Opener::Pg { .. });
    Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        // Whether it still stands shows with the transaction's first word; asking before would cost each one a round trip.
        .test_on_check_out(false)
        .max_lifetime(None)
        .idle_timeout(closes.then_some(Duration::from_secs(600)))
        .connection_timeout(limits::DATABASE_WAIT_MAX)
        .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
        .build(opener)
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}
