//! Values in a POSIX shell's text: a small lexer that knows where each value stands.
//!
//! A harmless value ([`super::value::is_harmless`]) may stand nearly everywhere; the lexer refuses it where even harmless
//! characters are syntax: after `$`, as a line that ends a here-document, as a reserved word or an assignment at the
//! head of a command. A value of `| shq` is quoted for a bare word, `"…"` or `'…'`, and is refused where no quoting is
//! right for both dash and bash, where text is parsed a second time (`sh -c`, `eval`, `ssh`), and after anything that the
//! lexer does not follow. It never guesses: what it cannot tell is an error with a hint.

use super::value::{Misplaced, Piece, Place};

/// Deeper nesting of `$( … )` is not followed.
const DEPTH_MAX: usize = 32;
/// Words of the grammar; only at the head of a command.
const RESERVED: [&str; 22] = [
    "!", "{", "}", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in",
    "select", "then", "time", "until", "while", "[[", "]]",
];
/// After these a command begins again.
const OPENING: [&str; 10] = ["!", "{", "if", "then", "else", "elif", "while", "until", "do", "time"];
/// Programs that parse each argument as shell text.
const PARSES_ALL: [&str; 7] = ["eval", "ssh", "su", "watch", "trap", "parallel", "runuser"];
/// Programs that parse the argument of `-c` or `-e` as a program.
const PARSES_OPTION: [&str; 22] = [
    "sh",
    "bash",
    "dash",
    "ash",
    "ksh",
    "mksh",
    "zsh",
    "busybox",
    "python",
    "python3",
    "perl",
    "ruby",
    "node",
    "php",
    "lua",
    "psql",
    "mysql",
    "mariadb",
    "sqlite3",
    "pwsh",
    "powershell",
    "script",
];
/// Programs that parse their first plain argument as a program.
const PARSES_FIRST: [&str; 6] = ["awk", "gawk", "mawk", "sed", "jq", "expect"];

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

/// The words of a simple command so far.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
    has_begun: bool,
    is_quoted: bool,
    is_redirect: bool,
    /// The raw value in the current word, and what stood before it.
    raw: Option<(usize, String)>,
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
                    words.end()?;
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
                    words.end_command()?;
                    self.out.push(char);
                    self.commands(Some(')'))?;
                }
                ')' | ';' | '&' | '|' => {
                    self.out.push(char);
                    // `>&2` and `2>&1` are one redirection.
                    if char == '&' && words.is_redirect && !words.has_begun {
                        continue;
                    }
                    words.end_command()?;
                }
                '\n' => {
                    self.out.push(char);
                    words.end_command()?;
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
        words.end()?;
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

    /// What follows a `$`.
    fn dollar(&mut self, words: &mut Words, is_in_quotes: bool) -> Result<(), Misplaced> {
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
    fn expansion(&mut self) -> Result<(), Misplaced> {
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
    fn arithmetic(&mut self, opened: usize) -> Result<(), Misplaced> {
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

    fn backquoted(&mut self, words: &mut Words) -> Result<(), Misplaced> {
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

    fn comment(&mut self) -> Result<(), Misplaced> {
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
    fn here(&mut self, words: &mut Words) -> Result<(), Misplaced> {
        self.out.push('<');
        self.take();
        match self.peek_char() {
            Some('<') => {
                self.take();
                words.is_redirect = true;
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
    fn document_bodies(&mut self) -> Result<(), Misplaced> {
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

impl Words {
    fn push(&mut self, char: char) {
        self.has_begun = true;
        self.current.push(char);
    }

    fn quoted(&mut self) {
        self.has_begun = true;
        self.is_quoted = true;
    }

    /// The current word is over.
    fn end(&mut self) -> Result<(), Misplaced> {
        if !self.has_begun {
            return Ok(());
        }
        let word = std::mem::take(&mut self.current);
        let (is_quoted, raw) = (self.is_quoted, self.raw.take());
        (self.has_begun, self.is_quoted) = (false, false);
        if std::mem::take(&mut self.is_redirect) {
            return Ok(());
        }
        if self.done.is_empty() {
            let is_reserved = !is_quoted && RESERVED.contains(&word.as_str());
            let assigned = word.split_once('=').filter(|(name, _)| is_name(name));
            if let Some((value, before)) = raw
                && (is_reserved || (assigned.is_some() && !before.contains('=')))
            {
                let hint =
                    format!("makes `{word}` at the head of a command, which the shell does not take for a command");
                return Err(Misplaced { value, hint, is_unsafe: true });
            }
            if assigned.is_some() || (is_reserved && OPENING.contains(&word.as_str())) {
                return Ok(());
            }
        }
        self.done.push(word);
        Ok(())
    }

    fn end_command(&mut self) -> Result<(), Misplaced> {
        self.end()?;
        self.done.clear();
        self.is_redirect = false;
        Ok(())
    }

    /// Whether the word that is being written is parsed by another program.
    fn is_parsed_again(&self, is_in_quotes: bool) -> bool {
        let program = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
        let programs: Vec<String> = self.done.iter().map(program).collect();
        if programs.iter().any(|program| PARSES_ALL.contains(&program.as_str())) {
            return true;
        }
        let option = self.done.last().map(String::as_str).unwrap_or_default();
        let takes_program = (option.starts_with('-') && !option.starts_with("--") && option.ends_with(['c', 'e', 'r']))
            || ["--command", "--eval", "--execute", "-Command"].contains(&option);
        if takes_program && programs.iter().any(|program| PARSES_OPTION.contains(&program.as_str())) {
            return true;
        }
        let Some(at) = programs.iter().position(|program| PARSES_FIRST.contains(&program.as_str())) else {
            return false;
        };
        let later = self.done.get(at + 1..).unwrap_or_default();
        is_in_quotes || later.iter().all(|word| word.starts_with('-'))
    }
}

fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('+').unwrap_or(text);
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

fn refused(value: Held<'_>, hint: &str) -> Misplaced {
    Misplaced { value: value.number, hint: hint.to_owned(), is_unsafe: false }
}
