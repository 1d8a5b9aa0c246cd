//! What the API may change at run time: the mode. The file's value stands where nothing is here.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::system_config;
use super::{Db, Json, StoreError, each_backend};
use crate::clock::Timestamp;

/// Key by which people switch between `enforce` and `observe`.
pub const MODE: &str = "mode";

/// One value that the API may change at run time.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = system_config, treat_none_as_default_value = false)]
pub struct ConfigRow {
    pub key: String,
    pub value_json: Json<Value>,
    pub updated_at: Timestamp,
    pub updated_by: String,
}

/// The value of a key.
pub fn get(db: &mut Db, key: &str) -> Result<Option<Value>, StoreError> {
    let value: Option<Json<Value>> = each_backend!(db, c => system_config::table
        .find(key)
        .select(system_config::value_json)
        .first(c)
        .optional())?;
    Ok(value.map(Json::into_inner))
}

/// Sets the value of a key.
pub fn put(db: &mut Db, key: &str, value: &Value, by: &str, now: Timestamp) -> Result<(), StoreError> {
    let row =
        ConfigRow { key: key.to_owned(), value_json: Json(value.clone()), updated_at: now, updated_by: by.to_owned() };
    each_backend!(db, c => diesel::insert_into(system_config::table)
        .values(&row)
        .on_conflict(system_config::key)
        .do_update()
        .set((
            system_config::value_json.eq(&row.value_json),
            system_config::updated_at.eq(now),
            system_config::updated_by.eq(by),
        ))
        .execute(c))?;
    Ok(())
}

/// Takes a key away: the file's value stands again. `false` if nothing was set.
pub fn delete(db: &mut Db, key: &str) -> Result<bool, StoreError> {
    Ok(each_backend!(db, c => diesel::delete(system_config::table.find(key)).execute(c))? == 1)
}

/// All keys that are set, by name.
pub fn list(db: &mut Db) -> Result<Vec<ConfigRow>, StoreError> {
    Ok(each_backend!(db, c => system_config::table
        .order(system_config::key)
        .select(ConfigRow::as_select())
        .load(c))?)
}
