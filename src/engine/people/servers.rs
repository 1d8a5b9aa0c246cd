//! Servers made through the API, maintenance, and connection tests.
//!
//! A server's credential is the name of a file in the folder [`CREDENTIALS`] beside the configuration: an engineer who
//! could name any file of the engine's machine could have its content sent to a host of their own.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{ActError, Engine, Person, change, optional_reason, release};
use crate::audit::EventKind;
use crate::id::{ExecutionId, ServerId};
use crate::inventory::server::Draft;
use crate::inventory::{Auth, Server};
use crate::store::changes::{self, Changed};
use crate::store::servers::{self, ServerRow};
use crate::store::{AuthType, ConnectionStatus, Db, Json, ServerOrigin, StoreError, target_locks};
use crate::transport::probe::{Probe, probe};

/// Folder beside the configuration that holds what servers of the API log in with.
pub const CREDENTIALS: &str = "credentials";

/// Adds a server, or replaces what is known of one that the API made (`name` says which).
pub async fn put(engine: &Engine, draft: Draft, replaces: Option<String>, by: &Person) -> Result<ServerRow, ActError> {
    let base = credentials_folder(engine);
    let server = checked(draft, &base)?;
    let policy = engine.policy();
    let is_same = |name: &str| replaces.as_deref().is_some_and(|old| old.eq_ignore_ascii_case(name));
    if policy.servers.get(&server.name).is_some_and(|other| !is_same(&other.name)) {
        return Err(ActError::Conflict(format!("there is a server called `{}` already", server.name)));
    }
    let row = change(engine, by, move |db, author| {
        let known = match &replaces {
            Some(name) => match servers::by_name(db, name)?.filter(|row| row.removed_at.is_none()) {
                Some(row) if row.origin == ServerOrigin::File => return Ok(Err(declared(name))),
                Some(row) => Some(row),
                None => return Ok(Err(ActError::NotFound)),
            },
            None => servers::by_name(db, &server.name)?,
        };
        if let Some(known) = known.as_ref().filter(|row| row.removed_at.is_none())
            && let Some(refusal) = unsafe_change(db, known, &server)?
        {
            return Ok(Err(refusal));
        }
        let is_new = replaces.is_none();
        let row = row_of(&server, known.as_ref(), is_new, author);
        match &known {
            Some(_) => servers::update(db, &row)?,
            None => servers::insert(db, &row)?,
        }
        let kind = if is_new { EventKind::ServerCreated } else { EventKind::ServerUpdated };
        let payload = json!({
            "name": row.name, "hostname": row.hostname, "port": row.port, "username": row.username,
            "authType": row.auth_type, "hostKeys": row.host_keys.0, "tags": row.tags.0, "group": row.server_group,
        });
        author.record(db, kind, "server", &row.name, payload)?;
        changes::note(db, Changed::Servers)?;
        Ok(Ok(row))
    })
    .await?;
    refresh(engine, by).await?;
    Ok(row)
}

/// Why a server cannot be changed so: its lock and its history go by its name, and a run goes on at its address.
fn unsafe_change(db: &mut Db, known: &ServerRow, server: &Server) -> Result<Option<ActError>, StoreError> {
    if known.name != server.name {
        let message =
            format!("a server keeps its name: `{}` cannot become `{}`; add another one", known.name, server.name);
        return Ok(Some(ActError::Invalid(message)));
    }
    let is_moved = known.hostname.as_deref() != Some(&server.hostname) || known.port != Some(i32::from(server.port));
    match target_locks::holder(db, &known.name)? {
        Some(lock) if is_moved => Ok(Some(held(&known.name, lock.execution_id))),
        Some(_) | None => Ok(None),
    }
}

fn held(name: &str, execution: ExecutionId) -> ActError {
    ActError::Conflict(format!(
        "execution {execution} holds server `{name}`: wait for its end, or release it if it is stuck or interrupted"
    ))
}

/// Takes a server away that the API made; its history stays.
pub async fn remove(engine: &Engine, name: String, by: &Person) -> Result<(), ActError> {
    change(engine, by, move |db, author| {
        let row = servers::by_name(db, &name)?.filter(|row| row.removed_at.is_none());
        let Some(row) = row else { return Ok(Err(ActError::NotFound)) };
        if row.origin == ServerOrigin::File {
            return Ok(Err(declared(&name)));
        }
        if let Some(lock) = target_locks::holder(db, &name)? {
            return Ok(Err(held(&name, lock.execution_id)));
        }
        servers::update(db, &ServerRow { removed_at: Some(author.now), updated_at: author.now, ..row })?;
        author.record(db, EventKind::ServerDeleted, "server", &name, json!({"name": name}))?;
        changes::note(db, Changed::Servers)?;
        Ok(Ok(()))
    })
    .await?;
    refresh(engine, by).await
}

