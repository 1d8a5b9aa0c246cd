//! Triggers of the present runbooks, for listing. Matching uses the loaded runbooks, never these rows.

use diesel::prelude::*;

use super::schema::triggers;
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::RunbookId;

/// A trigger of the present version of a runbook, for listing.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = triggers, treat_none_as_default_value = false)]
pub struct TriggerRow {
    pub runbook_id: RunbookId,
    pub position: i32,
    pub name: String,
    pub priority: i32,
    pub enabled: bool,
    pub cooldown_secs: Option<i64>,
    pub last_triggered_at: Option<Timestamp>,
}

/// Makes `rows` the triggers of a runbook; those that keep their name keep when they were last triggered.
pub fn replace(db: &mut Db, runbook: RunbookId, rows: &[TriggerRow]) -> Result<(), StoreError> {
    let known = of_runbook(db, runbook)?;
    each_backend!(db, c => diesel::delete(triggers::table.filter(triggers::runbook_id.eq(runbook))).execute(c))?;
    for row in rows {
        let mut row = row.clone();
        let before = known.iter().find(|known| known.name == row.name);
        row.last_triggered_at = row.last_triggered_at.or(before.and_then(|before| before.last_triggered_at));
        each_backend!(db, c => diesel::insert_into(triggers::table).values(&row).execute(c))?;
    }
    Ok(())
}

/// Notes that a trigger made a decision that runs.
pub fn triggered(db: &mut Db, runbook: RunbookId, name: &str, now: Timestamp) -> Result<(), StoreError> {
    each_backend!(db, c => diesel::update(triggers::table)
        .filter(triggers::runbook_id.eq(runbook))
        .filter(triggers::name.eq(name))
        .set(triggers::last_triggered_at.eq(now))
        .execute(c))?;
    Ok(())
}

/// The triggers of a runbook, in its order.
pub fn of_runbook(db: &mut Db, runbook: RunbookId) -> Result<Vec<TriggerRow>, StoreError> {
    Ok(each_backend!(db, c => triggers::table
        .filter(triggers::runbook_id.eq(runbook))
        .order(triggers::position)
        .select(TriggerRow::as_select())
        .load(c))?)
}
