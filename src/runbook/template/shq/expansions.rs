//! `$name`, `${…}`, `$(…)`, `$((…))` and backquotes.

use super::words::Words;
use super::{Lexer, Misplaced, Unit};

impl Lexer<'_> {
    /// What follows a `$`.
    pub(super) fn dollar(&mut self, words: &mut Words, is_in_quotes: bool) -> Result<(), Misplaced> {
        self.out.push('$');
        words.push('$');
        self.dollar_at = self.at;
        match (self.peek_char(), self.units.get(self.at + 1)) {
            (Some('('), Some(Unit::Char('('))) => {
                self.take();
                self.arithmetic(1)
            }
            (Some('('), _) => {
                self.take();
                let is_parsed_again = words.is_parsed_again(is_in_quotes);
                self.parsed_again += usize::from(is_parsed_again);
                self.commands(Some(')'))?;
                self.parsed_again -= usize::from(is_parsed_again);
                Ok(())
            }
            (Some('{'), _) => {
                self.take();
                self.expansion()
            }
            (Some('\''), _) if !is_in_quotes => {
                self.lost = Some("`$'…'` stands before it, which shells read differently");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `${…}`: followed only when it is simple.
    pub(super) fn expansion(&mut self) -> Result<(), Misplaced> {
        while let Some(unit) = self.next() {
            match unit {
                Unit::Value(value) => {
                    self.raw_only(value, "stands in `${…}`, where no quoting is safe; set a variable before")?
                }
                Unit::Char(char) => {
                    self.out.push(char);
                    match char {
                        '}' => return Ok(()),
                        '"' | '\'' | '\\' | '`' | '$' | '{' => {
                            self.lost = Some("a `${…}` with quotes or expansions stands before it")
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// `((…))` after its first parenthesis; it may also be two nested subshells.
    pub(super) fn arithmetic(&mut self, opened: usize) -> Result<(), Misplaced> {
        let mut depth = opened;
        let mut last = ' ';
        while let Some(unit) = self.next() {
            let char = match unit {
                Unit::Value(value) => {
                    self.raw_only(
                        value,
                        "stands in arithmetic `((…))`, where no quoting is safe; set a variable before",
                    )?;
                    last = ' ';
                    continue;
                }
                Unit::Char(char) => char,
            };
            self.out.push(char);
            match char {
                '(' => depth += 1,
                ')' => depth -= 1,
                '"' | '\'' | '\\' | '`' | '#' => self.lost = Some("a `((…))` with quotes stands before it"),
                _ => {}
            }
            if depth == 0 {
                if last != ')' {
                    self.lost = Some("a `((…)…)` stands before it, which shells read differently");
                }
                return Ok(());
            }
            last = char;
        }
        Ok(())
    }

    pub(super) fn backquoted(&mut self, words: &mut Words) -> Result<(), Misplaced> {
        self.out.push('`');
        words.quoted();
        while let Some(unit) = self.next() {
            match unit {
                Unit::Value(value) => {
                    self.raw_only(value, "stands in backquotes, where no quoting is safe; write `$(…)`")?
                }
                Unit::Char('\\') => self.backslash(None)?,
                Unit::Char(char) => {
                    self.out.push(char);
                    if char == '`' {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}