/// Puts a server under maintenance, or takes it out; over what its file says.
pub async fn set_maintenance(
    engine: &Engine,
    name: String,
    is_paused: bool,
    reason: Option<String>,
    by: &Person,
) -> Result<ServerRow, ActError> {
    let reason = optional_reason(reason)?;
    let is_declared = engine.policy().servers.get(&name).is_some_and(|server| server.is_paused);
    let row = change(engine, by, move |db, author| {
        let row = servers::by_name(db, &name)?.filter(|row| row.removed_at.is_none());
        let Some(row) = row else { return Ok(Err(ActError::NotFound)) };
        // What is so already stays as it is, with who did it and when; only another reason is news.
        let is_news = reason.is_some() && reason != row.paused_reason;
        if row.paused_override.unwrap_or(is_declared) == is_paused && !is_news {
            return Ok(Ok(row));
        }
        if !servers::set_paused(db, &name, Some(is_paused), &author.person.name, reason.as_deref(), author.now)? {
            return Ok(Err(ActError::NotFound));
        }
        let payload = json!({"name": name, "isPaused": is_paused, "reason": reason});
        author.record(db, EventKind::MaintenanceChanged, "server", &name, payload)?;
        release(db, author.now)?;
        servers::by_name(db, &name)?.map_or(Ok(Err(ActError::NotFound)), |row| Ok(Ok(row)))
    })
    .await?;
    engine.wake.everywhere();
    Ok(row)
}

/// Logs in and runs `true`, also as root; how that went is kept with the server.
pub async fn test(engine: &Engine, server: &Arc<Server>) -> Result<(ConnectionStatus, Probe), ActError> {
    let probe = probe(engine.transport.as_ref(), server).await;
    let status = if probe.is_success() { ConnectionStatus::Success } else { ConnectionStatus::Failed };
    let (name, told, now) = (server.name.clone(), probe.summary(), engine.clock.now());
    engine.store.write(move |db| servers::record_test(db, &name, status, &told, now)).await?;
    Ok((status, probe))
}

fn declared(name: &str) -> ActError {
    ActError::Conflict(format!("server `{name}` is declared in a file; change it there, and reload"))
}

/// Puts the changed inventory in force.
async fn refresh(engine: &Engine, by: &Person) -> Result<(), ActError> {
    match engine.refresh(&by.name).await {
        Ok(_) => {
            engine.wake.others();
            Ok(())
        }
        Err(error) => Err(ActError::Conflict(format!("the inventory cannot be put in force: {error}"))),
    }
}

fn credentials_folder(engine: &Engine) -> PathBuf {
    let config = &engine.policy().config.path;
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.join(CREDENTIALS);
    std::path::absolute(&folder).unwrap_or(folder)
}

fn checked(draft: Draft, base: &Path) -> Result<Server, ActError> {
    let files = [&draft.key_file, &draft.passphrase_file, &draft.password_file, &draft.become_password_file];
    for file in files.into_iter().flatten() {
        if !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
            let message = format!("`{file}` must be the name of a file in {} on the engine's machine", base.display());
            return Err(ActError::Invalid(message));
        }
    }
    draft.check(base).map_err(|faults| {
        let told = |fault: &crate::inventory::server::Fault| {
            let hint = fault.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
            format!("{}{hint}", fault.message)
        };
        ActError::Invalid(faults.iter().map(told).collect::<Vec<_>>().join("; "))
    })
}

fn row_of(server: &Server, known: Option<&ServerRow>, is_new: bool, author: &super::Author) -> ServerRow {
    let text = |path: &Path| path.display().to_string();
    let (auth_type, key_file, passphrase_file, password_file) = match &server.auth {
        Auth::Key { key_file, passphrase_file } => {
            (AuthType::Key, Some(text(key_file)), passphrase_file.as_deref().map(text), None)
        }
        Auth::Password { password_file } => (AuthType::Password, None, None, Some(text(password_file))),
        Auth::Agent => (AuthType::Agent, None, None, None),
    };
    let fresh = ServerRow::declared(&server.name, author.now);
    let kept = known.filter(|_| !is_new);
    ServerRow {
        id: known.map_or_else(ServerId::new, |row| row.id),
        origin: ServerOrigin::Api,
        hostname: Some(server.hostname.clone()),
        port: Some(i32::from(server.port)),
        username: Some(server.username.clone()),
        os_type: Some(server.os_type),
        protocol: Some("ssh".to_owned()),
        auth_type: Some(auth_type),
        key_file,
        passphrase_file,
        password_file,
        become_password_file: server.become_password_file.as_deref().map(text),
        host_keys: Json(server.host_keys.clone()),
        tags: Json(server.tags.clone()),
        server_group: server.group.clone(),
        environment: server.environment.clone(),
        paused_override: if server.is_paused { Some(true) } else { kept.and_then(|row| row.paused_override) },
        created_by: kept.map_or_else(|| author.person.name.clone(), |row| row.created_by.clone()),
        created_at: kept.map_or(author.now, |row| row.created_at),
        ..fresh
    }
}
