//! What is in force: configuration, runbooks, triggers, servers and blackouts, as one immutable snapshot.
//!
//! [`read::Draft`] reads the operator's files; [`Policy::enforce`] records their content in the database (a numbered version
//! for each distinct runbook) and makes the snapshot. Whoever decides takes one `Arc<Policy>` and uses it to the end. What
//! may change between two reloads is not here but in the database, and is read in the deciding transaction: pauses,
//! breakers, maintenance, blackouts and overrides made by people.

pub mod read;
mod sync;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use crate::audit::NewEvent;
use crate::audit::canonical::payload_hash;
use crate::clock::Timestamp;
use crate::config::{Config, Retention};
use crate::engine::keys::{self, Unfit};
use crate::engine::replica::Replica;
use crate::gate::blackout::Blackout;
use crate::id::RunbookId;
use crate::inventory::Inventory;
use crate::inventory::resolve::InventoryError;
use crate::outbound::Outbound;
use crate::runbook::model::Runbook;
use crate::store::{Store, StoreError, audit, decisions, executions, lock_decisions, users};
use crate::trigger;

pub use read::{Draft, PolicySource};
pub(super) use sync::made;

/// A runbook in force.
#[derive(Clone, Debug)]
pub struct ActiveRunbook {
    pub id: RunbookId,
    /// The database's number for this content.
    pub version: i32,
    pub runbook: Arc<Runbook>,
}

/// What is in force.
#[derive(Debug)]
pub struct Policy {
    pub config: Arc<Config>,
    /// By name.
    pub runbooks: BTreeMap<String, ActiveRunbook>,
    /// All triggers of all runbooks, compiled.
    pub triggers: trigger::Index,
    /// The files' servers and the database's.
    pub servers: Inventory,
    /// The configuration's; those made by people are in the database.
    pub blackouts: Vec<Blackout>,
    /// Hash of the runbook set, blackouts and limits (the seeds' `lawbook_version`), short.
    pub version: String,
    /// What asks others by HTTP.
    pub outbound: Outbound,
    /// The replica in which it is in force.
    pub replica: Arc<Replica>,
    draft: Arc<Draft>,
}

/// Why a draft cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A server of the database has a name that a file declares, too.
    #[error(
        "server `{0}` is declared in a file and exists in the database: remove one of them \
         (`douse servers rm {0}`, or take it out of the file)"
    )]
    ServerTwice(String),
    /// A token of the configuration has a user's name: in the records, one would be taken for the other.
    #[error("a token of auth.tokens is called `{0}`, as a user is: give the token another name")]
    UserTwice(String),
    /// The servers of files and database together make no inventory.
    #[error(transparent)]
    Inventory(InventoryError),
    /// The master keys do not fit the database.
    #[error("encryption: {0}")]
    Keys(String),
    /// The database could not record it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The hash of the parts could not be made.
    #[error("the policy cannot be hashed: {0}")]
    Hash(#[from] serde_json::Error),
}

impl Policy {
    /// How long records are kept.
    pub fn kept_for(&self) -> Retention {
        self.draft.kept_for()
    }

    /// Records `draft` in the database and makes the snapshot. Nothing is recorded if it cannot be put in force.
    ///
    /// `told` is written in the same transaction. What a gate holds is asked again: the new policy may let it run.
    pub async fn enforce(
        store: &Store,
        draft: Arc<Draft>,
        actor: &str,
        told: Option<NewEvent>,
        now: Timestamp,
    ) -> Result<Self, PolicyError> {
        let version = version_of(&draft)?;
        match keys::ensure(store, &draft.config, actor, &version, now).await {
            Ok(()) => {}
            Err(Unfit::Keys(problem)) => return Err(PolicyError::Keys(problem)),
            Err(Unfit::Store(error)) => return Err(error.into()),
        }
        let unfit = Arc::new(Mutex::new(None));
        let told_unfit = Arc::clone(&unfit);
        let (recorded, actor, version_text) = (Arc::clone(&draft), actor.to_owned(), version.clone());
        let made = store.write(move |db| {
            // Before the first write: it releases what the gates hold, and replicas that start together record the same.
            lock_decisions(db)?;
            for token in &recorded.config.tokens {
                if let Some(user) = users::by_name(db, &token.name.to_lowercase())? {
                    return Ok(Err(PolicyError::UserTwice(user.name)));
                }
            }
            if let Some(event) = told {
                audit::append(db, &event, &version_text, now)?;
            }
            decisions::release_held(db, now)?;
            executions::release_held(db, now)?;
            let (runbooks, made) = sync::record(db, &recorded, &actor, &version_text, now)?;
            let servers = recorded.servers.iter().cloned().chain(made);
            // Given up: nothing of this draft stays recorded.
            let servers = Inventory::new(servers).map_err(|error| {
                let given_up = StoreError::GivenUp(error.to_string());
                *told_unfit.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                given_up
            })?;
            Ok(Ok((runbooks, servers)))
        });
        let made = made.await;
        let (runbooks, servers) = match unfit.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(InventoryError::Duplicate(name)) => return Err(PolicyError::ServerTwice(name)),
            Some(error) => return Err(PolicyError::Inventory(error)),
            None => made??,
        };
        let triggers = trigger::Index::new(
            draft.runbooks.iter().map(|(name, file)| (name.as_str(), file.runbook.triggers.as_slice())),
            draft.config.global.timezone,
        );
        Ok(Self {
            config: Arc::clone(&draft.config),
            runbooks,
            triggers,
            servers,
            blackouts: draft.blackouts.clone(),
            version,
            outbound: Outbound::new(draft.config.outbound_allow.clone()),
            replica: Arc::new(Replica::new(draft.config.storage.lease)),
            draft,
        })
    }

    /// What the operator's files said when this policy was made.
    pub fn draft(&self) -> Arc<Draft> {
        Arc::clone(&self.draft)
    }
}

/// The name of a policy: equal runbooks, blackouts and limits have equal names, on every engine.
fn version_of(draft: &Draft) -> Result<String, serde_json::Error> {
    let runbooks: BTreeMap<_, _> =
        draft.runbooks.iter().map(|(name, file)| (name.as_str(), file.runbook.content_hash.as_str())).collect();
    let blackouts: Vec<_> = draft.config.blackouts.iter().map(|declared| &declared.spec).collect();
    let parts = json!({
        "runbooks": runbooks, "blackouts": blackouts, "limits": draft.config.limits,
        "mode": draft.config.global.mode, "timezone": draft.config.global.timezone.name(),
    });
    Ok(payload_hash(&parts)?.chars().take(16).collect())
}
