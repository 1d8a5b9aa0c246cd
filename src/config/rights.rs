//! `auth.rights`, and the `scopes` of `auth.tokens`: which runbooks and groups of servers a role or a token is narrowed to.

use std::collections::BTreeMap;

use super::reader::{MapReader, Reading};
use crate::rights::{Act, Rights, Role, Scope};

const ROLES: &str = "engineer, operator, auditor or viewer";
const ACTS: &str = "view, execute or approve";

/// Reads `auth.rights`: several entries of a role permit what any of them permits.
pub(super) fn read<'r>(reading: &'r Reading<'r>, auth: &mut MapReader<'r, '_>) -> BTreeMap<Role, Rights> {
    let mut scopes: BTreeMap<Role, Vec<Scope>> = BTreeMap::new();
    for (index, node) in auth.list("rights").iter().enumerate() {
        let Some(mut map) = MapReader::new(reading, format!("auth.rights[{index}]"), node) else { continue };
        let role = map.parsed::<Role>("role", ROLES);
        if !map.has("role") {
            map.missing("role");
        }
        let scope = scope(reading, &mut map);
        map.finish();
        let Some(role) = role else { continue };
        if role.value == Role::Admin {
            let problem =
                role.place.problem("E103", "an admin's rights cannot be narrowed: an admin could change that");
            reading.problem(problem.hint("give the person another role"));
        }
        scopes.entry(role.value).or_default().extend(scope);
    }
    scopes.into_iter().map(|(role, scopes)| (role, Rights::default().narrowed_by(&scopes))).collect()
}

/// Reads `scopes` of a token; `None` when nothing is written.
pub(super) fn scopes<'r>(reading: &'r Reading<'r>, token: &mut MapReader<'r, '_>) -> Option<Vec<Scope>> {
    if !token.has("scopes") {
        // Known all the same, so that it is told when a key is misspelt.
        token.node("scopes");
        return None;
    }
    let name = token.full("scopes");
    let mut scopes = Vec::new();
    for (index, node) in token.list("scopes").iter().enumerate() {
        let Some(mut map) = MapReader::new(reading, format!("{name}[{index}]"), node) else { continue };
        scopes.extend(scope(reading, &mut map));
        map.finish();
    }
    Some(scopes)
}

fn scope<'r>(reading: &'r Reading<'r>, map: &mut MapReader<'r, '_>) -> Option<Scope> {
    let mut may = Vec::new();
    for word in map.text_or_list("may") {
        match word.value.parse::<Act>() {
            Ok(act) => may.push(act),
            Err(_) => {
                let message = format!("`{}`: `{}` is none of {ACTS}", map.full("may"), word.value);
                reading.problem(word.place.problem("E103", message));
            }
        }
    }
    if !map.has("may") {
        map.missing("may");
        return None;
    }
    let mut patterns = |key| {
        let texts = map.text_or_list(key);
        if map.has(key) { texts.into_iter().map(|text| text.value).collect() } else { vec!["*".to_owned()] }
    };
    let scope = Scope { may, runbooks: patterns("runbooks"), groups: patterns("groups") };
    if let Some(flaw) = scope.flaw() {
        reading.problem(map.place.problem("E103", format!("`{}`: {flaw}", map.full("may"))));
        return None;
    }
    Some(scope)
}
