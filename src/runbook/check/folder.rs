//! What only shows when all files are seen together: names that are used twice, triggers that can never be reached.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checked, ignore};
use crate::problem::{Problem, Severity};
use crate::runbook::model::Runbook;
use crate::runbook::parse::yaml::{self, Node};
use crate::runbook::parse::{Part, find, nearest};
use crate::trigger::pattern::Pattern;
use crate::trigger::{Trigger, TriggerSpec};

/// Problems between the files, in the order of the files.
pub fn across(files: &[Checked]) -> Vec<Problem> {
    let mut problems = Vec::new();
    names(files, &mut problems);
    shadows(files, &mut problems);
    problems.retain(|problem| {
        let file = files.iter().find(|file| file.file == problem.file);
        problem.severity == Severity::Error
            || file.is_none_or(|file| !ignore::Silenced::of(&file.source).is_silenced(problem))
    });
    problems.sort_by(|left, right| (&left.file, left.line, left.column).cmp(&(&right.file, right.line, right.column)));
    problems
}

/// E112: `allowed_servers` names a server that no file declares.
pub fn unknown_servers(files: &[Checked], servers: &BTreeSet<String>) -> Vec<Problem> {
    let is_known = |name: &str| servers.iter().any(|server| server.eq_ignore_ascii_case(name));
    let mut problems = Vec::new();
    for file in files {
        let names = file.runbook.as_ref().map(|runbook| runbook.allowed_servers.names.as_slice()).unwrap_or_default();
        let Some(document) = document(file).filter(|_| names.iter().any(|name| !is_known(name))) else { continue };
        let listed = find(&document, &["allowed_servers".into()]);
        let list = listed.get("names").unwrap_or(listed);
        for (number, name) in names.iter().enumerate().filter(|(_, name)| !is_known(name)) {
            let at = find(list, &[number.into()]).place;
            let message = format!("`{name}` is no server of servers.yml");
            let near = nearest(name, servers.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
            let hint = format!("{}a server that only the API knows is better named by a tag", near.unwrap_or_default());
            problems.push(Problem::error("E112", &file.file, at.line, at.column, message).hint(hint));
        }
    }
    problems
}

fn document(file: &Checked) -> Option<Node> {
    yaml::read(&file.file, &file.source, &mut Vec::new())
}

/// E110: a name is an identity.
fn names(files: &[Checked], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for file in files {
        let Some(document) = document(file) else { continue };
        let node = find(&document, &[Part::Key("name")]);
        let Some(name) = node.scalar().map(|scalar| scalar.text.clone()) else { continue };
        match seen.get(&name) {
            Some(first) => {
                let message = format!("a runbook called `{name}` is in {first} already");
                let problem = Problem::error("E110", &file.file, node.place.line, node.place.column, message);
                problems.push(problem.hint("rename one of them; the name is what its history hangs on"));
            }
            None => {
                seen.insert(name, &file.file);
            }
        }
    }
}

struct Placed<'a> {
    file: &'a Checked,
    runbook: &'a Runbook,
    number: usize,
    trigger: &'a Trigger,
}

/// W206: an earlier trigger takes every alert that a later one could.
fn shadows(files: &[Checked], problems: &mut Vec<Problem>) {
    let mut placed: Vec<Placed<'_>> = Vec::new();
    for file in files {
        let Some(runbook) = &file.runbook else { continue };
        let enabled = runbook.triggers.iter().enumerate().filter(|(_, trigger)| trigger.spec.enabled);
        placed.extend(enabled.map(|(number, trigger)| Placed { file, runbook, number, trigger }));
    }
    let rank = |placed: &Placed<'_>| (placed.trigger.spec.priority, placed.runbook.name.clone(), placed.number);
    placed.sort_by_key(rank);
    for (position, later) in placed.iter().enumerate() {
        let before = placed.get(..position).unwrap_or_default();
        let Some(earlier) = before.iter().find(|earlier| covers(&earlier.trigger.spec, &later.trigger.spec)) else {
            continue;
        };
        let at = document(later.file)
            .map(|document| find(&document, &[Part::Key("triggers"), Part::Item(later.number)]).place)
            .unwrap_or_default();
        let message = format!(
            "trigger `{}` is never reached: `{}` of runbook `{}` takes all of its alerts first",
            later.trigger.name(),
            earlier.trigger.name(),
            earlier.runbook.name
        );
        let hint = "give it a lower `priority`, or write `continue: true` in the other one";
        problems.push(Problem::warning("W206", &later.file.file, at.line, at.column, message).hint(hint));
    }
}

/// Whether each alert that `narrow` matches is matched by `wide`, as far as that can be told for certain.
fn covers(wide: &TriggerSpec, narrow: &TriggerSpec) -> bool {
    let pattern = |wide: &Option<String>, narrow: &Option<String>| match (wide, narrow) {
        (None, _) => true,
        (Some(wide), narrow) => includes(wide, narrow.as_deref()),
    };
    let map = |wide: &BTreeMap<String, String>, narrow: &BTreeMap<String, String>| {
        wide.iter().all(|(name, pattern)| includes(pattern, narrow.get(name).map(String::as_str)))
    };
    let is_always =
        wide.time_window_start.is_none() && wide.time_window_end.is_none() && wide.time_window_days.is_empty();
    let same_window = wide.time_window_start == narrow.time_window_start
        && wide.time_window_end == narrow.time_window_end
        && wide.time_window_days == narrow.time_window_days
        && wide.timezone == narrow.timezone;
    !wide.continue_matching
        && wide.status == narrow.status
        && (is_always || same_window)
        && pattern(&wide.alert_name_pattern, &narrow.alert_name_pattern)
        && pattern(&wide.severity_pattern, &narrow.severity_pattern)
        && pattern(&wide.source_pattern, &narrow.source_pattern)
        && pattern(&wide.instance_pattern, &narrow.instance_pattern)
        && pattern(&wide.job_pattern, &narrow.job_pattern)
        && map(&wide.labels_match, &narrow.labels_match)
        && map(&wide.annotations_match, &narrow.annotations_match)
        && wide.matchers.iter().all(|matcher| narrow.matchers.contains(matcher))
}

/// Whether pattern `wide` matches whatever `narrow` does: everything, the same pattern, a literal, or `a*` for `ab*`.
fn includes(wide: &str, narrow: Option<&str>) -> bool {
    let Ok(pattern) = Pattern::parse(wide) else { return false };
    if pattern.matches_everything() {
        return true;
    }
    let Some(narrow) = narrow else { return false };
    let is_literal =
        |text: &str| !(text.contains(['*', '?', '[', '{', '\\']) || text.starts_with('/') && text.ends_with('/'));
    if wide == narrow || (is_literal(narrow) && pattern.matches(narrow)) {
        return true;
    }
    match (wide.strip_suffix('*'), narrow.strip_suffix('*')) {
        (Some(wide), Some(narrow)) => is_literal(wide) && is_literal(narrow) && narrow.starts_with(wide),
        _ => false,
    }
}
