//! Legal holds: what is kept, whatever the retention says.

use diesel::dsl::{exists, select};
use diesel::prelude::*;

use super::schema::{audit_events, executions, legal_holds, runbooks, servers};
use super::{Db, HoldScope, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::{ExecutionId, HoldId};

/// Records that are kept until a person releases them.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = legal_holds)]
pub struct HoldRow {
    pub id: HoldId,
    pub scope: HoldScope,
    /// An execution's id, a runbook's or a server's name; empty exactly for [`HoldScope::All`].
    pub name: String,
    pub reason: String,
    pub created_by: String,
    pub created_at: Timestamp,
    pub released_at: Option<Timestamp>,
    pub released_by: Option<String>,
}

/// Stores a hold, once nothing is being taken away.
pub fn insert(db: &mut Db, row: &HoldRow) -> Result<(), StoreError> {
    super::lock_retention(db)?;
    each_backend!(db, c => diesel::insert_into(legal_holds::table).values(row).execute(c))?;
    Ok(())
}

/// Whether there is anything of this name, be it in the audit log only. A hold on a name that was mistyped would keep nothing.
pub fn is_known(db: &mut Db, scope: HoldScope, name: &str) -> Result<bool, StoreError> {
    let in_log = |kind: &'static str| {
        audit_events::table.filter(audit_events::resource_type.eq(kind)).filter(audit_events::resource_id.eq(name))
    };
    Ok(each_backend!(db, c => match scope {
        HoldScope::All => true,
        HoldScope::Execution => match name.parse::<ExecutionId>() {
            Err(_) => false,
            Ok(id) => select(exists(executions::table.find(id))).get_result(c)?
                || select(exists(audit_events::table.filter(audit_events::execution_id.eq(id)))).get_result(c)?,
        },
        HoldScope::Runbook => {
            select(exists(runbooks::table.filter(runbooks::name.eq(name)))).get_result(c)?
                || select(exists(executions::table.filter(executions::runbook.eq(name)))).get_result(c)?
                || select(exists(in_log("runbook"))).get_result(c)?
        }
        HoldScope::Server => {
            select(exists(servers::table.filter(servers::name.eq(name)))).get_result(c)?
                || select(exists(executions::table.filter(executions::server.eq(name)))).get_result(c)?
                || select(exists(in_log("server"))).get_result(c)?
        }
    }))
}

/// One hold.
pub fn get(db: &mut Db, id: HoldId) -> Result<HoldRow, StoreError> {
    Ok(each_backend!(db, c => legal_holds::table.find(id).select(HoldRow::as_select()).first(c))?)
}

/// Releases a hold; `false` if it was before.
pub fn release(db: &mut Db, id: HoldId, by: &str, now: Timestamp) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => diesel::update(legal_holds::table.find(id))
        .filter(legal_holds::released_at.is_null())
        .set((legal_holds::released_at.eq(now), legal_holds::released_by.eq(by)))
        .execute(c))?;
    Ok(found == 1)
}

/// All holds, newest first; those that were released, too.
pub fn list(db: &mut Db) -> Result<Vec<HoldRow>, StoreError> {
    Ok(each_backend!(db, c => legal_holds::table.order(legal_holds::id.desc()).select(HoldRow::as_select()).load(c))?)
}

/// The holds that are on.
pub fn active(db: &mut Db) -> Result<Vec<HoldRow>, StoreError> {
    Ok(each_backend!(db, c => legal_holds::table
        .filter(legal_holds::released_at.is_null())
        .select(HoldRow::as_select())
        .load(c))?)
}
