//! What a value must be to stand in a command, and how the places of values are kept while a template renders.
//!
//! The formatter writes a numbered mark instead of the value; only when the whole text is known can the shell's lexer
//! say where the value stands. The marks are private-use characters that neither a template's own text nor a value can
//! smuggle in: templates with them are refused, and values are never scanned for marks.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr, ValueKind};

use super::Form;

/// Begins a mark.
pub(super) const OPEN: char = '\u{F0000}';
/// Ends a mark.
pub(super) const CLOSE: char = '\u{F0001}';

/// How a value goes into the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// As it is: harmless.
    Raw,
    /// Quoted for where it stands.
    Quoted,
    /// As it is: the whole text is quoted later.
    Plain,
}

/// A piece of a rendered text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece<'a> {
    /// The author's own.
    Text(&'a str),
    /// Value number `number`.
    Value { number: usize, place: Place, text: &'a str },
}

/// A value that stands where it must not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Misplaced {
    /// Number of the value.
    pub(super) value: usize,
    pub(super) hint: String,
    /// The value is at fault, not the template.
    pub(super) is_unsafe: bool,
}

/// A value that was refused.
pub(super) struct Failure {
    pub(super) is_unsafe: bool,
    pub(super) message: String,
    /// Shows the value; left out where values may be secret.
    pub(super) detail: String,
}

/// Result of `| shq` and `| psq`: quoted when it is printed, and only then.
#[derive(Debug)]
pub(super) struct Quoted {
    pub(super) text: String,
    /// For PowerShell.
    pub(super) is_powershell: bool,
}

impl Object for Quoted {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether `text` is harmless everywhere in a shell's text but for the places that the lexer knows.
pub fn is_harmless(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_harmless_char)
}

fn is_harmless_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || "._:/@%+=,-".contains(char)
}

/// Why `| psq` (or else `| shq`) cannot quote for `form`; nothing if it can.
pub(super) fn foreign_quoting(form: Form, is_powershell: bool) -> Option<&'static str> {
    match (form, is_powershell) {
        (Form::Shell, false) | (Form::PowerShell, true) => None,
        (Form::Shell, true) => Some("`psq` quotes for PowerShell, but this is read by a POSIX shell; use `shq`"),
        (Form::PowerShell, false) => Some("`shq` quotes for a POSIX shell, but this is read by PowerShell; use `psq`"),
        (Form::OtherScript, _) => {
            Some("this interpreter's quoting is not known; read the value from the environment (`env:`) instead")
        }
        (Form::Plain, _) => Some("this text is quoted as a whole; remove the filter"),
    }
}

/// The text of a printed value and how it may be placed.
pub(super) fn admit(value: &Value, form: Form) -> Result<(Place, String), Failure> {
    let wrong = |message: &str| Failure { is_unsafe: false, message: message.to_owned(), detail: String::new() };
    if let Some(quoted) = value.downcast_object_ref::<Quoted>() {
        return match foreign_quoting(form, quoted.is_powershell) {
            None => Ok((Place::Quoted, quoted.text.clone())),
            Some(message) => Err(wrong(message)),
        };
    }
    match value.kind() {
        ValueKind::Undefined => return Err(wrong("has no value")),
        ValueKind::None => return Err(wrong("is null; give a `| default(…)`")),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            return Err(wrong("is a list or a map; pick one entry, loop over it, or use `| join(…)`"));
        }
        _ => {}
    }
    let text = value.to_string();
    if form == Form::Plain {
        return Ok((Place::Plain, text));
    }
    if is_harmless(&text) {
        return Ok((Place::Raw, text));
    }
    let message = if text.is_empty() {
        "is empty, which would make a word of the command disappear".to_owned()
    } else if text.starts_with('-') {
        "begins with `-`, which would make it an option".to_owned()
    } else {
        let bad = text.chars().find(|char| !is_harmless_char(*char)).unwrap_or_default();
        format!("contains {bad:?}, which could become shell syntax; refused (`| shq` would quote it)")
    };
    let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    Err(Failure { is_unsafe: true, message, detail: format!(": \"{shown}\"") })
}

/// The pieces of a text with marks. Each value must stand in it exactly once: what `| shq` gave may not be worked on.
pub(super) fn split<'a>(text: &'a str, values: &'a [(Place, String)]) -> Result<Vec<Piece<'a>>, Misplaced> {
    let mut pieces = Vec::new();
    let mut seen = vec![0_u32; values.len()];
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (number, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        let number = number.parse::<usize>().unwrap_or(usize::MAX);
        let Some((place, value)) = values.get(number) else { break };
        if let Some(count) = seen.get_mut(number) {
            *count += 1;
        }
        pieces.push(Piece::Text(before));
        pieces.push(Piece::Value { number, place: *place, text: value });
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    match seen.iter().position(|count| *count != 1) {
        None => Ok(pieces),
        Some(value) => {
            let hint = "is printed in a block that is worked on again (`set`, `filter`); print it directly".to_owned();
            Err(Misplaced { value, hint, is_unsafe: false })
        }
    }
}

/// The pieces as they are.
pub(super) fn join(pieces: &[Piece<'_>]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) | Piece::Value { text, .. } => *text,
        })
        .collect()
}
