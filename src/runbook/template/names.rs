//! Which names a template uses, where its expressions stand, and what to say when a name is missing.

use std::collections::BTreeSet;

use minijinja::Value;

use super::room;
use super::value::{CLOSE, OPEN, Place};

/// The names that a template takes from its context.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// First parts: `alert`, `SERVICE_NAME`.
    pub roots: BTreeSet<String>,
    /// Dotted paths as far as they are constant: `alert.labels.service`.
    pub paths: BTreeSet<String>,
}

impl Names {
    fn of(paths: impl IntoIterator<Item = String>) -> Self {
        let paths: BTreeSet<String> = paths.into_iter().collect();
        let root = |path: &String| path.split('.').next().unwrap_or_default().to_owned();
        Self { roots: paths.iter().map(root).collect(), paths }
    }
}

/// The names that `source` uses; none when its syntax is wrong.
pub fn names(source: &str) -> Names {
    let mut whole = source.to_owned();
    let code = blocks(source).into_iter().filter(|block| matches!(block, Block::Print(_) | Block::Tag(_)));
    for block in code.collect::<Vec<_>>().into_iter().rev() {
        let start = offset(source, block.source());
        whole.replace_range(start..start + block.source().len(), &without_slices(block.source()));
    }
    let names = room::for_template(&whole, || {
        let environment = super::environment();
        let template = environment.template_from_str(&whole);
        template.map(|template| Names::of(template.undeclared_variables(true))).ok()
    });
    names.ok().flatten().unwrap_or_default()
}

/// The names that a condition uses; none when its syntax is wrong.
pub fn names_of_condition(condition: &str) -> Names {
    match bare_expression(condition) {
        Some(expression) => names_of_expression(expression),
        None => names(condition),
    }
}

fn names_of_expression(expression: &str) -> Names {
    let names = room::for_expression(expression, || {
        let environment = super::environment();
        let code = without_slices(expression);
        let compiled = environment.compile_expression(&code);
        compiled.map(|compiled| Names::of(compiled.undeclared_variables(true))).ok()
    });
    names.ok().flatten().unwrap_or_default()
}

/// The same expressions with each slice (`a[1:2]`) as a subscript (`a[1-0-2]`): `undeclared_variables` of minijinja 3.0
/// passes over what is sliced, and a name that is not seen is not checked, nor hidden.
fn without_slices(code: &str) -> String {
    let (mut quote, mut is_escaped, mut open) = (None, false, Vec::new());
    let mut written = String::with_capacity(code.len());
    for (at, char) in code.char_indices() {
        match (quote, char) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(mark), _) if mark == char => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(char),
            (None, '(' | '[' | '{') => open.push(char),
            (None, ')' | ']' | '}') => drop(open.pop()),
            (None, ':') if open.last() == Some(&'[') => {
                let after = code.get(at + 1..).unwrap_or_default().trim_start();
                written.push_str(if after.starts_with([':', ']']) { "-0" } else { "-0-" });
                continue;
            }
            (None, _) => {}
        }
        written.push(char);
    }
    written
}

/// Where `part`, a piece of `source`, begins in it.
fn offset(source: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(source.as_ptr() as usize)
}

/// The expression of a condition that is one: with or without `{{ … }}` around it. `None` for a whole template.
pub(super) fn bare_expression(condition: &str) -> Option<&str> {
    let text = condition.trim();
    if let Some(inner) = text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}"))
        && !inner.contains("{{")
        && !inner.contains("}}")
    {
        return Some(inner.trim_matches('-').trim());
    }
    (!text.contains("{{") && !text.contains("{%")).then_some(text)
}

/// The printed expression or the tag around byte `at` of a template; all of it when there is none, as in a condition.
pub(super) fn enclosing(source: &str, at: usize) -> &str {
    let start = |inner: &str| offset(source, inner);
    blocks(source)
        .into_iter()
        .filter(|block| matches!(block, Block::Print(_) | Block::Tag(_)))
        .map(|block| block.source())
        .find(|inner| (start(inner)..=start(inner) + inner.len()).contains(&at))
        .unwrap_or(source)
        .trim_matches(|char: char| char.is_whitespace() || char == '-')
}

