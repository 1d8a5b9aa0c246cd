//! Duties: what one replica does for all of them.

use diesel::prelude::*;

use super::schema::{duties, replicas};
use super::types::prepared;
use super::{Db, StoreError, each_backend, replicas::time};
use crate::id::ReplicaId;

/// The one duty: asking held decisions again, ending what waited too long, forgetting what is old.
const HOUSEKEEPING: &str = "housekeeping";

/// The living replica that does the housekeeping; `None` if there is none.
pub fn housekeeper(db: &mut Db) -> Result<Option<ReplicaId>, StoreError> {
    Ok(each_backend!(db, c => duties::table
        .inner_join(replicas::table.on(duties::replica_id.eq(replicas::id.nullable())))
        .filter(duties::name.eq(HOUSEKEEPING))
        .filter(replicas::ended_at.is_null())
        .select(replicas::id)
        .first(c)
        .optional())?)
}

/// Takes the housekeeping, unless a living replica has it; of many that try, one gets it.
pub fn take_housekeeping(db: &mut Db, replica: ReplicaId) -> Result<bool, StoreError> {
    let now = time(db, std::time::Duration::ZERO);
    let living = replicas::table.filter(replicas::ended_at.is_null()).select(replicas::id.nullable());
    let taken = each_backend!(db, c => prepared(diesel::update(duties::table)
        .filter(duties::name.eq(HOUSEKEEPING))
        .filter(duties::replica_id.is_null().or(duties::replica_id.ne_all(living)))
        .set((
            duties::replica_id.eq(replica),
            duties::fence.eq(duties::fence + 1),
            duties::taken_at.eq(diesel::dsl::sql::<super::types::sql::SqlTs>(&now).nullable()),
        )))
        .execute(c))?;
    Ok(taken == 1)
}
