//! Sources, as far as deliveries have shown them. What a source may do stands in the configuration.

use diesel::prelude::*;

use super::schema::sources;
use super::types::prepared;
use super::{Db, StoreError, each_backend};
use crate::clock::Timestamp;

/// Where webhooks come from, as seen.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = sources, treat_none_as_default_value = false)]
pub struct SourceRow {
    pub name: String,
    pub first_seen_at: Timestamp,
    pub last_delivery_at: Timestamp,
    pub deliveries: i64,
}

/// Notes that `name` delivered so often, last at `now`.
pub fn seen(db: &mut Db, name: &str, count: usize, now: Timestamp) -> Result<(), StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let row = SourceRow { name: name.to_owned(), first_seen_at: now, last_delivery_at: now, deliveries: count };
    each_backend!(db, c => prepared(diesel::insert_into(sources::table)
        .values(&row)
        .on_conflict(sources::name)
        .do_update()
        .set((sources::last_delivery_at.eq(now), sources::deliveries.eq(sources::deliveries + count))))
        .execute(c))?;
    Ok(())
}

/// All sources, by name.
pub fn list(db: &mut Db) -> Result<Vec<SourceRow>, StoreError> {
    Ok(each_backend!(db, c => sources::table.order(sources::name).select(SourceRow::as_select()).load(c))?)
}
