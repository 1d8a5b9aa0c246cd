//! Servers made through the API, maintenance, and connection tests.
//!
//! A server's credential is stored sealed (`credentials`), or is the name of a file in the folder [`CREDENTIALS`] beside the configuration: an engineer who
//! could name any file of the engine's machine could have its content sent to a host of their own.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::credentials::{Change, GivenCredentials};
use super::{ActError, Author, Engine, Person, change, optional_reason, reach, release};
use crate::audit::{EventKind, NewEvent};
use crate::engine::keys;
use crate::engine::policy::{self, Policy};
use crate::id::{ExecutionId, ServerId};
use crate::inventory::draft::{Draft, Fault};
use crate::inventory::server::Certificate;
use crate::inventory::{Auth, Inventory, Protocol, SecretAt, Server};
use crate::secrets::Keyring;
use crate::store::changes::{self, Changed};
use crate::store::server_credentials::{self, CredentialsRow};
use crate::store::servers::{self, ServerRow};
use crate::store::{AuthType, ConnectionStatus, Db, Json, ServerOrigin, StoreError, audit, target_locks};
use crate::transport::probe::{Probe, ProbeState, probe};

/// Folder beside the configuration that holds what servers of the API log in with.
pub const CREDENTIALS: &str = "credentials";

/// Adds a server, or replaces what is known of one that the API made (`name` says which). Credentials that are not given stay
/// as they are.
pub async fn put(
    engine: &Engine,
    draft: Draft,
    given: GivenCredentials,
    replaces: Option<String>,
    by: &Person,
) -> Result<ServerRow, ActError> {
    let base = credentials_folder(engine);
    may_name(&draft, &base)?;
    let given = given.checked().await?;
    let policy = engine.policy();
    let keys = keys::of(&policy.config).cloned();
    let row = change(engine, by, move |db, author| {
        let (known, credentials) = match &replaces {
            Some(name) => match find(db, name)? {
                Ok(found) => (Some(found.row), found.credentials),
                Err(refusal) => return Ok(Err(refusal)),
            },
            None => (servers::by_name(db, draft.name.as_deref().unwrap_or_default())?, None),
        };
        let id = known.as_ref().map_or_else(ServerId::new, |row| row.id);
        let before = credentials.clone();
        let kept = credentials.unwrap_or_else(|| CredentialsRow::empty(id, &author.person.name, author.now));
        let mut changed = match Change::new(kept, before, given, keys.as_deref(), author) {
            Ok(changed) => changed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        changed.drop_unused(draft.auth_type.as_deref(), &draft);
        let draft = Draft { stored: changed.stored(keys.as_ref()), ..draft };
        let server = match checked(draft.clone(), &base) {
            Ok(server) => server,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let living = known.as_ref().filter(|row| row.removed_at.is_none());
        let replaced = living.filter(|_| replaces.is_some());
        if let Err(refusal) = reach::may_put(&author.person, &policy, &draft, &server, replaced) {
            return Ok(Err(refusal));
        }
        if replaces.is_none() && (living.is_some() || policy.servers.get(&server.name).is_some()) {
            let message = format!("there is a server called `{}` already", server.name);
            return Ok(Err(ActError::Conflict(message)));
        }
        if let Some(known) = living {
            if let Some(refusal) = unsafe_change(db, known, &server)? {
                return Ok(Err(refusal));
            }
            if let Err(refusal) = changed.may_keep(known, &server) {
                return Ok(Err(refusal));
            }
        }
        let is_new = replaces.is_none();
        let row = row_of(&server, id, known.as_ref(), is_new, author);
        winrm_of(&server, &mut changed.row);
        if known.is_none() {
            servers::insert(db, &row)?;
        }
        let kind = if is_new { EventKind::ServerCreated } else { EventKind::ServerUpdated };
        write(db, &policy, keys.as_ref(), row, changed, kind, author)
    })
    .await?;
    refresh(engine, by).await?;
    Ok(row)
}

/// A server that the API made.
pub(super) struct Found {
    pub(super) row: ServerRow,
    pub(super) credentials: Option<CredentialsRow>,
}

/// The server called `name`, if it may be changed here.
pub(super) fn find(db: &mut Db, name: &str) -> Result<Result<Found, ActError>, StoreError> {
    match servers::by_name(db, name)?.filter(|row| row.removed_at.is_none()) {
        Some(row) if row.origin == ServerOrigin::File => Ok(Err(declared(name))),
        Some(row) => {
            let credentials = server_credentials::get(db, row.id)?;
            Ok(Ok(Found { row, credentials }))
        }
        None => Ok(Err(ActError::NotFound)),
    }
}

/// Writes a server and its credentials, with what the audit log is told, if the inventory holds together with them.
pub(super) fn write(
    db: &mut Db,
    policy: &Policy,
    keys: Option<&Arc<Keyring>>,
    row: ServerRow,
    changed: Change,
    kind: EventKind,
    author: &Author,
) -> Result<Result<ServerRow, ActError>, StoreError> {
    let credentials = match changed.settled(keys.map(Arc::as_ref)) {
        Ok(credentials) => credentials,
        Err(refusal) => return Err(give_up(author, refusal)),
    };
    servers::update(db, &row)?;
    match credentials {
        Some(credentials) => server_credentials::put(db, &credentials)?,
        None => drop(server_credentials::delete(db, row.id)?),
    }
    if let Err(refusal) = holds_together(db, policy, keys, &row.name)? {
        return Err(give_up(author, refusal));
    }
    let payload = json!({
        "name": row.name, "hostname": row.hostname, "port": row.port, "username": row.username, "protocol": row.protocol,
        "authType": row.auth_type, "hostKeys": row.host_keys.0, "tags": row.tags.0, "group": row.server_group,
        "bastion": row.bastion,
    });
    author.record(db, kind, "server", &row.name, payload)?;
    if let Some(told) = changed.told(&row.name) {
        author.record(db, EventKind::CredentialsChanged, "server", &row.name, told)?;
    }
    changes::note(db, Changed::Servers)?;
    Ok(Ok(row))
}

/// Takes everything of this transaction back, and says why.
fn give_up(author: &Author, refusal: ActError) -> StoreError {
    let message = refusal.to_string();
    author.refuse(refusal);
    StoreError::GivenUp(message)
}

/// Whether files and database, as they are now, make an inventory in which `name` can be used.
fn holds_together(
    db: &mut Db,
    policy: &Policy,
    keys: Option<&Arc<Keyring>>,
    name: &str,
) -> Result<Result<(), ActError>, StoreError> {
    let made = policy::made(db, keys)?;
    let draft = policy.draft();
    let all = draft.servers.iter().cloned().chain(made);
    Ok(match Inventory::new(all) {
        Err(error) => Err(ActError::Conflict(error.to_string())),
        Ok(inventory) if inventory.get(name).is_none() => Err(ActError::Invalid(format!(
            "server `{name}` lacks what its login needs: give it a key, a password or an agent"
        ))),
        Ok(_) => Ok(()),
    })
}

/// Given credentials say how to log in from now on: a file that stood for the same goes.
pub(super) fn follow_credentials(row: &mut ServerRow, changed: &mut Change) {
    let given = changed.given().clone();
    if given.private_key.is_set() {
        (row.auth_type, row.key_file, row.passphrase_file) = (Some(AuthType::Key), None, None);
        (row.password_file, changed.row.password_encrypted) = (None, None);
        row.certificate_file = None;
    } else if given.password.is_set() {
        (row.auth_type, row.password_file) = (Some(AuthType::Password), None);
        (row.key_file, row.passphrase_file, row.certificate_file) = (None, None, None);
        changed.row.ssh_key_encrypted = None;
        changed.row.passphrase_encrypted = None;
        changed.row.certificate = None;
    }
    if given.certificate.is_set() {
        row.certificate_file = None;
    }
    if given.become_password.is_set() {
        row.become_password_file = None;
    }
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
    let policy = engine.policy();
    change(engine, by, move |db, author| {
        let row = servers::by_name(db, &name)?.filter(|row| row.removed_at.is_none());
        let Some(row) = row else { return Ok(Err(ActError::NotFound)) };
        if row.origin == ServerOrigin::File {
            return Ok(Err(declared(&name)));
        }
        if let Err(refusal) = reach::may_change(&author.person, row.server_group.as_deref()) {
            return Ok(Err(refusal));
        }
        if let Some(lock) = target_locks::holder(db, &name)? {
            return Ok(Err(held(&name, lock.execution_id)));
        }
        server_credentials::delete(db, row.id)?;
        servers::update(db, &ServerRow { removed_at: Some(author.now), updated_at: author.now, ..row })?;
        let draft = policy.draft();
        let left = draft.servers.iter().cloned().chain(policy::made(db, keys::of(&policy.config))?);
        if let Err(error) = Inventory::new(left) {
            return Err(give_up(author, ActError::Conflict(error.to_string())));
        }
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
    let policy = engine.policy();
    let server = policy.servers.get(&name).ok_or(ActError::NotFound)?;
    // Everybody who sees it may stop what runs by itself there; to let it run again takes more.
    if !is_paused {
        reach::may_change(by, server.group.as_deref())?;
    }
    let is_declared = server.is_paused;
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
pub async fn test(engine: &Engine, server: &Arc<Server>, by: &Person) -> Result<(ConnectionStatus, Probe), ActError> {
    reach::may_change(by, server.group.as_deref())?;
    let probe = probe(engine.transport.as_ref(), server).await;
    let status = if probe.is_success() { ConnectionStatus::Success } else { ConnectionStatus::Failed };
    let (name, told) = (server.name.clone(), probe.summary());
    let checks: Vec<_> = probe
        .checks
        .iter()
        .map(|check| json!({ "part": check.part, "state": check.state, "message": check.message }))
        .collect();
    let failed = probe.checks.iter().find(|check| check.state == ProbeState::Failed).map(|check| check.part);
    // Nothing that a gate looks at: no turn is taken.
    let (by, policy_version, now) = (by.clone(), engine.policy().version.clone(), engine.clock.now());
    engine
        .store
        .write(move |db| {
            servers::record_test(db, &name, status, &told, checks.into(), now)?;
            let payload = json!({ "name": name, "status": status, "failed": failed });
            let event = NewEvent::of(EventKind::ServerTested, by.name, "server", name, payload);
            let event = NewEvent { ip_address: by.ip_address, ..event };
            audit::append(db, &event, &policy_version, now)
        })
        .await?;
    Ok((status, probe))
}

fn declared(name: &str) -> ActError {
    ActError::Conflict(format!("server `{name}` is declared in a file; change it there, and reload"))
}

/// Puts the changed inventory in force.
pub(super) async fn refresh(engine: &Engine, by: &Person) -> Result<(), ActError> {
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

/// Files that a person names lie in the folder of credentials.
fn may_name(draft: &Draft, base: &Path) -> Result<(), ActError> {
    for file in draft.files() {
        if !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
            let message = format!("`{file}` must be the name of a file in {} on the engine's machine", base.display());
            return Err(ActError::Invalid(message));
        }
    }
    Ok(())
}

fn checked(draft: Draft, base: &Path) -> Result<Server, ActError> {
    draft.check(base).map_err(|faults| {
        let told = |fault: &Fault| {
            let hint = fault.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
            format!("{}{hint}", fault.message)
        };
        ActError::Invalid(faults.iter().map(told).collect::<Vec<_>>().join("; "))
    })
}

fn row_of(server: &Server, id: ServerId, known: Option<&ServerRow>, is_new: bool, author: &Author) -> ServerRow {
    let text = |path: &Path| path.display().to_string();
    let file = |at: &SecretAt| match at {
        SecretAt::File(path) => Some(text(path)),
        SecretAt::Stored(_) => None,
    };
    let fresh = ServerRow::declared(&server.name, author.now);
    let kept = known.filter(|_| !is_new);
    let mut row = ServerRow {
        id,
        origin: ServerOrigin::Api,
        hostname: Some(server.hostname.clone()),
        port: Some(i32::from(server.port)),
        username: Some(server.username.clone()),
        os_type: Some(server.os_type),
        protocol: Some(server.protocol.as_str().to_owned()),
        auth_type: Some(AuthType::Agent),
        become_password_file: server.become_password.as_ref().and_then(file),
        bastion: server.bastion.clone(),
        host_keys: Json(server.host_keys.clone()),
        tags: Json(server.tags.clone()),
        server_group: server.group.clone(),
        environment: server.environment.clone(),
        paused_override: if server.is_paused { Some(true) } else { kept.and_then(|row| row.paused_override) },
        created_by: kept.map_or_else(|| author.person.name.clone(), |row| row.created_by.clone()),
        created_at: kept.map_or(author.now, |row| row.created_at),
        ..fresh
    };
    match &server.auth {
        Auth::Key { key, passphrase, certificate } => {
            row.auth_type = Some(AuthType::Key);
            row.key_file = file(key);
            row.passphrase_file = passphrase.as_ref().and_then(file);
            row.certificate_file = match certificate {
                Some(Certificate::File(path)) => Some(text(path)),
                Some(Certificate::Text(_)) | None => None,
            };
        }
        Auth::Password { password } => {
            row.auth_type = Some(AuthType::Password);
            row.password_file = file(password);
        }
        Auth::Agent => {}
    }
    row
}

/// What WinRM needs to know stands beside the credentials, as in the seed.
fn winrm_of(server: &Server, row: &mut CredentialsRow) {
    let winrm = match &server.protocol {
        Protocol::Winrm(winrm) => Some(winrm),
        Protocol::Ssh => None,
    };
    row.winrm_transport = winrm.map(|winrm| winrm.transport);
    row.winrm_use_ssl = winrm.map(|winrm| winrm.use_ssl);
    row.winrm_cert_validation = winrm.map(|winrm| winrm.cert_validation);
    row.domain = winrm.and_then(|winrm| winrm.domain.clone());
}
