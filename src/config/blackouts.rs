//! `blackouts`: windows in which nothing may start, declared in the file.

use chrono_tz::Tz;

use crate::gate::blackout::BlackoutSpec;

use super::reader::{MapReader, Reading};
use super::tree::Place;

/// A blackout as the file writes it. It was parsed once, so it can be parsed again in the same zone.
#[derive(Clone, PartialEq, Debug)]
pub struct DeclaredBlackout {
    /// Unique in the file.
    pub name: String,
    pub spec: BlackoutSpec,
    pub place: Place,
}

pub(super) fn read<'r>(reading: &'r Reading<'r>, top: &mut MapReader<'r, '_>, zone: Tz) -> Vec<DeclaredBlackout> {
    let mut found: Vec<DeclaredBlackout> = Vec::new();
    for (index, node) in top.list("blackouts").iter().enumerate() {
        let Some(mut map) = MapReader::new(reading, format!("blackouts[{index}]"), node) else { continue };
        let Some(name) = map.required("name") else { continue };
        if found.iter().any(|other| other.name == name.value) {
            reading.problem(name.place.problem("E110", format!("two blackouts are called `{}`", name.value)));
        }
        let spec = match serde_json::from_value::<BlackoutSpec>(node.to_json()) {
            Ok(spec) => spec,
            Err(error) => {
                reading.problem(node.place.problem("E103", format!("blackout `{}`: {error}", name.value)));
                continue;
            }
        };
        if let Err(error) = spec.parse(zone) {
            let place = map.node(error.field).map_or(&node.place, |node| &node.place);
            reading.problem(place.problem("E103", error.to_string()));
        }
        found.push(DeclaredBlackout { name: name.value, spec, place: node.place.clone() });
    }
    found
}
