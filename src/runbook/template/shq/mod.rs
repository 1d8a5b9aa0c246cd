//! Values in a POSIX shell's text: a small lexer that knows where each value stands.
//!
//! A harmless value ([`super::value::is_harmless`]) may stand nearly everywhere; the lexer refuses it where even harmless
//! characters are syntax: after `$`, as a line that ends a here-document, as a reserved word or an assignment at the
//! head of a command. A value of `| shq` is quoted for a bare word, `"…"` or `'…'`, and is refused where no quoting is
//! right for both dash and bash, where text is parsed a second time (`sh -c`, `eval`, `ssh`), and after anything that the
//! lexer does not follow. It never guesses: what it cannot tell is an error with a hint.

mod documents;
mod expansions;
mod words;

use super::value::{Misplaced, Piece, Place};
use words::Words;

/// Deeper nesting of `$( … )` is not followed.
const DEPTH_MAX: usize = 32;
/// The whole text, each value placed for where it stands.
pub(super) fn place(pieces: &[Piece<'_>]) -> Result<String, Misplaced> {
    let mut units = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => units.extend(text.chars().map(Unit::Char)),
            Piece::Value { number, place, text } => {
                units.push(Unit::Value(Held { number: *number, place: *place, text }))
            }
        }
    }
    let mut lexer = Lexer {
        units,
        at: 0,
        out: String::new(),
        lost: None,
        parsed_again: 0,
        depth: 0,
        dollar_at: usize::MAX - 1,
        documents: Vec::new(),
    };
    lexer.commands(None)?;
    Ok(lexer.out)
}

#[derive(Clone, Copy)]
enum Unit<'a> {
    Char(char),
    Value(Held<'a>),
}

#[derive(Clone, Copy)]
struct Held<'a> {
    number: usize,
    place: Place,
    text: &'a str,
}

struct Lexer<'a> {
    units: Vec<Unit<'a>>,
    at: usize,
    out: String,
    /// Why nothing can be told from here on.
    lost: Option<&'static str>,
    /// Depth of texts that another shell parses again.
    parsed_again: usize,
    depth: usize,
    /// What the last unescaped `$` is followed by.
    dollar_at: usize,
    /// Here-documents whose bodies begin after this line.
    documents: Vec<Document>,
}

struct Document {
    delimiter: String,
    strips_tabs: bool,
}

