//! A YAML document as a tree in which every node knows its place.
//!
//! Serde stops at the first error; a person who wrote a configuration wants to see all of them at once. So the file is
//! read into this tree first, environment variables are laid over it, and [`super::reader`] walks it.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::limits;
use crate::problem::Problem;

/// Largest configuration file, bytes; enough for thousands of sources, stops a mistaken path.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where a value comes from: a file with line and column from 1 (0 = as a whole), or `$NAME` of the environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// The file as a whole.
    pub fn file(path: &Path) -> Self {
        Self { file: path.display().to_string(), line: 0, column: 0 }
    }

    /// An environment variable.
    pub fn variable(name: &str) -> Self {
        Self { file: format!("${name}"), line: 0, column: 0 }
    }

    /// Comes from the environment, so that its paths are relative to the working directory.
    pub fn is_variable(&self) -> bool {
        self.file.starts_with('$')
    }

    /// A problem at this place.
    pub fn problem(&self, code: &'static str, message: impl Into<String>) -> Problem {
        Problem::error(code, &self.file, self.line, self.column, message)
    }

    fn at(path: &Path, location: &Location) -> Self {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self { file: path.display().to_string(), line: number(location.line()), column: number(location.column()) }
    }
}

/// One value with the place where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing was written after the key.
    Null,
    /// A number, a boolean or a text: as it stands in the file, so that `010` stays `010`.
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the file's order; keys are unique.
    Map(Vec<(Key, Node)>),
}

/// A scalar's text and whether YAML took it for a boolean or a number.
#[derive(Clone, Debug)]
pub struct Scalar {
    pub text: String,
    pub kind: ScalarKind,
}

/// What YAML made of a scalar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScalarKind {
    Text,
    Bool,
    Number,
}

/// A map's key.
#[derive(Clone, Debug)]
pub struct Key {
    pub name: String,
    pub place: Place,
}

impl Node {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let whole = Place::file(path);
        let text = match std::fs::metadata(path).map(|meta| meta.len()) {
            Ok(size) if size > FILE_BYTES_MAX => {
                return Err(whole.problem("E101", format!("is {size} bytes long; at most {FILE_BYTES_MAX} are read")));
            }
            Ok(_) => std::fs::read_to_string(path),
            Err(error) => Err(error),
        };
        let text = text.map_err(|error| {
            let problem = whole.problem("E130", format!("cannot be read: {error}"));
            match error.kind() {
                std::io::ErrorKind::NotFound => {
                    problem.hint("write one with `douse init`, or name another with --config.file")
                }
                _ => problem,
            }
        })?;
        Self::parse(path, &text)
    }

    /// Reads `text`, whose places are told as lines of `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Problem> {
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, limits::yaml(limits::CONFIG_DEPTH_MAX)) {
            Ok(raw) => Ok(build(path, text, raw)),
            Err(error) => {
                let place = error.location().map_or_else(|| Place::file(path), |at| Place::at(path, &at));
                let message = explain(&error);
                let code = if message.contains("duplicate") { "E102" } else { "E101" };
                Err(place.problem(code, message))
            }
        }
    }

    /// What kind of thing it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Text => "a text",
                ScalarKind::Bool => "a boolean",
                ScalarKind::Number => "a number",
            },
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The same value as JSON, for parts that another module reads with serde.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Text => scalar.text.clone().into(),
                ScalarKind::Bool => (scalar.text == "true").into(),
                ScalarKind::Number => serde_json::from_str(&scalar.text).unwrap_or_else(|_| scalar.text.clone().into()),
            },
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.name.clone(), node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// The parser's message without its own position, which the place tells already.
fn explain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let first = text.lines().next().unwrap_or(text);
    first.trim_start_matches("error: ").trim_end_matches(',').to_owned()
}

fn build(path: &Path, text: &str, raw: Spanned<Raw>) -> Node {
    let here = Place::at(path, &raw.referenced);
    let written = || {
        let span = raw.defined.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let length = usize::try_from(span.byte_len()?).ok()?;
        text.get(start..start.checked_add(length)?).map(|part| part.trim().to_owned())
    };
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Scalar(Scalar { text: value.to_string(), kind: ScalarKind::Bool }),
        Raw::Number(value) => Value::Scalar(Scalar {
            text: written().filter(|text| !text.is_empty()).unwrap_or(value),
            kind: ScalarKind::Number,
        }),
        Raw::Text(text) => Value::Scalar(Scalar { text, kind: ScalarKind::Text }),
        Raw::List(items) => Value::List(items.into_iter().map(|item| build(path, text, item)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key = Key { place: Place::at(path, &key.referenced), name: key.value };
                    (key, build(path, text, value))
                })
                .collect(),
        ),
    };
    Node { value, place: here }
}

/// What the parser hands over.
enum Raw {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, Problem> {
        Node::parse(Path::new("douse.yml"), text)
    }

    fn child<'n>(node: &'n Node, name: &str) -> &'n Node {
        match &node.value {
            Value::Map(entries) => &entries.iter().find(|(key, _)| key.name == name).unwrap().1,
            _ => panic!("{name}: not in a map"),
        }
    }

    #[test]
    fn every_node_knows_its_line_and_column() {
        let tree = parse("a:\n  b: [1, {c: x}]\n").unwrap();
        let b = child(child(&tree, "a"), "b");
        assert_eq!((b.place.line, b.place.column), (2, 6));
        match &b.value {
            Value::List(items) => {
                let c = child(&items[1], "c");
                assert_eq!((c.place.line, c.place.column), (2, 14));
            }
            _ => panic!("not a list"),
        }
    }

    #[test]
    fn a_scalar_keeps_the_text_of_the_file() {
        let tree = parse("a: 010\nb: 1_000\nc: 0x1f\nd: no\ne: true\nf: '22:00'\ng:\n").unwrap();
        for (name, text, kind) in [
            ("a", "010", ScalarKind::Number),
            ("d", "no", ScalarKind::Text),
            ("e", "true", ScalarKind::Bool),
            ("f", "22:00", ScalarKind::Text),
        ] {
            match &child(&tree, name).value {
                Value::Scalar(scalar) => assert_eq!((scalar.text.as_str(), scalar.kind), (text, kind), "{name}"),
                _ => panic!("{name}: not a scalar"),
            }
        }
        assert!(matches!(child(&tree, "g").value, Value::Null));
    }

    #[test]
    fn a_duplicate_key_and_broken_yaml_are_told_with_their_place() {
        let problem = parse("a: 1\na: 2\n").unwrap_err();
        assert!(problem.to_string().starts_with("douse.yml:2:1: "), "{problem}");
        assert!(problem.message.contains("duplicate"), "{problem}");
        let problem = parse("a: [1\nb: 2\n").unwrap_err();
        assert!(problem.to_string().starts_with("douse.yml:"), "{problem}");
    }
}
