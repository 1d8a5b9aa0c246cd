//! Legal holds: what is kept, whatever the retention says.

use serde_json::json;

use super::{ActError, Engine, Person, change, required_reason};
use crate::audit::EventKind;
use crate::id::{ExecutionId, HoldId};
use crate::store::holds::{self, HoldRow};
use crate::store::{HoldScope, executions};

/// Keeps what `scope` and `name` mean until it is released. `name` is empty exactly for [`HoldScope::All`].
pub async fn hold(
    engine: &Engine,
    scope: HoldScope,
    name: String,
    reason: Option<String>,
    by: &Person,
) -> Result<HoldRow, ActError> {
    let reason = required_reason(reason)?;
    if (scope == HoldScope::All) != name.is_empty() {
        return Err(ActError::Invalid(
            "`name` is needed for execution, runbook and server, and for nothing else".into(),
        ));
    }
    let execution = match scope {
        HoldScope::Execution => Some(
            name.parse::<ExecutionId>()
                .map_err(|_| ActError::Invalid(format!("`{name}` is not the whole id of an execution")))?,
        ),
        HoldScope::All | HoldScope::Runbook | HoldScope::Server => None,
    };
    change(engine, by, move |db, author| {
        if let Some(id) = execution {
            executions::get(db, id)?;
        }
        let row = HoldRow {
            id: HoldId::new(),
            scope,
            name,
            reason,
            created_by: author.person.name.clone(),
            created_at: author.now,
            released_at: None,
            released_by: None,
        };
        holds::insert(db, &row)?;
        let payload = json!({"scope": row.scope, "name": row.name, "reason": row.reason});
        author.record(db, EventKind::LegalHoldSet, "legal_hold", &row.id.to_string(), payload)?;
        Ok(Ok(row))
    })
    .await
}

/// The retention holds again for what this kept.
pub async fn release(engine: &Engine, id: HoldId, by: &Person) -> Result<HoldRow, ActError> {
    change(engine, by, move |db, author| {
        let before = holds::get(db, id)?;
        if !holds::release(db, id, &author.person.name, author.now)? {
            return Ok(Err(ActError::Conflict("this hold was released before".to_owned())));
        }
        let payload = json!({"scope": before.scope, "name": before.name});
        author.record(db, EventKind::LegalHoldReleased, "legal_hold", &id.to_string(), payload)?;
        Ok(Ok(holds::get(db, id)?))
    })
    .await
}
