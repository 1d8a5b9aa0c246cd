//! The kill switch: pause and resume.

use serde_json::json;

use super::{ActError, Engine, Person, change, release, required_reason};
use crate::audit::EventKind;
use crate::clock::Timestamp;
use crate::id::PauseId;
use crate::store::PauseScope;
use crate::store::pauses::{self, PauseRow};

/// What a pause stops; the name is empty exactly for [`PauseScope::Global`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    pub scope: PauseScope,
    pub name: String,
}

/// Nothing of `scope` starts from now on, until it is resumed or `until`.
pub async fn pause(
    engine: &Engine,
    scope: Scope,
    until: Option<Timestamp>,
    reason: Option<String>,
    by: &Person,
) -> Result<PauseRow, ActError> {
    known(engine, &scope)?;
    let reason = required_reason(reason)?;
    if until.is_some_and(|until| until <= engine.clock.now()) {
        return Err(ActError::Invalid("`until` lies in the past".to_owned()));
    }
    let row = change(engine, by, move |db, author| {
        let row = PauseRow {
            id: PauseId::new(),
            scope: scope.scope,
            name: scope.name,
            reason,
            created_by: author.person.name.clone(),
            created_at: author.now,
            until,
            resumed_at: None,
            resumed_by: None,
        };
        pauses::insert(db, &row)?;
        let payload = json!({"scope": row.scope, "name": row.name, "until": row.until, "reason": row.reason});
        author.record(db, EventKind::Paused, "pause", &row.id.to_string(), payload)?;
        Ok(Ok(row))
    })
    .await?;
    engine.wake.everywhere();
    Ok(row)
}

/// Ends every pause of exactly `scope`, and lets what it held go on.
pub async fn resume(engine: &Engine, scope: Scope, by: &Person) -> Result<Vec<PauseRow>, ActError> {
    let rows = change(engine, by, move |db, author| {
        let mut ended = Vec::new();
        for row in pauses::active(db, author.now)? {
            if row.scope != scope.scope || row.name != scope.name {
                continue;
            }
            pauses::resume(db, row.id, &author.person.name, author.now)?;
            let payload = json!({"scope": row.scope, "name": row.name});
            author.record(db, EventKind::Resumed, "pause", &row.id.to_string(), payload)?;
            ended.push(pauses::get(db, row.id)?);
        }
        if ended.is_empty() {
            let what = if scope.name.is_empty() { String::new() } else { format!(" `{}`", scope.name) };
            return Ok(Err(ActError::Conflict(format!("no pause of {}{what} is on", scope.scope))));
        }
        release(db, author.now)?;
        Ok(Ok(ended))
    })
    .await?;
    engine.wake.everywhere();
    Ok(rows)
}

/// A pause of something that does not exist would stop nothing, and nobody would notice.
fn known(engine: &Engine, scope: &Scope) -> Result<(), ActError> {
    let policy = engine.policy();
    let is_known = match scope.scope {
        PauseScope::Global => true,
        PauseScope::Runbook => policy.runbooks.contains_key(&scope.name),
        PauseScope::Group => policy.servers.group_size(Some(&scope.name)) > 0,
        PauseScope::Server => policy.servers.get(&scope.name).is_some(),
    };
    if is_known {
        return Ok(());
    }
    Err(ActError::Invalid(format!("there is no {} called `{}`", scope.scope, scope.name)))
}
