//! What servers of the API are logged in to with: given by people, sealed here, never given back.
//!
//! Whoever may change a server's host key could have its password sent to a host of their own. So a password that is stored
//! is only kept while no host key is added; else it has to be given again.

use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use super::servers::{self as people_servers, Found};
use super::{ActError, Author, Engine, Person, change, reach};
use crate::audit::EventKind;
use crate::config::Secret;
use crate::engine::keys::{self, NO_KEY};
use crate::inventory::draft::{Draft, StoredSecrets};
use crate::inventory::{SecretAt, Server};
use crate::limits;
use crate::secrets::sealed::sealed;
use crate::secrets::{Envelope, Keyring, Place};
use crate::store::server_credentials::{CredentialsRow, FIELDS, TABLE};
use crate::store::servers::ServerRow;
use crate::transport::ssh::{check_certificate, check_private_key};

/// One credential in a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Given<T> {
    /// Not named: it stays as it is.
    #[default]
    Kept,
    /// `null`: it is taken away.
    Removed,
    /// It becomes this.
    Set(T),
}

impl<T> Given<T> {
    fn is_kept(&self) -> bool {
        matches!(self, Self::Kept)
    }

    fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Kept | Self::Removed => None,
        }
    }
}

/// The credentials in a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GivenCredentials {
    pub private_key: Given<Secret>,
    pub passphrase: Given<Secret>,
    pub password: Given<Secret>,
    pub become_password: Given<Secret>,
    pub certificate: Given<String>,
}

impl GivenCredentials {
    /// Looks at what was given, before anything is written. A new key brings its own passphrase and certificate, or none.
    pub(super) async fn checked(mut self) -> Result<Self, ActError> {
        if self.private_key.set().is_some() {
            if self.passphrase.is_kept() {
                self.passphrase = Given::Removed;
            }
            if self.certificate.is_kept() {
                self.certificate = Given::Removed;
            }
        }
        for (name, secret) in self.secrets() {
            let Given::Set(secret) = secret else { continue };
            let text = secret.expose();
            if text.is_empty() || text.len() > limits::CREDENTIAL_BYTES_MAX || text.contains('\0') {
                let most = limits::CREDENTIAL_BYTES_MAX;
                return Err(ActError::Invalid(format!("`{name}` must have 1 to {most} bytes, none of them NUL")));
            }
            if name != "private_key" && text.trim_end_matches(['\r', '\n']).contains('\n') {
                return Err(ActError::Invalid(format!("`{name}` must be one line")));
            }
        }
        if let Some(text) = self.certificate.set() {
            if text.len() > limits::CREDENTIAL_BYTES_MAX {
                return Err(ActError::Invalid("`certificate` is too long".to_owned()));
            }
            check_certificate(text).map_err(|problem| ActError::Invalid(format!("`certificate`: {problem}")))?;
        }
        if let Some(key) = self.private_key.set().cloned() {
            let passphrase = self.passphrase.set().cloned();
            // bcrypt takes its time.
            let check = move || check_private_key(key.expose(), passphrase.as_ref().map(Secret::expose));
            let checked = tokio::task::spawn_blocking(check).await;
            checked.unwrap_or_else(|error| Err(error.to_string())).map_err(ActError::Invalid)?;
        }
        Ok(self)
    }

    /// None was named.
    pub fn is_empty(&self) -> bool {
        self.certificate.is_kept() && self.secrets().into_iter().all(|(_, secret)| secret.is_kept())
    }

