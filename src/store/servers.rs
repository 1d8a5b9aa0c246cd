//! Servers made through the API, and what operators and tests said about those of `servers.yml`.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::servers;
use super::types::{cleaned, without_nul_json};
use super::{AuthType, ConnectionStatus, Db, Json, ServerOrigin, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::ServerId;
use crate::runbook::model::OsType;
use crate::secrets::redact;

/// A server made through the API, or the state of one that a file declares.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = servers, treat_none_as_null = true, treat_none_as_default_value = false)]
pub struct ServerRow {
    pub id: ServerId,
    pub name: String,
    pub origin: ServerOrigin,
    pub hostname: Option<String>,
    pub port: Option<i32>,
    pub username: Option<String>,
    pub os_type: Option<OsType>,
    pub protocol: Option<String>,
    pub auth_type: Option<AuthType>,
    pub key_file: Option<String>,
    pub passphrase_file: Option<String>,
    pub password_file: Option<String>,
    pub become_password_file: Option<String>,
    pub host_keys: Json<Vec<String>>,
    pub tags: Json<Vec<String>>,
    pub server_group: Option<String>,
    pub environment: Option<String>,
    /// Maintenance as an operator says; null: as declared.
    pub paused_override: Option<bool>,
    pub paused_by: Option<String>,
    pub paused_at: Option<Timestamp>,
    pub paused_reason: Option<String>,
    pub last_connection_test: Option<Timestamp>,
    pub last_connection_status: Option<ConnectionStatus>,
    pub last_connection_message: Option<String>,
    pub removed_at: Option<Timestamp>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub certificate_file: Option<String>,
    /// Name of the server through which this one is reached.
    pub bastion: Option<String>,
    /// How the last test went, part by part.
    pub last_connection_checks: Option<Json<Value>>,
}

impl ServerRow {
    /// The state of a server that a file declares; what the file says is not repeated here.
    pub fn declared(name: &str, now: Timestamp) -> Self {
        Self {
            id: ServerId::new(),
            name: name.to_owned(),
            origin: ServerOrigin::File,
            hostname: None,
            port: None,
            username: None,
            os_type: None,
            protocol: None,
            auth_type: None,
            key_file: None,
            passphrase_file: None,
            password_file: None,
            become_password_file: None,
            host_keys: Json(Vec::new()),
            tags: Json(Vec::new()),
            server_group: None,
            environment: None,
            paused_override: None,
            paused_by: None,
            paused_at: None,
            paused_reason: None,
            last_connection_test: None,
            last_connection_status: None,
            last_connection_message: None,
            removed_at: None,
            created_by: "servers.yml".to_owned(),
            created_at: now,
            updated_at: now,
            certificate_file: None,
            bastion: None,
            last_connection_checks: None,
        }
    }
}

/// Stores a new server; a known name is a conflict, also that of a removed one.
pub fn insert(db: &mut Db, row: &ServerRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; name, hostname, username, server_group, environment);
    each_backend!(db, c => diesel::insert_into(servers::table).values(row).execute(c))?;
    Ok(())
}

/// Writes all columns of a known server.
pub fn update(db: &mut Db, row: &ServerRow) -> Result<(), StoreError> {
    let row = &*cleaned!(
        row; name, hostname, username, server_group, environment, paused_reason, last_connection_message
    );
    let found = each_backend!(db, c => diesel::update(servers::table.find(row.id)).set(row).execute(c))?;
    if found == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// Makes sure that each server of the files has its row; a removed one of the same name comes back as the file's.
/// A server of the same name that the API made and that is not removed is a conflict.
pub fn declare(db: &mut Db, names: &[&str], now: Timestamp) -> Result<(), StoreError> {
    for name in names {
        match by_name(db, name)? {
            None => insert(db, &ServerRow::declared(name, now))?,
            Some(row) if row.origin == ServerOrigin::Api && row.removed_at.is_none() => {
                return Err(StoreError::Conflict(format!("server `{name}` is declared by a file and by the API")));
            }
            Some(row) if row.origin == ServerOrigin::File && row.removed_at.is_none() => {}
            Some(row) => {
                let created_at = row.created_at;
                update(db, &ServerRow { id: row.id, created_at, ..ServerRow::declared(name, now) })?;
            }
        }
    }
    // What no file declares any more is removed, with its history kept.
    each_backend!(db, c => diesel::update(servers::table)
        .filter(servers::origin.eq(ServerOrigin::File))
        .filter(servers::removed_at.is_null())
        .filter(diesel::dsl::not(servers::name.eq_any(names)))
        .set((servers::removed_at.eq(now), servers::updated_at.eq(now)))
        .execute(c))?;
    Ok(())
}

/// Maintenance as an operator says; `None` goes back to what is declared. `false` if the server is unknown.
pub fn set_paused(
    db: &mut Db,
    name: &str,
    paused: Option<bool>,
    by: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => diesel::update(servers::table)
        .filter(servers::name.eq(name))
        .filter(servers::removed_at.is_null())
        .set((
            servers::paused_override.eq(paused),
            servers::paused_by.eq(by),
            servers::paused_at.eq(now),
            servers::paused_reason.eq(reason),
            servers::updated_at.eq(now),
        ))
        .execute(c))?;
    Ok(found == 1)
}

/// How a connection test went, as a whole and part by part. `false` if the server is unknown.
pub fn record_test(
    db: &mut Db,
    name: &str,
    status: ConnectionStatus,
    message: &str,
    checks: Value,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let message = redact::text(&message.replace('\0', "\u{FFFD}")).into_owned();
    let checks = without_nul_json(&checks).map_err(|error| StoreError::Defect(error.to_string()))?;
    let checks = Some(Json(redact::json(checks)));
    let found = each_backend!(db, c => diesel::update(servers::table)
        .filter(servers::name.eq(name))
        .filter(servers::removed_at.is_null())
        .set((
            servers::last_connection_test.eq(now),
            servers::last_connection_status.eq(status),
            servers::last_connection_message.eq(&message),
            servers::last_connection_checks.eq(&checks),
        ))
        .execute(c))?;
    Ok(found == 1)
}

/// One server, also a removed one.
pub fn get(db: &mut Db, id: ServerId) -> Result<ServerRow, StoreError> {
    Ok(each_backend!(db, c => servers::table.find(id).select(ServerRow::as_select()).first(c))?)
}

/// One server, also a removed one.
pub fn by_name(db: &mut Db, name: &str) -> Result<Option<ServerRow>, StoreError> {
    Ok(each_backend!(db, c => servers::table
        .filter(servers::name.eq(name))
        .select(ServerRow::as_select())
        .first(c)
        .optional())?)
}

/// All servers that are not removed, by name.
pub fn list(db: &mut Db) -> Result<Vec<ServerRow>, StoreError> {
    Ok(each_backend!(db, c => servers::table
        .filter(servers::removed_at.is_null())
        .order(servers::name)
        .select(ServerRow::as_select())
        .load(c))?)
}
