//! A YAML tree read by a JSON Schema: every problem at once, each at its place.
//!
//! The schema comes from [`super::raw`], so what it says here it also says to editors. It uses only what `schemars`
//! makes of those types: types, properties, `required`, items, `enum`, `anyOf`, bounds, lengths, patterns, and the
//! formats named in [`Reader::format`].

use serde_json::{Map, Number, Value};

use super::yaml::{Key, Node, NodeValue, Place, Scalar, Style};
use crate::problem::Problem;

/// What people may do; the words of the configuration's `auth`.
const ROLES: [&str; 4] = ["admin", "engineer", "operator", "viewer"];

/// Reads `node` as `schema` wants it. Values with problems are left out.
pub(super) fn read(file: &str, root: &Value, node: &Node, problems: &mut Vec<Problem>) -> Option<Value> {
    Reader { file, root, problems }.value(node, root, "the file")
}

struct Reader<'a> {
    file: &'a str,
    root: &'a Value,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, node: &Node, schema: &'a Value, name: &str) -> Option<Value> {
        let schema = self.resolve(node, schema);
        if schema.is_boolean() || schema.as_object().is_some_and(Map::is_empty) || is_untyped(schema) {
            return Some(untyped(node));
        }
        match &node.value {
            NodeValue::Map(entries) if allows(schema, "object") => self.map(entries, node.place, schema, name),
            NodeValue::List(items) if allows(schema, "array") => self.list(items, node.place, schema, name),
            NodeValue::Scalar(scalar) if !node.is_null() || is_quoted(scalar) => {
                self.scalar(scalar, node.place, schema, name)
            }
            NodeValue::Scalar(_) | NodeValue::Map(_) | NodeValue::List(_) => {
                let hint = match (&node.value, allows(schema, "string")) {
                    (NodeValue::Map(_), true) if name_is_template(node) => "quote it: \"{{ … }}\"".to_owned(),
                    _ => format!("write {}", wanted(schema)),
                };
                self.wrong(node.place, name, node.kind(), schema, hint)
            }
        }
    }

    fn map(&mut self, entries: &[(Key, Node)], at: Place, schema: &'a Value, name: &str) -> Option<Value> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut read = Map::new();
        for (key, node) in entries {
            if let Some(property) = properties.and_then(|all| all.get(&key.name)) {
                if node.is_null() {
                    continue;
                }
                if let Some(value) = self.value(node, property, &format!("`{}`", key.name)) {
                    read.insert(key.name.clone(), value);
                }
            } else if let Some(any) = schema.get("additionalProperties").filter(|any| **any != Value::Bool(false)) {
                if let Some(value) = self.value(node, any, &format!("`{}`", key.name)) {
                    read.insert(key.name.clone(), value);
                }
            } else if !key.name.starts_with("x-") {
                self.unknown(key, schema, name);
            }
        }
        let mut is_complete = true;
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !entries.iter().any(|(key, node)| key.name == required && !node.is_null()) {
                let message = format!("`{required}` is missing in {name}");
                self.add("E105", at, message, Some(format!("add `{required}:`")));
            }
            is_complete &= read.contains_key(required);
        }
        is_complete.then_some(Value::Object(read))
    }

    fn unknown(&mut self, key: &Key, schema: &'a Value, name: &str) {
        let reserved = schema.get("x-douse-reserved").and_then(Value::as_array);
        if reserved.is_some_and(|keys| keys.iter().any(|reserved| reserved == key.name.as_str())) {
            let message = format!(
                "`{}` is part of the runbook language, but this version of Douse cannot run it yet; remove it",
                key.name
            );
            self.add("E104", key.place, message, None);
            return;
        }
        let known: Vec<&str> = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let hint = if key.name == "<<" {
            "merge keys are not read; write the values out".to_owned()
        } else if let Some(near) = nearest(&key.name, known.iter().copied()) {
            format!("did you mean `{near}`? A key of your own begins with `x-`")
        } else {
            format!("known here: {}; a key of your own begins with `x-`", known.join(", "))
        };
        self.add("E104", key.place, format!("`{}` is not a key of {name}", key.name), Some(hint));
    }

    fn list(&mut self, items: &[Node], at: Place, schema: &'a Value, name: &str) -> Option<Value> {
        let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if let Some(min) = schema.get("minItems").and_then(Value::as_u64).filter(|min| length < *min) {
            self.add("E103", at, format!("{name} is empty; it needs at least {min}"), None);
            return None;
        }
        if let Some(max) = schema.get("maxItems").and_then(Value::as_u64).filter(|max| length > *max) {
            self.add("E103", at, format!("{name} has {length} entries; at most {max} are read"), None);
            return None;
        }
        let item_name = |number: usize| match name.trim_matches('`') {
            "steps" | "triggers" | "parameters" => {
                format!("{} {}", name.trim_matches('`').trim_end_matches('s'), number + 1)
            }
            _ => format!("entry {} of {name}", number + 1),
        };
        let mut read = Vec::with_capacity(items.len());
        for (number, item) in items.iter().enumerate() {
            match schema.get("items") {
                Some(schema) => read.push(self.value(item, schema, &item_name(number))),
                None => read.push(Some(untyped(item))),
            }
        }
        read.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
    }

    fn scalar(&mut self, scalar: &Scalar, at: Place, schema: &'a Value, name: &str) -> Option<Value> {
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return self.word(scalar, at, words, name);
        }
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && let Some(value) = self.format(scalar, at, format, name)
        {
            return value;
        }
        let plain = scalar.style == Style::Plain;
        let number = if plain { scalar.text.replace('_', "") } else { String::new() };
        if allows(schema, "boolean") && plain {
            match scalar.text.as_str() {
                "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
                "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
                _ if !allows(schema, "string") => {
                    let yes = ["yes", "on", "y"].contains(&scalar.text.to_lowercase().as_str());
                    let no = ["no", "off", "n"].contains(&scalar.text.to_lowercase().as_str());
                    let hint = format!(
                        "write {}",
                        if yes {
                            "true"
                        } else if no {
                            "false"
                        } else {
                            "true or false"
                        }
                    );
                    return self.wrong(at, name, &shown(scalar), schema, hint);
                }
                _ => {}
            }
        }
        if allows(schema, "integer")
            && plain
            && let Ok(value) = number.parse::<i64>()
        {
            return self.bounded(value.into(), at, schema, name);
        }
        if allows(schema, "number")
            && plain
            && let Ok(value) = number.parse::<f64>()
            && let Some(value) = Number::from_f64(value)
        {
            return self.bounded(value, at, schema, name);
        }
        if allows(schema, "string") {
            return self.text(&scalar.text, at, schema, name);
        }
        self.wrong(at, name, &shown(scalar), schema, format!("write {}", wanted(schema)))
    }

    fn word(&mut self, scalar: &Scalar, at: Place, words: &[Value], name: &str) -> Option<Value> {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        if words.contains(&scalar.text.as_str()) {
            return Some(Value::String(scalar.text.clone()));
        }
        let hint = nearest(&scalar.text, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let message = format!("{name} is {}; it must be one of {}", shown(scalar), words.join(", "));
        self.add("E103", at, message, hint);
        None
    }

    fn text(&mut self, text: &str, at: Place, schema: &'a Value, name: &str) -> Option<Value> {
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if let Some(max) = schema.get("maxLength").and_then(Value::as_u64).filter(|max| length > *max) {
            self.add("E103", at, format!("{name} has {length} characters; at most {max} are allowed"), None);
            return None;
        }
        if schema.get("minLength").and_then(Value::as_u64).is_some_and(|min| length < min) {
            self.add("E103", at, format!("{name} is empty"), None);
            return None;
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && !regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
        {
            let hint = "use letters, digits and `_`, and begin with a letter".to_owned();
            self.add("E103", at, format!("{name} is `{text}`, which is not a name"), Some(hint));
            return None;
        }
        Some(Value::String(text.to_owned()))
    }

    fn bounded(&mut self, value: Number, at: Place, schema: &'a Value, name: &str) -> Option<Value> {
        let number = value.as_f64().unwrap_or(f64::NAN);
        let min = schema.get("minimum").and_then(Value::as_f64);
        let max = schema.get("maximum").and_then(Value::as_f64);
        if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
            let range = match (min, max) {
                (Some(min), Some(max)) => format!("from {min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (_, max) => format!("at most {}", max.unwrap_or(f64::MAX)),
            };
            self.add("E103", at, format!("{name} is {value}; it must be {range}"), None);
            return None;
        }
        Some(Value::Number(value))
    }

    /// The formats of [`super::raw`]; `None` for one that is not ours.
    fn format(&mut self, scalar: &Scalar, at: Place, format: &str, name: &str) -> Option<Option<Value>> {
        let text = scalar.text.trim();
        let value = match format {
            "duration-text" => match humantime::parse_duration(text) {
                Ok(_) => Some(Value::String(text.to_owned())),
                Err(_) => {
                    let hint = match text.parse::<u64>() {
                        Ok(number) => format!("did you mean `{number}s`?"),
                        Err(_) => "write it like `90s`, `5m` or `1h30m`".to_owned(),
                    };
                    self.add("E103", at, format!("{name} is {}, which is not a duration", shown(scalar)), Some(hint));
                    None
                }
            },
            "user" => match text {
                "true" if scalar.style == Style::Plain => Some("root".into()),
                "false" if scalar.style == Style::Plain => Some("".into()),
                user if is_user(user) => Some(user.into()),
                _ => {
                    let hint = "write the name of a user, or `true` for root".to_owned();
                    self.add(
                        "E103",
                        at,
                        format!("{name} is {}, which is not a user's name", shown(scalar)),
                        Some(hint),
                    );
                    None
                }
            },
            "role" if ROLES.contains(&text) => Some(text.into()),
            "role" => {
                let hint = nearest(text, ROLES.into_iter()).map(|near| format!("did you mean `{near}`?"));
                let message = format!("{} is no role; there are {}", shown(scalar), ROLES.join(", "));
                self.add("E112", at, message, hint);
                None
            }
            "time-of-day" => Some(Value::String(self.time_of_day(scalar, at, name))),
            _ => return None,
        };
        Some(value)
    }

    /// YAML 1.1 reads an unquoted `22:00` as 22 × 60 + 0; other tools that touch the file may write that back.
    fn time_of_day(&mut self, scalar: &Scalar, at: Place, name: &str) -> String {
        let text = scalar.text.trim();
        if scalar.style != Style::Plain {
            return text.to_owned();
        }
        if let Some(number) = text.parse::<u32>().ok().filter(|number| *number <= 24 * 3_600) {
            let minutes = if number <= 24 * 60 { number } else { number / 60 };
            let time = format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let message = format!("{name} is the number {number}, read as {time}");
            self.warn("W211", at, message, format!("write it quoted: \"{time}\""));
            return time;
        }
        // 08:30 begins with a zero, which no YAML version takes for a number.
        if text.contains(':') && !text.starts_with('0') {
            let message = format!("{name}: YAML 1.1 tools read an unquoted {text} as a number");
            self.warn("W211", at, message, format!("quote it: \"{text}\""));
        }
        text.to_owned()
    }

    /// Follows references, and picks the branch of an `anyOf` that fits what was written.
    fn resolve(&self, node: &Node, schema: &'a Value) -> &'a Value {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(schema, |target| self.resolve(node, target));
        }
        let Some(branches) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) else {
            return schema;
        };
        let branches: Vec<&Value> = branches
            .iter()
            .filter(|branch| branch.get("type").and_then(Value::as_str) != Some("null"))
            .map(|branch| self.resolve(node, branch))
            .collect();
        let wanted = match node.value {
            NodeValue::Map(_) => "object",
            NodeValue::List(_) => "array",
            NodeValue::Scalar(_) => "string",
        };
        branches.iter().find(|branch| allows(branch, wanted)).or_else(|| branches.first()).copied().unwrap_or(schema)
    }

    fn wrong(&mut self, at: Place, name: &str, found: &str, schema: &Value, hint: String) -> Option<Value> {
        self.add("E103", at, format!("{name} must be {}, but {found} stands here", wanted(schema)), Some(hint));
        None
    }

    fn add(&mut self, code: &'static str, at: Place, message: String, hint: Option<String>) {
        let problem = Problem::error(code, self.file, at.line, at.column, message);
        self.problems.push(Problem { hint, ..problem });
    }

    fn warn(&mut self, code: &'static str, at: Place, message: String, hint: String) {
        self.problems.push(Problem::warning(code, self.file, at.line, at.column, message).hint(hint));
    }
}

