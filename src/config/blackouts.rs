//! `blackouts`: windows in which nothing may start, declared in the file.

use super::reader::{MapReader, Reading};

/// A blackout as the file writes it; `gate::blackout` reads the JSON.
#[derive(Clone, PartialEq, Debug)]
pub struct DeclaredBlackout {
    pub name: String,
    pub spec: serde_json::Value,
}

pub(super) fn read<'r>(reading: &'r Reading<'r>, top: &mut MapReader<'r, '_>) -> Vec<DeclaredBlackout> {
    let mut found: Vec<DeclaredBlackout> = Vec::new();
    for (index, node) in top.list("blackouts").iter().enumerate() {
        let Some(mut map) = MapReader::new(reading, format!("blackouts[{index}]"), node) else { continue };
        let Some(name) = map.required("name") else { continue };
        if found.iter().any(|other| other.name == name.value) {
            reading.problem(name.place.problem("E110", format!("two blackouts are called `{}`", name.value)));
        }
        found.push(DeclaredBlackout { name: name.value, spec: node.to_json() });
    }
    found
}