/// What a printed expression is about: its text before the first filter.
pub(super) fn subject(expression: &str) -> String {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut end = expression.len();
    for (at, char) in expression.char_indices() {
        match (quote, char) {
            (None, '\'' | '"') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '|') if depth == 0 => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    expression.get(..end).unwrap_or(expression).trim().chars().take(80).collect()
}

/// The first name of `expression` that `context` does not have, and a message that lists the names there are.
pub(crate) fn undefined_path(expression: &str, context: &Value) -> (String, String) {
    let mut names = names_of_expression(expression);
    if names.paths.is_empty() {
        names = self::names(expression);
    }
    for path in &names.paths {
        let mut value = context.clone();
        let mut known = String::new();
        for part in path.split('.') {
            let next = value.get_attr(part).unwrap_or(Value::UNDEFINED);
            if next.is_undefined() {
                return (path.clone(), missing(part, &known, &value));
            }
            known = if known.is_empty() { part.to_owned() } else { format!("{known}.{part}") };
            value = next;
        }
    }
    let name = subject(expression);
    let message = format!("`{name}` is not defined");
    match names.paths.iter().max_by_key(|path| path.len()) {
        None => (name, message),
        Some(path) => {
            let value =
                path.split('.').fold(context.clone(), |value, part| value.get_attr(part).unwrap_or(Value::UNDEFINED));
            let there = keys(&value);
            let message =
                if there.is_empty() { message } else { format!("{message}; `{path}` has {}", there.join(", ")) };
            (name, message)
        }
    }
}

fn missing(part: &str, known: &str, value: &Value) -> String {
    let there = keys(value);
    let near = crate::runbook::parse::nearest(part, there.iter().map(String::as_str));
    let (there_are, it_has) = match near {
        Some(near) => (format!("; did you mean `{near}`? There are"), format!("; did you mean `{near}`? It has")),
        None => ("; there are".to_owned(), "; it has".to_owned()),
    };
    match (known, there.is_empty()) {
        ("", _) if part == "alert" || part == "group" => {
            format!("there is no alert in this run, so `{part}` is not defined")
        }
        ("", _) => format!("`{part}` is not defined{there_are}: {}", there.join(", ")),
        (known, true) => format!("`{known}` has no `{part}`; it is empty"),
        (known, false) => format!("`{known}` has no `{part}`{it_has}: {}", there.join(", ")),
    }
}

fn keys(value: &Value) -> Vec<String> {
    const SHOWN_MAX: usize = 40;
    if value.kind() != minijinja::value::ValueKind::Map {
        return Vec::new();
    }
    let mut keys: Vec<String> =
        value.try_iter().into_iter().flatten().take(SHOWN_MAX).map(|key| key.to_string()).collect();
    keys.sort();
    keys
}

/// The expressions that a template prints, with the line of each from 1.
pub(super) fn printed(source: &str) -> Vec<(String, usize)> {
    let mut line = 1;
    let mut found = Vec::new();
    for block in blocks(source) {
        if let Block::Print(expression) = block {
            found.push((expression.trim_matches(|char: char| char.is_whitespace() || char == '-').to_owned(), line));
        }
        line += block.source().matches('\n').count();
    }
    found
}

/// The template's text with a mark for each printed expression, as if each loop ran once and each condition held: enough
/// to see where values stand in the shell's text. A quoted value is the name of its filter.
pub(super) fn outline(source: &str) -> (String, Vec<(Place, String)>, Vec<String>) {
    let mut text = String::new();
    let mut values = Vec::new();
    let mut expressions = Vec::new();
    for block in blocks(source) {
        match block {
            Block::Text(own) => text.push_str(own),
            Block::Tag(_) | Block::Unclosed(_) => {}
            Block::Print(expression) => {
                let last = expression.trim_end_matches('-').rsplit('|').next().unwrap_or_default().trim();
                let place = if matches!(last, "shq" | "psq") { Place::Quoted } else { Place::Raw };
                text.push_str(&format!("{OPEN}{}{CLOSE}", values.len()));
                values.push((place, if place == Place::Quoted { last } else { "x" }.to_owned()));
                expressions.push(subject(expression.trim_matches('-').trim()));
            }
        }
    }
    (text, values, expressions)
}

pub(super) enum Block<'a> {
    Text(&'a str),
    Print(&'a str),
    /// `{% … %}` and `{# … #}`.
    Tag(&'a str),
    /// What opens one that does not end, and all that follows; it comes again as text.
    Unclosed(&'a str),
}

impl<'a> Block<'a> {
    pub(super) fn source(&self) -> &'a str {
        match self {
            Self::Text(text) | Self::Print(text) | Self::Tag(text) => text,
            Self::Unclosed(_) => "",
        }
    }
}

pub(super) fn blocks(source: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = source;
    while let Some(start) = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        let (before, block) = rest.split_at(start);
        blocks.push(Block::Text(before));
        let (open, inner) = block.split_at(2);
        let close = match open {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        let Some(end) = end_of(inner, close, open != "{#") else {
            blocks.push(Block::Unclosed(block));
            rest = block;
            break;
        };
        let (inner, after) = inner.split_at(end);
        let after = after.get(2..).unwrap_or_default();
        let word = inner.trim_matches(|char: char| char.is_whitespace() || "-+".contains(char));
        rest = after;
        if open == "{{" {
            blocks.push(Block::Print(inner));
        } else if open == "{%" && word == "raw" {
            let (own, end) = after.find("{%").and_then(|at| after.split_at_checked(at)).unwrap_or((after, ""));
            blocks.push(Block::Tag(inner));
            blocks.push(Block::Text(own));
            rest = end;
        } else {
            blocks.push(Block::Tag(inner));
        }
    }
    blocks.push(Block::Text(rest));
    blocks
}

/// Where `close` stands outside of strings.
fn end_of(inner: &str, close: &str, has_strings: bool) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, char) in inner.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if char == '\\' => is_escaped = true,
            Some(open) if open == char => quote = None,
            Some(_) => {}
            None if has_strings && (char == '"' || char == '\'') => quote = Some(char),
            None if inner.get(at..).is_some_and(|rest| rest.starts_with(close)) => return Some(at),
            None => {}
        }
    }
    None
}
