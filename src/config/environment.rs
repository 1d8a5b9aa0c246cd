//! Environment variables laid over the file: `DOUSE_STORAGE__URL` is `storage.url`.
//!
//! Only names with `__` are ours: `DOUSE_URL` and `DOUSE_TOKEN` belong to the client commands. A list's entry is named by
//! its number (`DOUSE_AUTH__TOKENS__0__TOKEN`) and must be in the file; a list of texts is set as a whole.
//! The command line's options are laid over as the same variables.

use crate::problem::Problem;

use super::tree::{Key, Node, Place, Scalar, ScalarKind, Value};

/// Lays each variable of ours in `variables` over `root`; one that cannot be laid is a problem.
pub(super) fn overlay(root: &mut Node, variables: &[(String, String)], problems: &mut Vec<Problem>) {
    for (name, value) in variables {
        let Some(path) = name.strip_prefix("DOUSE_").filter(|path| path.contains("__")) else { continue };
        let place = Place::variable(name);
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        if let Err(message) = set(root, &path, &place, value) {
            problems.push(place.problem("E104", message));
        }
    }
}

/// A variable's text as YAML would have taken it.
fn scalar(text: &str) -> Scalar {
    let kind = match text {
        "true" | "false" => ScalarKind::Bool,
        _ if text.parse::<f64>().is_ok() => ScalarKind::Number,
        _ => ScalarKind::Text,
    };
    Scalar { text: text.to_owned(), kind }
}

fn set(node: &mut Node, path: &[String], place: &Place, text: &str) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return match &node.value {
            Value::Map(_) => Err("names a map; only single values can be set by the environment".to_owned()),
            Value::List(items) if !items.iter().all(|item| matches!(item.value, Value::Scalar(_))) => {
                Err("names a list of maps; only single values can be set by the environment".to_owned())
            }
            Value::Null | Value::Scalar(_) | Value::List(_) => {
                *node = Node { value: Value::Scalar(scalar(text)), place: place.clone() };
                Ok(())
            }
        };
    };
    if matches!(node.value, Value::Null) {
        *node = Node { value: Value::Map(Vec::new()), place: place.clone() };
    }
    match &mut node.value {
        Value::Map(entries) => {
            let position = entries.iter().position(|(key, _)| key.name == *first).unwrap_or_else(|| {
                let key = Key { name: first.clone(), place: place.clone() };
                entries.push((key, Node { value: Value::Null, place: place.clone() }));
                entries.len() - 1
            });
            match entries.get_mut(position) {
                Some((_, child)) => set(child, rest, place, text),
                None => Ok(()),
            }
        }
        Value::List(items) => {
            let length = items.len();
            match first.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(item) => set(item, rest, place, text),
                None => Err(format!("`{first}` is not the number of an entry; the list has {length}, counted from 0")),
            }
        }
        Value::Null | Value::Scalar(_) => Err(format!("`{first}` stands below a single value")),
    }
}
