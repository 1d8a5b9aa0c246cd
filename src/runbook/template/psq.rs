//! Values in PowerShell text: `| psq` places a value as a single-quoted literal, and only where one can stand.

use super::value::{Misplaced, Piece, Place};

/// PowerShell takes five characters for a single quote.
const SINGLE: [char; 5] = ['\'', '\u{2018}', '\u{2019}', '\u{201A}', '\u{201B}'];
/// And four for a double quote.
const DOUBLE: [char; 4] = ['"', '\u{201C}', '\u{201D}', '\u{201E}'];

/// A single-quoted literal: every kind of single quote doubled.
pub(super) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for char in text.chars() {
        quoted.push(char);
        if SINGLE.contains(&char) {
            quoted.push(char);
        }
    }
    quoted.push('\'');
    quoted
}

/// The whole text, each quoted value as a literal.
pub(super) fn place(pieces: &[Piece<'_>]) -> Result<String, Misplaced> {
    let mut text = String::new();
    let mut state = State::Bare;
    for piece in pieces {
        match piece {
            Piece::Text(own) => {
                for char in own.chars() {
                    state = state.after(char, text.chars().last().unwrap_or('\n'));
                    text.push(char);
                }
            }
            Piece::Value { place: Place::Quoted, number, text: value } => {
                let hint = match state {
                    State::Bare => None,
                    State::Single | State::Double | State::DoubleEscaped => {
                        Some("stands in a string; end the string before, `psq` brings its own quotes")
                    }
                    State::Escaped => Some("stands after a backquote; remove that"),
                    State::Comment => Some("stands in a comment; remove it"),
                    State::HereString => Some(
                        "stands in or after a here-string or a block comment, where nothing can be told; set a variable before",
                    ),
                };
                if let Some(hint) = hint {
                    return Err(Misplaced { value: *number, hint: hint.to_owned(), is_unsafe: false });
                }
                text.push_str(&literal(value));
            }
            Piece::Value { text: value, .. } => text.push_str(value),
        }
    }
    Ok(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Bare,
    Escaped,
    Single,
    Double,
    DoubleEscaped,
    Comment,
    /// Also everything after one: its end is not looked for.
    HereString,
}

impl State {
    fn after(self, char: char, before: char) -> Self {
        match self {
            Self::Bare if SINGLE.contains(&char) && before == '@' => Self::HereString,
            Self::Bare if DOUBLE.contains(&char) && before == '@' => Self::HereString,
            Self::Bare if SINGLE.contains(&char) => Self::Single,
            Self::Bare if DOUBLE.contains(&char) => Self::Double,
            Self::Bare if char == '`' => Self::Escaped,
            Self::Bare if char == '#' && before == '<' => Self::HereString,
            Self::Bare if char == '#' && !before.is_alphanumeric() => Self::Comment,
            Self::Bare | Self::Escaped => Self::Bare,
            Self::Single if SINGLE.contains(&char) => Self::Bare,
            Self::Double if char == '`' => Self::DoubleEscaped,
            Self::DoubleEscaped => Self::Double,
            // `$(…)` nests: it is not followed.
            Self::Double if char == '(' && before == '$' => Self::HereString,
            Self::Double if DOUBLE.contains(&char) => Self::Bare,
            Self::Comment if char == '\n' => Self::Bare,
            Self::Single | Self::Double | Self::Comment | Self::HereString => self,
        }
    }
}