/// The nearest of `known`, if it is near enough to be a slip of the keyboard.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.84)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// The value that a plain scalar stands for by YAML's core schema; what looks like octal or sexagesimal stays text.
pub(super) fn untyped(node: &Node) -> Value {
    match &node.value {
        NodeValue::List(items) => Value::Array(items.iter().map(untyped).collect()),
        NodeValue::Map(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.name.clone(), untyped(node))).collect())
        }
        NodeValue::Scalar(_) if node.is_null() => Value::Null,
        NodeValue::Scalar(Scalar { text, style: Style::Plain }) => match text.as_str() {
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            _ if text.len() > 1 && text.starts_with('0') && !text.contains('.') => Value::String(text.clone()),
            _ => {
                let integer = text.parse::<i64>().ok().map(Number::from);
                let looks_like_number = text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
                let number = || text.parse::<f64>().ok().filter(|_| looks_like_number).and_then(Number::from_f64);
                integer.or_else(number).map_or_else(|| Value::String(text.clone()), Value::Number)
            }
        },
        NodeValue::Scalar(Scalar { text, .. }) => Value::String(text.clone()),
    }
}

fn allows(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(any)) => any.iter().any(|one| one == kind),
        _ => false,
    }
}

fn is_untyped(schema: &Value) -> bool {
    ["type", "enum", "$ref", "anyOf", "oneOf"].iter().all(|key| schema.get(key).is_none())
}

