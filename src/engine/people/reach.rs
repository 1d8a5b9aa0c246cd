//! Which servers somebody with scopes may see, use and change.
//!
//! A scope names groups of servers. To see a server takes `view` in its group, to test it, to change it and to end its
//! maintenance `execute`, with the role that the route asks for. Files and the agent belong to no group: a server made by
//! somebody with scopes brings its own credentials, and its jump host is one that the person sees.

use super::{ActError, Person};
use crate::engine::Policy;
use crate::inventory::draft::Draft;
use crate::inventory::resolve::InventoryError;
use crate::inventory::{Auth, Server};
use crate::rights::Act;
use crate::store::servers::ServerRow;

/// A server of `group` is there for `person`.
pub fn is_there(person: &Person, group: Option<&str>) -> bool {
    person.rights.may_at(Act::View, group)
}

/// Refuses unless `person` may use and change servers of `group`.
pub(super) fn may_change(person: &Person, group: Option<&str>) -> Result<(), ActError> {
    if person.rights.may_at(Act::Execute, group) {
        return Ok(());
    }
    let of = group.map_or("servers without a group".to_owned(), |group| format!("servers of group `{group}`"));
    Err(ActError::Forbidden(format!("the rights of {} do not permit to use or change {of}", person.name)))
}

/// Refuses unless `person` may make `server` of what `known` was.
pub(super) fn may_put(
    person: &Person,
    policy: &Policy,
    draft: &Draft,
    server: &Server,
    known: Option<&ServerRow>,
) -> Result<(), ActError> {
    if person.rights.is_unlimited() {
        return Ok(());
    }
    if let Some(known) = known {
        may_change(person, known.server_group.as_deref())?;
    }
    may_change(person, server.group.as_deref())?;
    if draft.files().next().is_some() || matches!(server.auth, Auth::Agent) {
        return Err(ActError::Forbidden(format!(
            "the rights of {} are narrowed to some servers, and files and the agent may log in to others: give the key or \
             the password itself",
            person.name
        )));
    }
    match &server.bastion {
        // What is out of reach is not there: the same words as for what does not exist.
        Some(name) if policy.servers.get(name).is_none_or(|bastion| !is_there(person, bastion.group.as_deref())) => {
            let error = InventoryError::UnknownBastion { server: server.name.clone(), bastion: name.clone() };
            Err(ActError::Conflict(error.to_string()))
        }
        Some(_) | None => Ok(()),
    }
}
