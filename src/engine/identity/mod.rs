//! Who somebody is: users, their passwords, sessions and API tokens, and the one-time tokens that begin it all.
//!
//! [`who`] says who stands behind a credential and what that person may do *now*; what a route needs is the API's matter.
//! Each act is one transaction with its audit event. Secrets are stored as hashes only, and are shown once. Tokens of the
//! configuration are not here: they have no account, and change with the file.

mod login;
mod me;
mod name;
mod passwords;
mod person;
mod secret;
mod sessions;
mod setup;
pub mod throttle;
pub mod tokens;
pub mod users;
mod who;

pub use login::{LoggedIn, Login, LoginError, login};
pub use me::change_password;
pub use name::RESERVED;
pub use passwords::{Passwords, TooBusy};
pub use person::{Account, Person, Shown};
pub use secret::{Kind, Made, make};
pub use sessions::{end_session, log_out};
pub use setup::{Setup, SetupError, begin, redeem};
pub use who::{Channel, recognise};

use serde_json::Value;

use super::Engine;
use super::acts::ActError;
use crate::audit::{EventKind, NewEvent};
use crate::clock::Timestamp;
use crate::rights::{Rights, Role};
use crate::store::users::UserRow;
use crate::store::{Db, StoreError, audit};

/// When something is done, under which policy, from where.
#[derive(Clone, Debug)]
struct Scene {
    now: Timestamp,
    policy_version: String,
    ip_address: Option<String>,
}

impl Scene {
    fn new(engine: &Engine, ip_address: Option<String>) -> Self {
        Self { now: engine.clock.now(), policy_version: engine.policy().version.clone(), ip_address }
    }

    /// Writes an event about `resource` by `actor`.
    fn record(
        &self,
        db: &mut Db,
        kind: EventKind,
        actor: &str,
        resource: (&'static str, &str),
        payload: Value,
    ) -> Result<(), StoreError> {
        let event = NewEvent::of(kind, actor, resource.0, resource.1, payload);
        let event = NewEvent { ip_address: self.ip_address.clone(), ..event };
        audit::append(db, &event, &self.policy_version, self.now)?;
        Ok(())
    }
}

/// One act of a person, in one transaction.
async fn act<T: Send + 'static>(
    engine: &Engine,
    by: &Person,
    write: impl FnOnce(&mut Db, &Scene, &Person) -> Result<Result<T, ActError>, StoreError> + Send + 'static,
) -> Result<T, ActError> {
    let (scene, by) = (Scene::new(engine, by.ip_address.clone()), by.clone());
    engine.store.write(move |db| write(db, &scene, &by)).await?
}

/// What a user may do at runbooks: as far as the configuration lets the role, and the user's own scopes.
fn rights_of(engine: &Engine, user: &UserRow, role: Role) -> Rights {
    let policy = engine.policy();
    // A token that stands for less than its owner is bound by both roles' rules.
    let rights = policy.config.rights_of(user.role);
    let rights = if role == user.role { rights } else { rights.and(&policy.config.rights_of(role)) };
    match user.scopes() {
        Some(scopes) => rights.narrowed_by(scopes),
        None => rights,
    }
}