fn is_quoted(scalar: &Scalar) -> bool {
    scalar.style != Style::Plain
}

fn is_user(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char))
}

/// `{{ x }}` without quotes is a map in a map to YAML.
fn name_is_template(node: &Node) -> bool {
    matches!(node.entries(), [(_, value)] if value.is_null() || matches!(value.value, NodeValue::Map(_)))
}

fn shown(scalar: &Scalar) -> String {
    let text: String = scalar.text.chars().take(60).collect();
    format!("`{text}`")
}

fn wanted(schema: &Value) -> &'static str {
    match schema.get("format").and_then(Value::as_str) {
        Some("duration-text") => return "a duration like `90s` or `5m`",
        Some("user") => return "a user's name",
        Some("time-of-day") => return "a time like \"22:00\"",
        _ => {}
    }
    if allows(schema, "object") {
        "a map"
    } else if allows(schema, "array") {
        "a list"
    } else if allows(schema, "boolean") {
        "true or false"
    } else if allows(schema, "integer") {
        "a whole number"
    } else if allows(schema, "number") {
        "a number"
    } else {
        "a text"
    }
}

/// Says in the schema that keys beginning with `x-` are anybody's own.
pub(super) fn allow_own_keys(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("additionalProperties") == Some(&Value::Bool(false)) {
                map.insert("patternProperties".to_owned(), serde_json::json!({ "^x-": true }));
            }
            map.values_mut().for_each(allow_own_keys);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_own_keys),
        _ => {}
    }
}
