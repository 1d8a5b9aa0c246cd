//! Comments and here-documents: no quoting is safe in either.

use super::words::Words;
use super::{Document, Lexer, Misplaced, Unit, refused};

impl Lexer<'_> {
    pub(super) fn comment(&mut self) -> Result<(), Misplaced> {
        self.out.push('#');
        loop {
            match self.units.get(self.at).copied() {
                None | Some(Unit::Char('\n')) => return Ok(()),
                Some(Unit::Value(value)) => {
                    self.at += 1;
                    self.raw_only(value, "stands in a comment; remove it")?;
                }
                Some(Unit::Char(char)) => {
                    self.at += 1;
                    self.out.push(char);
                }
            }
        }
    }

    /// `<<`, `<<-` or `<<<`; the first `<` is already taken.
    pub(super) fn here(&mut self, words: &mut Words) -> Result<(), Misplaced> {
        self.out.push('<');
        self.take();
        match self.peek_char() {
            Some('<') => {
                self.take();
                words.reads_word();
                return Ok(());
            }
            Some('-') => self.take(),
            _ => {}
        }
        let strips_tabs = self.out.ends_with('-');
        while matches!(self.peek_char(), Some(' ' | '\t')) {
            self.take();
        }
        let mut delimiter = String::new();
        let mut quote = None;
        while let Some(unit) = self.units.get(self.at).copied() {
            match (unit, quote) {
                (Unit::Value(value), _) => {
                    return Err(refused(value, "names the end of a here-document; write that out"));
                }
                (Unit::Char(' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')'), None) => break,
                (Unit::Char(char @ ('\'' | '"')), None) => quote = Some(char),
                (Unit::Char(char), Some(open)) if char == open => quote = None,
                (Unit::Char('\\'), None) => {}
                (Unit::Char('$' | '`'), None) => {
                    self.lost = Some("a here-document with a strange end stands before it")
                }
                (Unit::Char(char), _) => delimiter.push(char),
            }
            self.take();
        }
        self.documents.push(Document { delimiter, strips_tabs });
        Ok(())
    }

    /// The bodies of the here-documents of the line that just ended.
    pub(super) fn document_bodies(&mut self) -> Result<(), Misplaced> {
        for document in std::mem::take(&mut self.documents) {
            loop {
                let (mut line, mut raw, mut is_last) = (String::new(), None, true);
                while let Some(unit) = self.next() {
                    match unit {
                        Unit::Value(value) => {
                            self.raw_only(
                                value,
                                "stands in a here-document, where no quoting is safe; use `printf '%s\\n' … > file`",
                            )?;
                            line.push_str(value.text);
                            raw = Some(value);
                        }
                        Unit::Char(char) => {
                            self.out.push(char);
                            if char == '\n' {
                                is_last = false;
                                break;
                            }
                            line.push(char);
                        }
                    }
                }
                let line = if document.strips_tabs { line.trim_start_matches('\t') } else { line.as_str() };
                match raw {
                    Some(value) if line == document.delimiter => {
                        let hint = "would end the here-document that it stands in".to_owned();
                        return Err(Misplaced { value: value.number, hint, is_unsafe: true });
                    }
                    _ if line == document.delimiter || is_last => break,
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