    fn secrets(&self) -> [(&'static str, &Given<Secret>); 4] {
        [
            ("private_key", &self.private_key),
            ("passphrase", &self.passphrase),
            ("password", &self.password),
            ("become_password", &self.become_password),
        ]
    }

    /// Names of what is set and of what is taken away, for the audit log.
    fn names(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let (mut set, mut removed) = (Vec::new(), Vec::new());
        let certificate = match &self.certificate {
            Given::Kept => Given::Kept,
            Given::Removed => Given::Removed,
            Given::Set(_) => Given::Set(Secret::new(String::new())),
        };
        for (name, given) in self.secrets().into_iter().chain([("certificate", &certificate)]) {
            match given {
                Given::Kept => {}
                Given::Removed => removed.push(name),
                Given::Set(_) => set.push(name),
            }
        }
        (set, removed)
    }
}

/// What becomes of a server's credentials.
pub(super) struct Change {
    pub(super) row: CredentialsRow,
    given: GivenCredentials,
    before: Option<CredentialsRow>,
}

impl Change {
    /// Lays what was given over what is stored.
    pub(super) fn new(
        mut row: CredentialsRow,
        before: Option<CredentialsRow>,
        given: GivenCredentials,
        keys: Option<&Keyring>,
        author: &Author,
    ) -> Result<Self, ActError> {
        let id = row.server_id;
        let mut columns = [
            &mut row.ssh_key_encrypted,
            &mut row.passphrase_encrypted,
            &mut row.password_encrypted,
            &mut row.become_password_encrypted,
        ];
        for ((column, field), (_, secret)) in columns.iter_mut().zip(FIELDS).zip(given.secrets()) {
            match secret {
                Given::Kept => {}
                Given::Removed => **column = None,
                Given::Set(secret) => {
                    let keys = keys.ok_or_else(|| ActError::Conflict(NO_KEY.to_owned()))?;
                    let text = Zeroizing::new(secret.expose().as_bytes().to_vec());
                    let envelope = Envelope::seal(keys, &Place::new(TABLE, id, field), &text);
                    **column = Some(envelope.map_err(|error| ActError::Invalid(error.to_string()))?.to_string());
                }
            }
        }
        match &given.certificate {
            Given::Kept => {}
            Given::Removed => row.certificate = None,
            Given::Set(text) => row.certificate = Some(text.trim().to_owned()),
        }
        row.updated_by.clone_from(&author.person.name);
        row.updated_at = author.now;
        Ok(Self { row, given, before })
    }

    /// Drops what a server of this kind does not use and nobody has just given: it was another login's.
    pub(super) fn drop_unused(&mut self, auth_type: Option<&str>, draft: &Draft) {
        let uses = |kind: &str| auth_type.is_none_or(|auth_type| auth_type == kind);
        let (given, row) = (&self.given, &mut self.row);
        if (!uses("key") || draft.key_file.is_some()) && given.private_key.set().is_none() {
            row.ssh_key_encrypted = None;
            if given.passphrase.set().is_none() {
                row.passphrase_encrypted = None;
            }
            if given.certificate.set().is_none() {
                row.certificate = None;
            }
        }
        if (!uses("password") || draft.password_file.is_some()) && given.password.set().is_none() {
            row.password_encrypted = None;
        }
        if draft.become_password_file.is_some() && given.become_password.set().is_none() {
            row.become_password_encrypted = None;
        }
    }

    /// A password stays while no host key is added.
    pub(super) fn may_keep(&self, before: &ServerRow, after: &Server) -> Result<(), ActError> {
        let key = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let known: Vec<String> = before.host_keys.0.iter().map(|line| key(line)).collect();
        if after.host_keys.iter().all(|line| known.contains(&key(line))) {
            return Ok(());
        }
        let kept = [
            ("password", &self.given.password, &self.row.password_encrypted),
            ("become_password", &self.given.become_password, &self.row.become_password_encrypted),
        ];
        match kept.iter().find(|(_, given, column)| given.is_kept() && column.is_some()) {
            None => Ok(()),
            Some((name, ..)) => Err(ActError::Invalid(format!(
                "a host key is added, so `{name}` has to be given again (or taken away with null): whoever changes a host key \
                 could have what is stored sent to another host"
            ))),
        }
    }

