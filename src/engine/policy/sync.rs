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
use crate::inventory::Server;
use crate::inventory::server::Draft as ServerDraft;
use crate::store::runbooks::{self, Loaded};
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
    let made = servers::list(db)?.into_iter().filter(is_made).filter_map(|row| server(&row)).collect();
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

fn is_made(row: &ServerRow) -> bool {
    row.origin == ServerOrigin::Api && row.removed_at.is_none()
}

/// The server of a row that a person made. One that no longer passes the checks is left out, so that nothing runs on it.
fn server(row: &ServerRow) -> Option<Server> {
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
        password_file: row.password_file.clone(),
        become_password_file: row.become_password_file.clone(),
        host_key: row.host_keys.0.clone(),
        tags: row.tags.0.clone(),
        group: row.server_group.clone(),
        environment: row.environment.clone(),
        bastion: None,
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
