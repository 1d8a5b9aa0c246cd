//! Globs: reading them, and turning them into a regex where a plain comparison is not enough.
//!
//! `*` any text, also across `/` and newlines; `?` one character (not byte); `[a-z]`, `[!a]`, `[^a]` one of, none of;
//! `{a,b}` either, nested up to [`NESTING_MAX`]; `\x` the character x itself. All else stands for itself. Anchored and
//! case-sensitive. `globset` was looked at: it matches paths byte by byte (`?` is not `é`), gives `**` a meaning of its
//! own, and its errors have no position.

use super::pattern::Flaw;

/// Deepest nesting of `{…}`.
const NESTING_MAX: usize = 8;

/// One element of a glob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    Char(char),
    /// `*`
    Any,
    /// `?`
    One,
    /// `[…]`: inclusive ranges.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `{…}`
    Either(Vec<Vec<Token>>),
}

/// Reads a glob.
pub(super) fn parse(text: &str) -> Result<Vec<Token>, Flaw> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { chars: &chars, at: 0 };
    let tokens = reader.sequence(0)?;
    match reader.peek() {
        None => Ok(tokens),
        Some(_) => Err(Flaw::at(reader.at, "this `}` closes nothing", r"write `\}` for the character itself")),
    }
}

/// An unanchored regex (to be anchored by the caller) that matches what the glob matches.
pub(super) fn to_regex(tokens: &[Token]) -> String {
    let mut regex = String::new();
    for token in tokens {
        match token {
            Token::Char(char) => regex.push_str(&regex::escape(char.encode_utf8(&mut [0; 4]))),
            Token::Any => regex.push_str("(?s:.*)"),
            Token::One => regex.push_str("(?s:.)"),
            Token::Class { negated, ranges } => {
                regex.push_str(if *negated { "[^" } else { "[" });
                for (from, to) in ranges {
                    regex.push_str(&format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(*from), u32::from(*to)));
                }
                regex.push(']');
            }
            Token::Either(choices) => {
                let choices: Vec<String> = choices.iter().map(|choice| to_regex(choice)).collect();
                regex.push_str(&format!("(?:{})", choices.join("|")));
            }
        }
    }
    regex
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += 1;
        Some(char)
    }

    /// Up to the end, or to what ends a choice when `depth` is not 0.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Token>, Flaw> {
        let mut tokens = Vec::new();
        while let Some(char) = self.peek() {
            match char {
                '}' => break,
                ',' if depth > 0 => break,
                '*' => {
                    if tokens.last() != Some(&Token::Any) {
                        tokens.push(Token::Any);
                    }
                    self.at += 1;
                }
                '?' => {
                    tokens.push(Token::One);
                    self.at += 1;
                }
                '[' => tokens.push(self.class()?),
                '{' => tokens.push(self.either(depth)?),
                '\\' => tokens.push(Token::Char(self.escaped()?)),
                other => {
                    tokens.push(Token::Char(other));
                    self.at += 1;
                }
            }
        }
        Ok(tokens)
    }

    fn either(&mut self, depth: usize) -> Result<Token, Flaw> {
        let open = self.at;
        if depth >= NESTING_MAX {
            return Err(Flaw::at(open, format!("`{{` is nested more than {NESTING_MAX} deep"), "use a regex: `/…/`"));
        }
        self.at += 1;
        let mut choices = Vec::new();
        loop {
            choices.push(self.sequence(depth + 1)?);
            match self.next() {
                Some(',') => {}
                Some(_) => return Ok(Token::Either(choices)),
                None => {
                    return Err(Flaw::at(open, "this `{` is not closed", r"write `\{` for the character itself"));
                }
            }
        }
    }

    fn class(&mut self) -> Result<Token, Flaw> {
        let open = self.at;
        self.at += 1;
        let negated = matches!(self.peek(), Some('!' | '^'));
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            let start = self.at;
            match self.peek() {
                None => return Err(Flaw::at(open, "this `[` is not closed", r"write `\[` for the character itself")),
                // As in a shell, a `]` that comes first is a member.
                Some(']') if !ranges.is_empty() => break,
                Some(_) => {}
            }
            let from = self.member(open)?;
            let is_range = self.peek() == Some('-') && !matches!(self.chars.get(self.at + 1), None | Some(']'));
            let to = if is_range {
                self.at += 1;
                self.member(open)?
            } else {
                from
            };
            if from > to {
                let message = format!("the range `{from}-{to}` runs backwards");
                return Err(Flaw::at(start, message, format!("write `{to}-{from}`")));
            }
            ranges.push((from, to));
        }
        self.at += 1;
        Ok(Token::Class { negated, ranges })
    }

    fn member(&mut self, open: usize) -> Result<char, Flaw> {
        match self.peek() {
            Some('\\') => self.escaped(),
            Some(char) => {
                self.at += 1;
                Ok(char)
            }
            None => Err(Flaw::at(open, "this `[` is not closed", r"write `\[` for the character itself")),
        }
    }

    fn escaped(&mut self) -> Result<char, Flaw> {
        let backslash = self.at;
        self.at += 1;
        let hint = r"write `\\` for a backslash";
        self.next().ok_or_else(|| Flaw::at(backslash, r"nothing follows the `\`", hint))
    }
}
