//! An operator's override of a runbook: the stricter of file and override wins, and it survives a reload.

use serde_json::json;

use super::{ActError, Engine, Person, change, optional_reason, release};
use crate::audit::EventKind;
use crate::store::RunbookOverride;
use crate::store::runbooks::{self, RunbookRow};

/// Keeps a runbook from running, or takes that back.
pub async fn set_override(
    engine: &Engine,
    name: String,
    to: RunbookOverride,
    reason: Option<String>,
    by: &Person,
) -> Result<RunbookRow, ActError> {
    let reason = optional_reason(reason)?;
    let row = change(engine, by, move |db, author| {
        let Some(before) = runbooks::by_name(db, &name)? else { return Ok(Err(ActError::NotFound)) };
        let set_to = match to {
            RunbookOverride::Disabled => Some(RunbookOverride::Disabled),
            RunbookOverride::Active => None,
        };
        runbooks::set_override(db, &name, set_to, &author.person.name, reason.as_deref(), author.now)?;
        let payload = json!({"from": before.status_override, "to": set_to, "reason": reason});
        author.record(db, EventKind::RunbookOverridden, "runbook", &name, payload)?;
        release(db, author.now)?;
        Ok(Ok(runbooks::by_name(db, &name)?.unwrap_or(before)))
    })
    .await?;
    engine.wake.everywhere();
    Ok(row)
}
