//! A YAML document as a tree in which each node knows its place.
//!
//! Serde stops at the first error, and forgets where a value stood. The tree keeps scalars as text with their style, so
//! that `010`, `1.10` and `22:00` stay what the author wrote until the schema says what they are.

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use crate::limits;
use crate::problem::Problem;

/// Line and column, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// One value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub value: NodeValue,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum NodeValue {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the file's order, keys unique.
    Map(Vec<(Key, Node)>),
}

/// A scalar as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scalar {
    pub text: String,
    pub style: Style,
}

/// How a scalar was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Without quotes: may be a number, a boolean or nothing.
    Plain,
    /// `'…'` or `"…"`.
    Quoted,
    /// `|`: content starts on the next line, line for line.
    Literal,
    /// `>`: lines are joined.
    Folded,
}

/// A key of a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    pub name: String,
    pub place: Place,
}

impl Node {
    /// The value of `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            NodeValue::Map(entries) => entries.iter().find(|(name, _)| name.name == key).map(|(_, node)| node),
            NodeValue::Scalar(_) | NodeValue::List(_) => None,
        }
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            NodeValue::Map(entries) => entries,
            NodeValue::Scalar(_) | NodeValue::List(_) => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            NodeValue::List(items) => items,
            NodeValue::Scalar(_) | NodeValue::Map(_) => &[],
        }
    }

    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            NodeValue::Scalar(scalar) => Some(scalar),
            NodeValue::List(_) | NodeValue::Map(_) => None,
        }
    }

    /// Nothing was written, or `null`, or `~`.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| {
            scalar.style == Style::Plain && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
        })
    }

    /// What kind of thing it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Scalar(_) if self.is_null() => "nothing",
            NodeValue::Scalar(_) => "a single value",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a map",
        }
    }
}

