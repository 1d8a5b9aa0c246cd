//! Copies of the database, and how full it is.

use std::path::Path;

use diesel::prelude::*;
use diesel::r2d2::ManageConnection;
use diesel::sql_types::{BigInt, Text};

use super::connection::{Access, Opener};
use super::location::Location;
use super::{Db, Store, StoreError, blocking};

/// How a copy is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backup {
    /// It is there.
    Written,
    /// PostgreSQL's own program makes it, with these variables in its environment.
    ByPgDump(Vec<(String, String)>),
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Store {
    /// Copies the SQLite database of `url` into `file`, which is empty or not there, as it is at one moment; another process
    /// may work on it meanwhile. For PostgreSQL it tells how.
    pub async fn back_up(url: &str, file: &Path) -> Result<Backup, StoreError> {
        let (location, file) = (Location::parse(url)?, file.to_owned());
        blocking(move || match location {
            Location::Pg(config) => Ok(Backup::ByPgDump(environment(&config))),
            Location::Sqlite(path) => {
                if !path.is_file() {
                    let problem = "there is no such file".to_owned();
                    return Err(StoreError::Directory { what: "open", path, problem });
                }
                let mut db = Opener::Sqlite { path, access: Access::Write }.connect()?;
                let name = file.to_string_lossy().replace('\'', "''");
                db.batch(&format!("VACUUM INTO '{name}'"))?;
                std::fs::File::open(&file)
                    .and_then(|written| written.sync_all())
                    .map_err(|error| StoreError::Directory { what: "write", path: file, problem: error.to_string() })?;
                Ok(Backup::Written)
            }
        })
        .await
    }

    /// How many rows each table has, by name.
    pub async fn count_rows(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.read(|db| {
            let names: Vec<Name> = match db {
                Db::Sqlite(c) => diesel::sql_query(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' \
                     AND name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY name",
                )
                .load(c)?,
                Db::Pg(c) => diesel::sql_query(
                    "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public' \
                     AND table_type = 'BASE TABLE' AND table_name NOT LIKE '\\_\\_%' ORDER BY table_name",
                )
                .load(c)?,
            };
            let mut counts = Vec::with_capacity(names.len());
            for Name { name } in names {
                let sql = format!("SELECT COUNT(*) AS count FROM \"{name}\"");
                let Count { count } = match db {
                    Db::Sqlite(c) => diesel::sql_query(sql).get_result(c)?,
                    Db::Pg(c) => diesel::sql_query(sql).get_result(c)?,
                };
                counts.push((name, count));
            }
            Ok(counts)
        })
        .await
    }
}

/// What libpq's programs read from their environment.
fn environment(config: &tokio_postgres::Config) -> Vec<(String, String)> {
    use tokio_postgres::config::{Host, SslMode};
    let mut found = Vec::new();
    let mut put = |name: &str, value: String| found.push((name.to_owned(), value));
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => put("PGHOST", host.clone()),
        Some(Host::Unix(path)) => put("PGHOST", path.display().to_string()),
        None => {}
    }
    if let Some(port) = config.get_ports().first() {
        put("PGPORT", port.to_string());
    }
    if let Some(user) = config.get_user() {
        put("PGUSER", user.to_owned());
    }
    if let Some(password) = config.get_password() {
        put("PGPASSWORD", String::from_utf8_lossy(password).into_owned());
    }
    if let Some(name) = config.get_dbname() {
        put("PGDATABASE", name.to_owned());
    }
    match config.get_ssl_mode() {
        SslMode::Disable => put("PGSSLMODE", "disable".to_owned()),
        SslMode::Require => put("PGSSLMODE", "require".to_owned()),
        // As the program has it.
        _ => {}
    }
    found
}
