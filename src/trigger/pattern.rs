//! One pattern: a glob, or a regex between slashes; anchored, case-sensitive, linear in the length of the value.
//!
//! Decides only whether a text matches. `condition` says which text, `index` which patterns are worth asking.

use regex::Regex;
use regex_syntax::hir::Hir;

use crate::limits::{self, PATTERN_CHARS_MAX, REGEX_BYTES_MAX, REGEX_NESTING_MAX};

use super::glob::{self, Token};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    form: Form,
}

/// How a pattern is compared; most need no regex.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Equal to this.
    Literal(String),
    /// These parts in this order, anything between them; the first stands at the start, the last at the end.
    Wildcard(Vec<String>),
    /// This, anchored at both ends; the syntax tree is without the anchors.
    Regex(Regex, Box<Hir>),
}

/// What is wrong with a pattern, matcher, time or zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// In characters from 0; `None` = the whole.
    pub position: Option<usize>,
    pub message: String,
    pub hint: Option<String>,
}

impl Flaw {
    pub(super) fn at(position: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { position: Some(position), message: message.into(), hint: Some(hint.into()) }
    }

    pub(super) fn whole(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { position: None, message: message.into(), hint: Some(hint.into()) }
    }

    /// The same flaw in a longer text, whose first `by` characters come before this one.
    pub(super) fn shifted(self, by: usize) -> Self {
        Self { position: self.position.map(|position| position + by), ..self }
    }
}

impl Pattern {
    /// A glob, or a regex if `text` stands between slashes. A glob that itself begins and ends with a slash is written
    /// with a backslash: `\/boot/`.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        bounded(text)?;
        if let Some(inner) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            let form = regex_form(inner).map_err(|flaw| flaw.shifted(1))?;
            return Ok(Self { text: text.to_owned(), form });
        }
        let tokens = glob::parse(text)?;
        let form = match parts(&tokens) {
            Some(mut parts) if parts.len() == 1 => Form::Literal(parts.pop().unwrap_or_default()),
            Some(parts) => Form::Wildcard(parts),
            // The positions of a translated glob mean nothing to its author.
            None => regex_form(&glob::to_regex(&tokens)).map_err(|flaw| Flaw { position: None, ..flaw })?,
        };
        Ok(Self { text: text.to_owned(), form })
    }

    /// The regex `text` itself, as in `=~`: anchored as Prometheus and Alertmanager anchor it.
    pub fn regex(text: &str) -> Result<Self, Flaw> {
        bounded(text)?;
        Ok(Self { text: text.to_owned(), form: regex_form(text)? })
    }

    /// Exactly `text`.
    pub fn literal(text: &str) -> Self {
        Self { text: text.to_owned(), form: Form::Literal(text.to_owned()) }
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        match &self.form {
            Form::Literal(text) => value == text,
            Form::Wildcard(parts) => wildcard(parts, value),
            Form::Regex(regex, _) => regex.is_match(value),
        }
    }

    /// As its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every text matches, the empty one too.
    pub fn matches_everything(&self) -> bool {
        matches!(&self.form, Form::Wildcard(parts) if parts.iter().all(String::is_empty))
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }
}

fn bounded(text: &str) -> Result<(), Flaw> {
    let count = text.chars().count();
    if count <= PATTERN_CHARS_MAX {
        return Ok(());
    }
    let message = format!("the pattern has {count} characters, at most {PATTERN_CHARS_MAX} are allowed");
    Err(Flaw::whole(message, "split it into several triggers"))
}

/// The texts between the `*`s of a glob that holds nothing else special.
fn parts(tokens: &[Token]) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    for token in tokens {
        match token {
            Token::Char(char) => parts.last_mut()?.push(*char),
            Token::Any => parts.push(String::new()),
            Token::One | Token::Class { .. } | Token::Either(_) => return None,
        }
    }
    Some(parts)
}

/// Taking each part as early as it occurs leaves the most for those after it.
fn wildcard(parts: &[String], value: &str) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(mut rest) = value.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        match rest.find(part.as_str()) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

fn regex_form(text: &str) -> Result<Form, Flaw> {
    // Parsed by itself first: `a)|(b` is no regex, and would slip out of the anchors around it.
    let hir = regex_syntax::ParserBuilder::new()
        .dot_matches_new_line(true)
        // What is put around it below counts as well.
        .nest_limit(REGEX_NESTING_MAX - 4)
        .build()
        .parse(text)
        .map_err(|error| syntax_flaw(text, &error))?;
    let regex =
        limits::regex(&format!("^(?:{text})$")).dot_matches_new_line(true).build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Flaw::whole(
                format!("the regex needs more than {REGEX_BYTES_MAX} bytes when compiled"),
                "use smaller repetition counts, or fewer alternatives",
            ),
            other => Flaw { position: None, message: format!("the regex does not compile: {other}"), hint: None },
        })?;
    Ok(Form::Regex(regex, Box::new(hir)))
}

fn syntax_flaw(text: &str, error: &regex_syntax::Error) -> Flaw {
    use regex_syntax::ast::ErrorKind;
    let (offset, message, hint) = match error {
        regex_syntax::Error::Parse(error) => {
            let hint = match error.kind() {
                ErrorKind::UnsupportedLookAround | ErrorKind::UnsupportedBackreference => {
                    "matching takes linear time, so there is no look-around and no back-reference; use a second condition, or `!~` in `matchers`"
                }
                ErrorKind::NestLimitExceeded(_) => "write it with fewer groups in groups, or as several triggers",
                ErrorKind::RepetitionMissing => "in a regex `*` repeats what stands before it; `.*` is any text",
                _ => r"write `\` before a character that stands for itself",
            };
            (error.span().start.offset, error.kind().to_string(), Some(hint.to_owned()))
        }
        regex_syntax::Error::Translate(error) => (error.span().start.offset, error.kind().to_string(), None),
        other => (0, other.to_string(), None),
    };
    let position = text.char_indices().take_while(|(at, _)| *at < offset).count();
    Flaw { position: Some(position), message, hint }
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
