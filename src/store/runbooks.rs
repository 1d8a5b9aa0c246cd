//! Runbooks and their versions as the database has seen them. What a runbook means stands in its file.

use diesel::prelude::*;

use super::schema::{runbook_versions, runbooks};
use super::types::cleaned;
use super::{Db, RunbookOverride, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::id::RunbookId;
use crate::runbook::model::{Mode, RunbookStatus};

/// A runbook that the database has seen, and what an operator decided about it.
#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq, Debug)]
#[diesel(table_name = runbooks, treat_none_as_null = true, treat_none_as_default_value = false)]
pub struct RunbookRow {
    pub id: RunbookId,
    pub name: String,
    pub current_version: i32,
    pub content_hash: String,
    pub category: String,
    pub mode: Mode,
    /// As the file says.
    pub status: RunbookStatus,
    /// As an operator says; the stricter wins.
    pub status_override: Option<RunbookOverride>,
    pub override_by: Option<String>,
    pub override_at: Option<Timestamp>,
    pub override_reason: Option<String>,
    /// A file declares it now.
    pub present: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One content that a runbook has had.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = runbook_versions, treat_none_as_default_value = false)]
pub struct VersionRow {
    pub runbook_id: RunbookId,
    pub version: i32,
    pub content_hash: String,
    pub yaml_content: String,
    pub change_summary: String,
    pub path: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// One file as it was loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    pub name: String,
    pub content_hash: String,
    pub yaml_content: String,
    pub path: String,
    pub category: String,
    pub mode: Mode,
    pub status: RunbookStatus,
    pub created_by: String,
}

/// What [`record`] found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded {
    pub id: RunbookId,
    /// Number of the version that has this content.
    pub version: i32,
    /// The content was not known before.
    pub is_new: bool,
}

/// Notes that a file declares this runbook now. A content that was there before gets its old number again.
pub fn record(db: &mut Db, loaded: &Loaded, change_summary: &str, now: Timestamp) -> Result<Recorded, StoreError> {
    let known = by_name(db, &loaded.name)?;
    let id = known.as_ref().map_or_else(RunbookId::new, |row| row.id);
    let same: Option<i32> = each_backend!(db, c => runbook_versions::table
        .filter(runbook_versions::runbook_id.eq(id))
        .filter(runbook_versions::content_hash.eq(&loaded.content_hash))
        .select(runbook_versions::version)
        .first(c)
        .optional())?;
    let version = match same {
        Some(version) => version,
        None => versions(db, id)?.first().map_or(0, |row| row.version) + 1,
    };
    let row = RunbookRow {
        id,
        name: loaded.name.clone(),
        current_version: version,
        content_hash: loaded.content_hash.clone(),
        category: loaded.category.clone(),
        mode: loaded.mode,
        status: loaded.status,
        status_override: known.as_ref().and_then(|row| row.status_override),
        override_by: known.as_ref().and_then(|row| row.override_by.clone()),
        override_at: known.as_ref().and_then(|row| row.override_at),
        override_reason: known.as_ref().and_then(|row| row.override_reason.clone()),
        present: true,
        created_at: known.as_ref().map_or(now, |row| row.created_at),
        updated_at: known
            .as_ref()
            .filter(|row| row.content_hash == loaded.content_hash)
            .map_or(now, |row| row.updated_at),
    };
    match &known {
        None => each_backend!(db, c => diesel::insert_into(runbooks::table).values(&row).execute(c))?,
        Some(_) => each_backend!(db, c => diesel::update(runbooks::table.find(id)).set(&row).execute(c))?,
    };
    if same.is_none() {
        let row = VersionRow {
            runbook_id: id,
            version,
            content_hash: loaded.content_hash.clone(),
            yaml_content: loaded.yaml_content.clone(),
            change_summary: change_summary.to_owned(),
            path: loaded.path.clone(),
            created_by: loaded.created_by.clone(),
            created_at: now,
        };
        let row = &*cleaned!(&row; yaml_content, change_summary, path);
        each_backend!(db, c => diesel::insert_into(runbook_versions::table).values(row).execute(c))?;
    }
    Ok(Recorded { id, version, is_new: same.is_none() })
}

/// Notes that no file declares any other runbook than `names`; answers how many have gone.
pub fn mark_absent_but(db: &mut Db, names: &[&str], now: Timestamp) -> Result<usize, StoreError> {
    Ok(each_backend!(db, c => diesel::update(runbooks::table)
        .filter(runbooks::present.eq(true))
        .filter(diesel::dsl::not(runbooks::name.eq_any(names)))
        .set((runbooks::present.eq(false), runbooks::updated_at.eq(now)))
        .execute(c))?)
}

/// An operator's word on a runbook; `None` takes it back. `false` if the runbook is unknown.
pub fn set_override(
    db: &mut Db,
    name: &str,
    status: Option<RunbookOverride>,
    by: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let found = each_backend!(db, c => diesel::update(runbooks::table)
        .filter(runbooks::name.eq(name))
        .set((
            runbooks::status_override.eq(status),
            runbooks::override_by.eq(by),
            runbooks::override_at.eq(now),
            runbooks::override_reason.eq(reason),
            runbooks::updated_at.eq(now),
        ))
        .execute(c))?;
    Ok(found == 1)
}

/// One runbook.
pub fn by_name(db: &mut Db, name: &str) -> Result<Option<RunbookRow>, StoreError> {
    Ok(each_backend!(db, c => runbooks::table
        .filter(runbooks::name.eq(name))
        .select(RunbookRow::as_select())
        .first(c)
        .optional())?)
}

/// All runbooks, by name, also those that no file declares any more.
pub fn list(db: &mut Db) -> Result<Vec<RunbookRow>, StoreError> {
    Ok(each_backend!(db, c => runbooks::table.order(runbooks::name).select(RunbookRow::as_select()).load(c))?)
}

/// All versions of a runbook, newest first.
pub fn versions(db: &mut Db, id: RunbookId) -> Result<Vec<VersionRow>, StoreError> {
    Ok(each_backend!(db, c => runbook_versions::table
        .filter(runbook_versions::runbook_id.eq(id))
        .order(runbook_versions::version.desc())
        .select(VersionRow::as_select())
        .load(c))?)
}

/// One version of a runbook.
pub fn version(db: &mut Db, id: RunbookId, version: i32) -> Result<VersionRow, StoreError> {
    Ok(each_backend!(db, c => runbook_versions::table
        .find((id, version))
        .select(VersionRow::as_select())
        .first(c))?)
}
