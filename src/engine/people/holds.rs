//! Legal holds: what is kept, whatever the retention says.

use serde_json::json;

use super::{ActError, Engine, Person, change, required_reason};
use crate::audit::EventKind;
use crate::id::{ExecutionId, HoldId};
use crate::store::HoldScope;
use crate::store::holds::{self, HoldRow};

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
    if scope == HoldScope::Execution && name.parse::<ExecutionId>().is_err() {
        return Err(ActError::Invalid(format!("`{name}` is not the whole id of an execution")));
    }
    let is_listed = engine.policy().servers.get(&name).is_some();
    change(engine, by, move |db, author| {
        if !(holds::is_known(db, scope, &name)? || scope == HoldScope::Server && is_listed) {
            let message = format!("there is no {scope} `{name}`, nor is there anything in the records of one");
            return Ok(Err(ActError::Invalid(message)));
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