/// Reads one YAML document. `None` when the text is no YAML; duplicate keys are reported and the first is kept.
pub fn read(file: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    if text.len() > limits::RUNBOOK_BYTES_MAX {
        let message = format!("is {} bytes long; at most {} are read", text.len(), limits::RUNBOOK_BYTES_MAX);
        problems.push(Problem::error("E101", file, 0, 0, message));
        return None;
    }
    let mut options = Options::default();
    options.block_nesting_limit = limits::YAML_DEPTH_MAX;
    options.flow_nesting_limit = limits::YAML_DEPTH_MAX;
    let mut reader = Reader {
        file,
        text,
        events: Parser::new_from_str_with_options(text, options),
        anchors: Vec::new(),
        nodes: 0,
        problems,
    };
    match reader.document() {
        Ok(node) => Some(node),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

struct Reader<'a, E> {
    file: &'a str,
    text: &'a str,
    events: E,
    /// Finished nodes by the parser's anchor number.
    anchors: Vec<(usize, Node)>,
    /// Nodes so far, aliases expanded.
    nodes: usize,
    problems: &'a mut Vec<Problem>,
}

type Stop = Box<Problem>;

impl<'a, E> Reader<'a, E>
where
    E: Iterator<Item = Result<(Event<'a>, Span), serde_saphyr::granit_parser::ScanError>>,
{
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            match self.next()? {
                None | Some((Event::StreamEnd, _)) => break,
                Some((Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _)) => {}
                Some((_, span)) if root.is_some() => {
                    return Err(self.stop(
                        place(span),
                        "a second document begins here",
                        "one file holds one runbook; remove the `---`",
                    ));
                }
                Some((event, span)) => root = Some(self.node(event, span)?),
            }
        }
        root.ok_or_else(|| {
            self.stop(Place { line: 1, column: 1 }, "the file is empty", "`douse init` writes an example")
        })
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Stop> {
        let at = place(span);
        self.count(1, at)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref().map(|tag| (tag.handle(), tag.suffix())), at)?;
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                    _ => Style::Quoted,
                };
                (NodeValue::Scalar(Scalar { text: text.into_owned(), style }), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (NodeValue::List(self.items()?), anchor),
            Event::MappingStart(_, anchor, _) => (NodeValue::Map(self.entries()?), anchor),
            Event::Alias(anchor) => {
                let Some(node) =
                    self.anchors.iter().find(|(number, _)| *number == anchor).map(|(_, node)| node.clone())
                else {
                    return Err(self.stop(
                        at,
                        "this alias stands inside the value that it names",
                        "write the value out",
                    ));
                };
                self.count(size(&node), at)?;
                return Ok(node);
            }
            _ => return Err(self.stop(at, "a value is missing here", "write one")),
        };
        let node = Node { place: at, value };
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
        Ok(node)
    }

    fn items(&mut self) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                None | Some((Event::SequenceEnd, _)) => return Ok(items),
                Some((event, span)) => items.push(self.node(event, span)?),
            }
        }
    }

    fn entries(&mut self) -> Result<Vec<(Key, Node)>, Stop> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let key = match self.next()? {
                None | Some((Event::MappingEnd, _)) => return Ok(entries),
                Some((Event::Scalar(text, ..), span)) => Key { name: text.into_owned(), place: place(span) },
                Some((Event::MappingStart(..), span)) => {
                    let hint = "put quotes around the whole value: YAML reads `{{` as the start of a map";
                    return Err(self.stop(place(span), "a key must be a plain name", hint));
                }
                Some((_, span)) => {
                    return Err(self.stop(place(span), "a key must be a plain name", "write `name: value`"));
                }
            };
            let Some((event, span)) = self.next()? else { return Ok(entries) };
            let value = self.node(event, span)?;
            match entries.iter().find(|(earlier, _)| earlier.name == key.name) {
                None => entries.push((key, value)),
                Some((earlier, _)) => {
                    let message =
                        format!("`{}` is written twice; the first is on line {}", key.name, earlier.place.line);
                    let problem = Problem::error("E102", self.file, key.place.line, key.place.column, message);
                    self.problems.push(problem.hint("remove one of them"));
                }
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Stop> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let at = Place { line: error.marker().line(), column: error.marker().col() + 1 };
                // The parser names the value that a tab on the next line ends, not the tab.
                let tab = Place { line: at.line + 1, column: 1 };
                let at = if !self.begins_with_tab(at) && self.begins_with_tab(tab) { tab } else { at };
                let stop = self.stop(at, error.info(), self.advice(at));
                Err(stop)
            }
        }
    }

    fn line(&self, at: Place) -> &'a str {
        self.text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default()
    }

    fn begins_with_tab(&self, at: Place) -> bool {
        self.line(at).trim_start_matches(' ').starts_with('\t')
    }

    /// The commonest mistakes, told by the line on which the parser gave up.
    fn advice(&self, at: Place) -> &'static str {
        let line = self.line(at);
        if self.begins_with_tab(at) {
            "indent with spaces; YAML allows no tabs"
        } else if line.contains(": {{") || line.contains("- {{") {
            "a value that begins with `{{` must be quoted: \"{{ … }}\""
        } else if line.matches(": ").count() > 1 {
            "a value that contains `: ` must be quoted, or written as a block with `|`"
        } else {
            "look at the indentation and the quotes of this line and the one before"
        }
    }

    fn check_tag(&self, tag: Option<(&str, &str)>, at: Place) -> Result<(), Stop> {
        match tag {
            None | Some(("tag:yaml.org,2002:", _)) => Ok(()),
            Some((handle, suffix)) => Err(self.stop(
                at,
                format!("the tag `{handle}{suffix}` means nothing here"),
                "remove it; runbooks need no tags",
            )),
        }
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > limits::YAML_NODES_MAX {
            let message = format!("the file has more than {} values, aliases expanded", limits::YAML_NODES_MAX);
            return Err(self.stop(at, message, "split it"));
        }
        Ok(())
    }

    fn stop(&self, at: Place, message: impl Into<String>, hint: &str) -> Stop {
        Box::new(Problem::error("E101", self.file, at.line, at.column, message).hint(hint))
    }
}

fn place(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

fn size(node: &Node) -> usize {
    match &node.value {
        NodeValue::Scalar(_) => 1,
        NodeValue::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        NodeValue::Map(entries) => 1 + entries.iter().map(|(_, node)| size(node)).sum::<usize>(),
    }
}