    /// The secrets, closed, for the check of the server as a whole.
    pub(super) fn stored(&self, keys: Option<&Arc<Keyring>>) -> StoredSecrets {
        let secret = |field: &'static str, text: &Option<String>| -> Option<SecretAt> {
            text.as_deref().map(|text| sealed(keys, Place::new(TABLE, self.row.server_id, field), text))
        };
        let [key, passphrase, password, become_password] = FIELDS;
        StoredSecrets {
            key: secret(key, &self.row.ssh_key_encrypted),
            passphrase: secret(passphrase, &self.row.passphrase_encrypted),
            password: secret(password, &self.row.password_encrypted),
            become_password: secret(become_password, &self.row.become_password_encrypted),
            certificate: self.row.certificate.clone(),
        }
    }

    /// Puts all secrets of the row under one key, and answers the row if it holds anything.
    pub(super) fn settled(&self, keys: Option<&Keyring>) -> Result<Option<CredentialsRow>, ActError> {
        let mut row = self.row.clone();
        let id = row.server_id;
        let mut key_id = None;
        for (field, text) in row.secrets() {
            let keys = keys.ok_or_else(|| ActError::Conflict(NO_KEY.to_owned()))?;
            let envelope =
                text.parse::<Envelope>().and_then(|sealed| sealed.rewrap(keys, &Place::new(TABLE, id, field)));
            let envelope = envelope.map_err(|error| {
                ActError::Conflict(format!(
                    "`{field}` cannot be kept: {error}; give it again, or take it away with null"
                ))
            })?;
            *text = envelope.to_string();
            key_id = Some(envelope.key_id);
        }
        row.key_id = key_id;
        let empty =
            CredentialsRow { updated_by: row.updated_by.clone(), ..CredentialsRow::empty(id, "", row.updated_at) };
        Ok(Some(row).filter(|row| *row != empty))
    }

    /// What the audit log is told; `None` if nothing of it was changed.
    pub(super) fn told(&self, name: &str) -> Option<serde_json::Value> {
        let (set, mut removed) = self.given.names();
        if let Some(before) = &self.before {
            let columns = |row: &CredentialsRow| {
                [
                    ("private_key", row.ssh_key_encrypted.is_some()),
                    ("passphrase", row.passphrase_encrypted.is_some()),
                    ("password", row.password_encrypted.is_some()),
                    ("become_password", row.become_password_encrypted.is_some()),
                    ("certificate", row.certificate.is_some()),
                ]
            };
            removed = columns(before)
                .into_iter()
                .zip(columns(&self.row))
                .filter_map(|((name, was), (_, is))| (was && !is).then_some(name))
                .collect();
        } else {
            removed.clear();
        }
        (!set.is_empty() || !removed.is_empty()).then(|| json!({ "server": name, "set": set, "removed": removed }))
    }
}

/// Changes what a server is logged in to with, and nothing else of it.
pub async fn set(engine: &Engine, name: String, given: GivenCredentials, by: &Person) -> Result<ServerRow, ActError> {
    if given.is_empty() {
        return Err(ActError::Invalid(
            "name what to change: private_key, passphrase, certificate, password, become_password".to_owned(),
        ));
    }
    let given = given.checked().await?;
    let policy = engine.policy();
    let keys = keys::of(&policy.config).cloned();
    let row = change(engine, by, move |db, author| {
        let Found { row, credentials } = match people_servers::find(db, &name)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = reach::may_change(&author.person, row.server_group.as_deref()) {
            return Ok(Err(refusal));
        }
        let before = credentials.clone();
        let credentials = credentials.unwrap_or_else(|| CredentialsRow::empty(row.id, &author.person.name, author.now));
        let mut changed = match Change::new(credentials, before, given, keys.as_deref(), author) {
            Ok(changed) => changed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // What is given decides how to log in from now on; a file that stood there goes.
        let mut row = row;
        people_servers::follow_credentials(&mut row, &mut changed);
        people_servers::write(db, &policy, keys.as_ref(), row, changed, EventKind::ServerUpdated, author)
    })
    .await?;
    people_servers::refresh(engine, by).await?;
    Ok(row)
}

impl Change {
    /// What was just given, for [`people_servers::follow_credentials`].
    pub(super) fn given(&self) -> &GivenCredentials {
        &self.given
    }
}

impl<T> Given<T> {
    pub(super) fn is_set(&self) -> bool {
        self.set().is_some()
    }
}
