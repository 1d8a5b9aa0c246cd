//! What servers that the API made are logged in to with. Secrets are envelopes: nothing here can open them.

use diesel::prelude::*;

use super::schema::server_credentials;
use super::types::cleaned;
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::ServerId;
use crate::inventory::server::WinrmTransport;

/// Name of the table, to which envelopes are bound.
pub const TABLE: &str = "server_credentials";

/// The credentials of one server.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = server_credentials, treat_none_as_null = true)]
pub struct CredentialsRow {
    pub server_id: ServerId,
    /// The master key under which all secrets of this row are sealed.
    pub key_id: Option<String>,
    pub ssh_key_encrypted: Option<String>,
    pub passphrase_encrypted: Option<String>,
    pub password_encrypted: Option<String>,
    pub become_password_encrypted: Option<String>,
    /// OpenSSH's, of the key; no secret.
    pub certificate: Option<String>,
    pub winrm_transport: Option<WinrmTransport>,
    pub winrm_use_ssl: Option<bool>,
    pub winrm_cert_validation: Option<bool>,
    pub domain: Option<String>,
    pub updated_by: String,
    pub updated_at: Timestamp,
}

/// The columns that hold envelopes.
pub const FIELDS: [&str; 4] =
    ["ssh_key_encrypted", "passphrase_encrypted", "password_encrypted", "become_password_encrypted"];

impl CredentialsRow {
    /// A row without anything.
    pub fn empty(server_id: ServerId, by: &str, now: Timestamp) -> Self {
        Self {
            server_id,
            key_id: None,
            ssh_key_encrypted: None,
            passphrase_encrypted: None,
            password_encrypted: None,
            become_password_encrypted: None,
            certificate: None,
            winrm_transport: None,
            winrm_use_ssl: None,
            winrm_cert_validation: None,
            domain: None,
            updated_by: by.to_owned(),
            updated_at: now,
        }
    }

    /// The envelopes, with the columns in which they stand.
    pub fn secrets(&mut self) -> impl Iterator<Item = (&'static str, &mut String)> {
        let [key, passphrase, password, become_password] = FIELDS;
        [
            (key, &mut self.ssh_key_encrypted),
            (passphrase, &mut self.passphrase_encrypted),
            (password, &mut self.password_encrypted),
            (become_password, &mut self.become_password_encrypted),
        ]
        .into_iter()
        .filter_map(|(field, text)| text.as_mut().map(|text| (field, text)))
    }
}

/// Writes the credentials of a server, whether there were some or not.
pub fn put(db: &mut Db, row: &CredentialsRow) -> Result<(), StoreError> {
    let row = &*cleaned!(row; domain, updated_by);
    each_backend!(db, c => diesel::insert_into(server_credentials::table)
        .values(row)
        .on_conflict(server_credentials::server_id)
        .do_update()
        .set(row)
        .execute(c))?;
    Ok(())
}

/// Takes the credentials of a server away. `false` if it had none.
pub fn delete(db: &mut Db, server: ServerId) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => diesel::delete(server_credentials::table.find(server)).execute(c))?;
    Ok(found == 1)
}

/// The credentials of one server.
pub fn get(db: &mut Db, server: ServerId) -> Result<Option<CredentialsRow>, StoreError> {
    Ok(each_backend!(db, c => server_credentials::table
        .find(server)
        .select(CredentialsRow::as_select())
        .first(c)
        .optional())?)
}

/// All credentials.
pub fn list(db: &mut Db) -> Result<Vec<CredentialsRow>, StoreError> {
    Ok(each_backend!(db, c => server_credentials::table
        .order(server_credentials::server_id)
        .select(CredentialsRow::as_select())
        .load(c))?)
}

/// Those under another master key than `key_id`, by server, beginning behind `after`; at most `limit`.
pub fn under_others(
    db: &mut Db,
    key_id: &str,
    after: Option<ServerId>,
    limit: i64,
) -> Result<Vec<CredentialsRow>, StoreError> {
    Ok(each_backend!(db, c => {
        let mut query = server_credentials::table
            .filter(server_credentials::key_id.ne(key_id))
            .select(CredentialsRow::as_select())
            .into_boxed();
        if let Some(after) = after {
            query = query.filter(server_credentials::server_id.gt(after));
        }
        query.order(server_credentials::server_id).limit(limit).load(c)
    })?)
}

/// How many servers have secrets under each key.
pub fn count_by_key(db: &mut Db) -> Result<Vec<(String, i64)>, StoreError> {
    let rows: Vec<(Option<String>, i64)> = each_backend!(db, c => server_credentials::table
        .filter(server_credentials::key_id.is_not_null())
        .group_by(server_credentials::key_id)
        .select((server_credentials::key_id, diesel::dsl::count_star()))
        .load(c))?;
    Ok(rows.into_iter().filter_map(|(key, count)| Some((key?, count))).collect())
}
