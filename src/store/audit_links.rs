//! The audit chain: which event is in which place. Only ever added to, in order, by one replica at a time.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::audit::AuditRow;
use super::schema::{audit_events, audit_links};
use super::{Db, StoreError, each_backend};
use crate::audit::EventKind;
use crate::clock::Timestamp;

/// An audit event's place in the chain.
#[derive(Queryable, Selectable, Insertable, Clone, PartialEq, Debug)]
#[diesel(table_name = audit_links)]
pub struct LinkRow {
    /// From 1, without gaps.
    pub position: i64,
    pub seq: i64,
    pub algorithm: String,
    pub key_id: String,
    pub mac: String,
    pub linked_at: Timestamp,
}

/// The last link; `None` if there is no chain yet.
pub fn head(db: &mut Db) -> Result<Option<LinkRow>, StoreError> {
    Ok(each_backend!(db, c => audit_links::table
        .order(audit_links::position.desc())
        .select(LinkRow::as_select())
        .first(c)
        .optional())?)
}

/// The first link that is there.
pub fn first(db: &mut Db) -> Result<Option<LinkRow>, StoreError> {
    Ok(each_backend!(db, c => audit_links::table
        .order(audit_links::position)
        .select(LinkRow::as_select())
        .first(c)
        .optional())?)
}

/// The link in a place.
pub fn at(db: &mut Db, position: i64) -> Result<Option<LinkRow>, StoreError> {
    Ok(each_backend!(db, c => audit_links::table
        .find(position)
        .select(LinkRow::as_select())
        .first(c)
        .optional())?)
}

/// The links after `position`, at most `limit`, each with its event if that is there.
pub fn after(db: &mut Db, position: i64, limit: i64) -> Result<Vec<(LinkRow, Option<AuditRow>)>, StoreError> {
    Ok(each_backend!(db, c => audit_links::table
        .left_join(audit_events::table.on(audit_events::seq.eq(audit_links::seq)))
        .filter(audit_links::position.gt(position))
        .order(audit_links::position)
        .limit(limit)
        .select((LinkRow::as_select(), Option::<AuditRow>::as_select()))
        .load(c))?)
}

/// Which events are wanted that have no place yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unlinked {
    /// Those with a MAC of their own.
    Sealed,
    /// All.
    All,
}

/// Events after number `seq` that have no place yet, oldest first, at most `limit`.
pub fn unlinked(db: &mut Db, which: Unlinked, seq: i64, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    let has_link = audit_links::table.filter(audit_links::seq.eq(audit_events::seq));
    Ok(each_backend!(db, c: B => {
        let mut query = audit_events::table.select(AuditRow::as_select()).into_boxed::<B>();
        if which == Unlinked::Sealed {
            query = query.filter(audit_events::mac.is_not_null());
        }
        query.filter(audit_events::seq.gt(seq)).filter(not(exists(has_link)))
            .order(audit_events::seq).limit(limit).load(c)
    })?)
}

/// Adds links after `previous`; [`StoreError::GivenUp`] if that is not the last one any more.
pub fn append(db: &mut Db, previous: Option<&LinkRow>, links: &[LinkRow]) -> Result<(), StoreError> {
    if head(db)?.as_ref() != previous {
        return Err(StoreError::GivenUp("another replica has added to the audit chain".to_owned()));
    }
    each_backend!(db, c => diesel::insert_into(audit_links::table).values(links).execute(c))?;
    Ok(())
}

/// Some event of the log has a MAC.
pub fn is_any_sealed(db: &mut Db) -> Result<bool, StoreError> {
    let sealed = audit_events::table.filter(audit_events::mac.is_not_null());
    Ok(each_backend!(db, c => diesel::select(exists(sealed)).get_result(c))?)
}

/// The newest event of the log has a MAC.
pub fn is_last_sealed(db: &mut Db) -> Result<bool, StoreError> {
    let mac: Option<Option<String>> = each_backend!(db, c => audit_events::table
        .order(audit_events::seq.desc())
        .select(audit_events::mac)
        .first(c)
        .optional())?;
    Ok(mac.flatten().is_some())
}

/// The events of a kind, newest first, at most `limit`.
pub fn latest(db: &mut Db, kind: EventKind, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    Ok(each_backend!(db, c => audit_events::table
        .filter(audit_events::event_type.eq(kind))
        .order(audit_events::seq.desc())
        .limit(limit)
        .select(AuditRow::as_select())
        .load(c))?)
}
