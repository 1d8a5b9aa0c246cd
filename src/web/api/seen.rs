//! What is there for whom: rows of runbooks that somebody's rights do not reach are not shown, in no list and by no id.

use crate::engine::people::reach;
use crate::inventory::Server;
use crate::limits;
use crate::rights::Act;
use crate::store::decisions::DecisionRow;
use crate::store::executions::ExecutionRow;
use crate::store::{Page, Paged, StoreError};
use crate::web::auth::Person;
use crate::web::error::ApiError;

/// An execution is there for `person`.
pub(super) fn execution(person: &Person, row: &ExecutionRow) -> bool {
    person.may(Act::View, &row.runbook, row.server_group.as_deref())
}

/// A decision is there for `person`; that nothing matched is there for everybody.
pub(super) fn decision(person: &Person, row: &DecisionRow) -> bool {
    match (&row.runbook, &row.server) {
        (Some(runbook), Some(_)) => person.may(Act::View, runbook, row.server_group.as_deref()),
        (Some(runbook), None) => person.rights.may_somewhere(Act::View, runbook),
        (None, _) => true,
    }
}

/// A server is there for `person`.
pub(super) fn server(person: &Person, server: &Server) -> bool {
    reach::is_there(person, server.group.as_deref())
}

/// A runbook is there for `person`.
pub(super) fn runbook(person: &Person, name: &str) -> bool {
    person.rights.may_somewhere(Act::View, name)
}

/// 404 unless the runbook is there for `person`; 403 unless `act` is permitted on some servers.
pub(super) fn permitted(person: &Person, act: Act, name: &str) -> Result<(), ApiError> {
    if !runbook(person, name) {
        return Err(ApiError::not_found(format!("runbook `{name}`")));
    }
    if person.rights.may_somewhere(act, name) { Ok(()) } else { Err(forbidden(person, &format!("to {act} `{name}`"))) }
}

/// 403 for somebody whose rights are narrowed.
pub(super) fn unlimited(person: &Person, what: &str) -> Result<(), ApiError> {
    if person.rights.is_unlimited() { Ok(()) } else { Err(forbidden(person, what)) }
}

fn forbidden(person: &Person, what: &str) -> ApiError {
    let message = format!("the rights of {} do not permit {what}", person.name);
    ApiError::new(actix_web::http::StatusCode::FORBIDDEN, "forbidden", message)
}

/// A page of what is there: as many rows as were asked for, of as many as have to be looked at; where those are too many,
/// the page is short, and the next one goes on behind it.
pub(super) fn page<Row, Id: Copy>(
    person: &Person,
    page: Page<Id>,
    mut load: impl FnMut(Page<Id>) -> Result<Paged<Row, Id>, StoreError>,
    is_there: impl Fn(&Row) -> bool,
    id: impl Fn(&Row) -> Id,
) -> Result<Paged<Row, Id>, StoreError> {
    if person.rights.is_unlimited() {
        return load(page);
    }
    let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    let mut before = page.before;
    for _ in 0..limits::PAGES_LOOKED_AT {
        let found = load(Page { limit: limits::PAGE_MAX, before })?;
        for row in found.rows {
            if rows.len() == wanted {
                let next = rows.last().map(&id);
                return Ok(Paged { rows, next });
            }
            before = Some(id(&row));
            if is_there(&row) {
                rows.push(row);
            }
        }
        if found.next.is_none() {
            return Ok(Paged { rows, next: None });
        }
    }
    Ok(Paged { rows, next: before })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::{Rights, Role, Scope};

    fn person(is_narrowed: bool) -> Person {
        let person = Person::new("ada", Role::Viewer, None);
        let scope = Scope { may: vec![Act::View], runbooks: vec!["a".to_owned()], groups: vec!["*".to_owned()] };
        let rights = if is_narrowed { Rights::default().narrowed_by([&scope]) } else { Rights::default() };
        Person { rights, ..person }
    }

    /// Rows 1 to `last`, newest first.
    fn rows(last: u32, page: Page<u32>) -> Result<Paged<u32, u32>, StoreError> {
        let top = page.before.map_or(last, |before| before - 1);
        let rows: Vec<u32> = (1..=top).rev().take(usize::try_from(page.limit).unwrap()).collect();
        let next = rows.last().copied().filter(|row| *row > 1);
        Ok(Paged { rows, next })
    }

    #[test]
    fn pages_of_what_is_there_are_whole_and_lose_nothing() {
        for (limit, last) in [(1, 10), (3, 10), (50, 1_000), (7, 700)] {
            let mut found = Vec::new();
            let mut before = None;
            loop {
                let asked = Page { limit, before };
                let page = page(&person(true), asked, |page| rows(last, page), |row| row % 3 == 0, |row| *row).unwrap();
                assert!(page.rows.len() <= usize::try_from(limit).unwrap());
                found.extend(page.rows);
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            let expected: Vec<u32> = (1..=last).rev().filter(|row| row % 3 == 0).collect();
            assert_eq!(found, expected, "{limit} of {last}");
        }
        let all = page(&person(false), Page { limit: 5, before: None }, |page| rows(9, page), |_| false, |row| *row);
        assert_eq!(all.unwrap().rows, [9, 8, 7, 6, 5], "whoever is not narrowed is not asked");
    }

    #[test]
    fn a_page_looks_at_a_bounded_number_of_rows() {
        let mut asked = 0;
        let load = |page: Page<u32>| {
            asked += 1;
            rows(1_000_000, page)
        };
        let none = page(&person(true), Page { limit: 5, before: None }, load, |_| false, |row| *row).unwrap();
        assert!(none.rows.is_empty() && none.next.is_some());
        assert_eq!(asked, limits::PAGES_LOOKED_AT);
    }
}
