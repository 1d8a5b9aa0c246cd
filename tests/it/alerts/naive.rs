//! The obvious way to match: ask every trigger about everything, in order. No index, no shared code with the real one
//! but the trigger's keys; globs by backtracking.

use std::cell::RefCell;
use std::collections::HashMap;

use douse::alert::Alert;
use douse::trigger::TriggerSpec;

/// Places in `triggers` (runbook, position, keys) that `alert` of `source` selects.
pub fn select(triggers: &[(String, usize, TriggerSpec)], source: &str, alert: &Alert) -> Vec<usize> {
    let mut order: Vec<usize> = (0..triggers.len()).collect();
    order.sort_by_key(|place| {
        let (runbook, position, spec) = &triggers[*place];
        (spec.priority, runbook.clone(), *position)
    });
    let mut selected = Vec::new();
    for place in order {
        let spec = &triggers[place].2;
        if matches(spec, source, alert) {
            selected.push(place);
            if !spec.continue_matching {
                break;
            }
        }
    }
    selected
}

fn matches(spec: &TriggerSpec, source: &str, alert: &Alert) -> bool {
    let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
    let annotation = |name: &str| alert.annotations.get(name).cloned().unwrap_or_default();
    let holds = |wanted: &Option<String>, found: String| wanted.as_ref().is_none_or(|wanted| pattern(wanted, &found));
    spec.enabled
        && spec.status == alert.status
        && holds(&spec.alert_name_pattern, label("alertname"))
        && holds(&spec.severity_pattern, label("severity"))
        && holds(&spec.instance_pattern, label("instance"))
        && holds(&spec.job_pattern, label("job"))
        && holds(&spec.source_pattern, source.to_owned())
        && spec.labels_match.iter().all(|(name, wanted)| pattern(wanted, &label(name)))
        && spec.annotations_match.iter().all(|(name, wanted)| pattern(wanted, &annotation(name)))
        && spec.matchers.iter().all(|text| matcher(text, &label))
}

/// One matcher in the form `name OP "value"`, without escapes: what the generator writes.
fn matcher(text: &str, label: &dyn Fn(&str) -> String) -> bool {
    let at = text.find(['=', '!']).unwrap();
    let quote = text.find('"').unwrap();
    let (name, operator, value) = (&text[..at], &text[at..quote], text[quote..].trim_matches('"'));
    let found = label(name);
    match operator {
        "=" => found == value,
        "!=" => found != value,
        "=~" => regex(value, &found),
        "!~" => !regex(value, &found),
        other => panic!("{other}"),
    }
}

fn pattern(wanted: &str, found: &str) -> bool {
    match wanted.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(inner) => regex(inner, found),
        None => glob(&wanted.chars().collect::<Vec<_>>(), &found.chars().collect::<Vec<_>>()),
    }
}

fn regex(text: &str, found: &str) -> bool {
    thread_local!(static COMPILED: RefCell<HashMap<String, regex::Regex>> = RefCell::default());
    let compile = || regex::Regex::new(&format!("^(?s:{text})$")).unwrap();
    COMPILED.with_borrow_mut(|all| all.entry(text.to_owned()).or_insert_with(compile).is_match(found))
}

fn glob(wanted: &[char], found: &[char]) -> bool {
    match wanted {
        [] => found.is_empty(),
        ['*', rest @ ..] => (0..=found.len()).any(|at| glob(rest, &found[at..])),
        ['?', rest @ ..] => !found.is_empty() && glob(rest, &found[1..]),
        ['\\', literal, rest @ ..] => found.first() == Some(literal) && glob(rest, &found[1..]),
        ['[', rest @ ..] => {
            let end = rest.iter().position(|char| *char == ']').unwrap();
            let Some(first) = found.first() else { return false };
            let (class, is_negated) = match rest[..end] {
                ['!', ref class @ ..] => (class, true),
                ref class => (class, false),
            };
            let is_member = match class {
                [from, '-', to] => (from..=to).contains(&first),
                members => members.contains(first),
            };
            is_member != is_negated && glob(&rest[end + 1..], &found[1..])
        }
        ['{', rest @ ..] => {
            let end = rest.iter().position(|char| *char == '}').unwrap();
            rest[..end].split(|char| *char == ',').any(|choice| {
                let whole: Vec<char> = choice.iter().chain(&rest[end + 1..]).copied().collect();
                glob(&whole, found)
            })
        }
        [literal, rest @ ..] => found.first() == Some(literal) && glob(rest, &found[1..]),
    }
}
