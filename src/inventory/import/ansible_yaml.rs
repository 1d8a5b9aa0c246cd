//! Ansible's YAML inventories and files of variables.

use serde_json::{Map, Value};

use super::ansible::{Inventory, Variables};
use super::ansible_ini::expand;
use crate::limits;

pub(super) fn parse(text: &str) -> Result<Inventory, String> {
    let mut inventory = Inventory::default();
    for (name, group) in &map(text)? {
        read_group(&mut inventory, name, group, 0);
    }
    Ok(inventory)
}

/// The variables of a file.
pub(super) fn variables(text: &str) -> Result<Variables, String> {
    Ok(flat(&map(text)?))
}

fn map(text: &str) -> Result<Map<String, Value>, String> {
    let options = limits::yaml(limits::YAML_DEPTH_MAX);
    // Tags of Ansible's own; what they mark is told by its look.
    let text = text.replace("!vault", "").replace("!unsafe", "");
    let value: Value = serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
        let message = error.to_string();
        message.lines().next().unwrap_or_default().to_owned()
    })?;
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err("the file must be a map".to_owned()),
    }
}

fn read_group(inventory: &mut Inventory, name: &str, group: &Value, depth: usize) {
    inventory.group(name);
    let Value::Object(parts) = group else { return };
    for (part, value) in parts {
        match (part.as_str(), value) {
            (_, Value::Null) => {}
            ("hosts", Value::Object(hosts)) => {
                for (pattern, own) in hosts {
                    let own = if let Value::Object(own) = own { flat(own) } else { Variables::new() };
                    for host in expand(pattern) {
                        inventory.group(name).hosts.insert(host.clone());
                        inventory.host(&host).extend(own.clone());
                    }
                }
            }
            ("children", Value::Object(children)) if depth < 32 => {
                for (child, value) in children {
                    inventory.group(name).children.insert(child.clone());
                    read_group(inventory, child, value, depth + 1);
                }
            }
            ("vars", Value::Object(variables)) => inventory.group(name).variables.extend(flat(variables)),
            (other, _) => inventory.problems.push(format!("group `{name}`: `{other}` was not understood")),
        }
    }
}

/// Variables as texts; lists and maps are nothing that a connection needs.
fn flat(map: &Map<String, Value>) -> Variables {
    map.iter()
        .map(|(name, value)| match value {
            Value::String(text) => (name.clone(), text.trim().to_owned()),
            other => (name.clone(), other.to_string()),
        })
        .collect()
}
