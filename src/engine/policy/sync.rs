//! Recording what the files say in the database, in one transaction: a version for each distinct runbook, the triggers'
//! rows for listing, the servers' rows; and reading the servers that people made.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::ActiveRunbook;
use super::read::{Draft, RunbookFile};
use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::engine::keys;
use crate::id::ServerId;
use crate::inventory::Server;
use crate::inventory::draft::{Draft as ServerDraft, StoredSecrets};
use crate::secrets::sealed::sealed;
use crate::secrets::{Keyring, Place};
use crate::store::runbooks::{self, Loaded};
use crate::store::server_credentials::{self, CredentialsRow, FIELDS, TABLE};
use crate::store::servers::{self, ServerRow};
use crate::store::triggers::{self, TriggerRow};
use crate::store::{Db, ServerOrigin, StoreError, audit};

/// Records `draft`, answers with the runbooks' numbers and with the servers that the database adds to the files'.
pub(super) fn record(
    db: &mut Db,
    draft: &Draft,
    actor: &str,
    policy_version: &str,
    now: Timestamp,
) -> Result<(BTreeMap<String, ActiveRunbook>, Vec<Server>), StoreError> {
    let mut active = BTreeMap::new();
    for (name, file) in &draft.runbooks {
        active.insert(name.clone(), record_runbook(db, file, actor, policy_version, now)?);
    }
    let names: Vec<&str> = active.keys().map(String::as_str).collect();
    runbooks::mark_absent_but(db, &names, now)?;
    let declared: Vec<&str> = draft.servers.iter().map(|server| server.name.as_str()).collect();
    servers::declare(db, &declared, now)?;
    let made = made(db, keys::of(&draft.config))?;
    Ok((active, made))
}

fn record_runbook(
    db: &mut Db,
    file: &RunbookFile,
    actor: &str,
    policy_version: &str,
    now: Timestamp,
) -> Result<ActiveRunbook, StoreError> {
    let runbook = &file.runbook;
    let loaded = Loaded {
        name: runbook.name.clone(),
        content_hash: runbook.content_hash.clone(),
        yaml_content: runbook.source.clone(),
        path: file.path.display().to_string(),
        category: runbook.category.clone(),
        mode: runbook.mode,
        status: runbook.status,
        created_by: actor.to_owned(),
    };
    let summary = format!("loaded from {}", loaded.path);
    let recorded = runbooks::record(db, &loaded, &summary, now)?;
    let rows: Vec<TriggerRow> = (0_i32..)
        .zip(&runbook.triggers)
        .map(|(position, trigger)| TriggerRow {
            runbook_id: recorded.id,
            position,
            name: trigger.spec.name.clone(),
            priority: trigger.spec.priority,
            enabled: trigger.spec.enabled,
            cooldown_secs: trigger.spec.cooldown.and_then(|cooldown| i64::try_from(cooldown.as_secs()).ok()),
            last_triggered_at: None,
        })
        .collect();
    triggers::replace(db, recorded.id, &rows)?;
    if recorded.is_new {
        let payload = json!({
            "name": runbook.name, "version": recorded.version, "contentHash": runbook.content_hash, "path": loaded.path,
        });
        let event = NewEvent::of(EventKind::RunbookVersioned, actor, "runbook", runbook.name.clone(), payload);
        audit::append(db, &event, policy_version, now)?;
    }
    Ok(ActiveRunbook { id: recorded.id, version: recorded.version, runbook: Arc::clone(runbook) })
}

/// The servers that people made, with their secrets closed.
pub(in crate::engine) fn made(db: &mut Db, keys: Option<&Arc<Keyring>>) -> Result<Vec<Server>, StoreError> {
    let mut credentials: BTreeMap<ServerId, CredentialsRow> =
        server_credentials::list(db)?.into_iter().map(|row| (row.server_id, row)).collect();
    let rows = servers::list(db)?.into_iter().filter(|row| row.origin == ServerOrigin::Api);
    Ok(rows.filter_map(|row| server(&row, credentials.remove(&row.id), keys)).collect())
}

/// The server of a row that a person made. One that no longer passes the checks is left out, so that nothing runs on it.
fn server(row: &ServerRow, credentials: Option<CredentialsRow>, keys: Option<&Arc<Keyring>>) -> Option<Server> {
    let credentials = credentials.unwrap_or_else(|| CredentialsRow::empty(row.id, "", row.created_at));
    let secret = |field: &'static str, text: &Option<String>| {
        text.as_deref().map(|text| sealed(keys, Place::new(TABLE, row.id, field), text))
    };
    let [key, passphrase, password, become_password] = FIELDS;
    let draft = ServerDraft {
        name: Some(row.name.clone()),
        hostname: row.hostname.clone(),
        port: row.port.map(|port| port.to_string()),
        username: row.username.clone(),
        os_type: row.os_type.map(|os| os.as_str().to_owned()),
        protocol: row.protocol.clone(),
        auth_type: row.auth_type.map(|auth| auth.as_str().to_owned()),
        key_file: row.key_file.clone(),
        passphrase_file: row.passphrase_file.clone(),
        certificate_file: row.certificate_file.clone(),
        password_file: row.password_file.clone(),
        become_password_file: row.become_password_file.clone(),
        stored: StoredSecrets {
            key: secret(key, &credentials.ssh_key_encrypted),
            passphrase: secret(passphrase, &credentials.passphrase_encrypted),
            password: secret(password, &credentials.password_encrypted),
            become_password: secret(become_password, &credentials.become_password_encrypted),
            certificate: credentials.certificate,
        },
        winrm_transport: credentials.winrm_transport.map(|transport| transport.as_str().to_owned()),
        winrm_use_ssl: credentials.winrm_use_ssl,
        winrm_cert_validation: credentials.winrm_cert_validation,
        domain: credentials.domain,
        host_key: row.host_keys.0.clone(),
        tags: row.tags.0.clone(),
        group: row.server_group.clone(),
        environment: row.environment.clone(),
        bastion: row.bastion.clone(),
        is_paused: false,
    };
    match draft.check(Path::new("/")) {
        Ok(server) => Some(server),
        Err(faults) => {
            let faults: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect();
            tracing::warn!(server = row.name, ?faults, "this server of the database cannot be used");
            None
        }
    }
}