impl<'a> Lexer<'a> {
    /// Commands up to the closing character, or to the end.
    fn commands(&mut self, close: Option<char>) -> Result<(), Misplaced> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.lost = Some("the command nests too deeply before it");
        }
        let mut words = Words::default();
        while let Some(unit) = self.next() {
            let char = match unit {
                Unit::Value(value) => {
                    self.bare_value(value, &mut words)?;
                    continue;
                }
                Unit::Char(char) => char,
            };
            match char {
                _ if Some(char) == close && self.depth <= DEPTH_MAX => {
                    self.out.push(char);
                    words.end_command(false)?;
                    self.depth -= 1;
                    return Ok(());
                }
                '\\' => self.backslash(Some(&mut words))?,
                '\'' => self.single(&mut words)?,
                '"' => self.double(&mut words)?,
                '`' => self.backquoted(&mut words)?,
                '$' => self.dollar(&mut words, false)?,
                '#' if !words.has_begun => self.comment()?,
                '<' if self.peek_char() == Some('<') => {
                    words.end()?;
                    self.here(&mut words)?;
                }
                '<' | '>' => {
                    self.out.push(char);
                    words.end()?;
                    words.is_redirect = true;
                }
                '(' if self.peek_char() == Some('(') => {
                    words.end()?;
                    self.out.push(char);
                    self.arithmetic(1)?;
                }
                '(' => {
                    words.end()?;
                    self.out.push(char);
                    self.commands(Some(')'))?;
                    // Else it is `<(…)` or `f()`, and the command goes on.
                    if words.done.is_empty() {
                        words.end_command(false)?;
                    }
                }
                ')' | ';' | '&' | '|' => {
                    self.out.push(char);
                    // `>&2` and `2>&1` are one redirection.
                    if char == '&' && words.is_redirect && !words.has_begun {
                        continue;
                    }
                    let is_pipe = char == '|' && self.peek_char() != Some('|') && !self.out.ends_with("||");
                    words.end_command(is_pipe)?;
                }
                '\n' => {
                    self.out.push(char);
                    words.end_command(false)?;
                    self.document_bodies()?;
                }
                ' ' | '\t' => {
                    self.out.push(char);
                    words.end()?;
                    if close.is_some() && words.done.last().is_some_and(|word| word == "case") {
                        self.lost = Some("a `case` in parentheses stands before it");
                    }
                }
                _ => {
                    self.out.push(char);
                    words.push(char);
                }
            }
        }
        words.end_command(false)?;
        self.document_bodies()?;
        self.depth -= 1;
        Ok(())
    }

    fn bare_value(&mut self, value: Held<'a>, words: &mut Words) -> Result<(), Misplaced> {
        self.after_dollar(value)?;
        match value.place {
            Place::Quoted => {
                self.quotable(value, words, false)?;
                self.out.push('\'');
                self.out.push_str(&value.text.replace('\'', r"'\''"));
                self.out.push('\'');
                words.quoted();
                words.holds = Some(value.number);
            }
            Place::Raw | Place::Plain => {
                self.out.push_str(value.text);
                if words.raw.is_none() {
                    words.raw = Some((value.number, words.current.clone()));
                }
                words.has_begun = true;
                words.current.push_str(value.text);
            }
        }
        Ok(())
    }

    /// A value right after `$` would name a variable, or make `$'…'`.
    fn after_dollar(&self, value: Held<'a>) -> Result<(), Misplaced> {
        if self.dollar_at + 1 == self.at {
            return Err(refused(value, "stands right after `$`, where it would name a variable; leave the `$` out"));
        }
        Ok(())
    }

    /// Whether a value can be quoted here at all.
    fn quotable(&self, value: Held<'a>, words: &Words, is_in_quotes: bool) -> Result<(), Misplaced> {
        if value.text.contains('\0') {
            return Err(Misplaced {
                value: value.number,
                hint: "contains a NUL character".to_owned(),
                is_unsafe: true,
            });
        }
        if let Some(lost) = self.lost {
            return Err(refused(
                value,
                &format!("cannot be quoted: {lost}; set a variable at the top instead: `x={{{{ … | shq }}}}`"),
            ));
        }
        if self.parsed_again > 0 || words.is_parsed_again(is_in_quotes) {
            let hint = "stands in text that another program parses again, where no quoting is safe; pass it as an argument of its own \
                        (`sh -c 'cmd \"$1\"' _ {{ … | shq }}`) or read it from an environment variable";
            return Err(refused(value, hint));
        }
        Ok(())
    }

    fn single(&mut self, words: &mut Words) -> Result<(), Misplaced> {
        self.out.push('\'');
        words.quoted();
        while let Some(unit) = self.next() {
            match unit {
                Unit::Value(value) => {
                    if value.place == Place::Quoted {
                        self.quotable(value, words, true)?;
                        words.holds = Some(value.number);
                        self.out.push_str(&value.text.replace('\'', r"'\''"));
                    } else {
                        self.out.push_str(value.text);
                    }
                }
                Unit::Char(char) => {
                    self.out.push(char);
                    if char == '\'' {
                        return Ok(());
                    }
                    words.current.push(char);
                }
            }
        }
        Ok(())
    }

    fn double(&mut self, words: &mut Words) -> Result<(), Misplaced> {
        self.out.push('"');
        words.quoted();
        while let Some(unit) = self.next() {
            match unit {
                Unit::Value(value) => {
                    self.after_dollar(value)?;
                    if value.place == Place::Quoted {
                        self.quotable(value, words, true)?;
                        words.holds = Some(value.number);
                        for char in value.text.chars() {
                            if matches!(char, '"' | '\\' | '$' | '`') {
                                self.out.push('\\');
                            }
                            self.out.push(char);
                        }
                    } else {
                        self.out.push_str(value.text);
                    }
                }
                Unit::Char('\\') => self.backslash(None)?,
                Unit::Char('`') => self.backquoted(words)?,
                Unit::Char('$') => self.dollar(words, true)?,
                Unit::Char(char) => {
                    self.out.push(char);
                    if char == '"' {
                        return Ok(());
                    }
                    words.current.push(char);
                }
            }
        }
        Ok(())
    }

    /// A backslash and the character that it takes.
    fn backslash(&mut self, words: Option<&mut Words>) -> Result<(), Misplaced> {
        self.out.push('\\');
        match self.next() {
            Some(Unit::Value(value)) => Err(refused(value, "stands right after a backslash; remove that")),
            Some(Unit::Char(char)) => {
                self.out.push(char);
                if let (Some(words), true) = (words, char != '\n') {
                    words.quoted();
                    words.current.push(char);
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn raw_only(&mut self, value: Held<'a>, hint: &str) -> Result<(), Misplaced> {
        match value.place {
            Place::Quoted => Err(refused(value, hint)),
            Place::Raw | Place::Plain => {
                self.out.push_str(value.text);
                Ok(())
            }
        }
    }

    fn next(&mut self) -> Option<Unit<'a>> {
        let unit = self.units.get(self.at).copied();
        self.at += 1;
        unit
    }

    fn peek_char(&self) -> Option<char> {
        match self.units.get(self.at) {
            Some(Unit::Char(char)) => Some(*char),
            Some(Unit::Value(_)) | None => None,
        }
    }

    /// Takes over the next character as it is.
    fn take(&mut self) {
        if let Some(Unit::Char(char)) = self.next() {
            self.out.push(char);
        }
    }
}

fn refused(value: Held<'_>, hint: &str) -> Misplaced {
    Misplaced { value: value.number, hint: hint.to_owned(), is_unsafe: false }
}
