//! Alertmanager's matchers: `name = value`, with `=`, `!=`, `=~`, `!~`, one or several, with or without `{}`.
//!
//! The UTF-8 syntax of Alertmanager 0.27 and later: a name or value is a word without white space and `{}!=~,\"'` and
//! backquote, or a text in double quotes with Go's escapes.

use super::pattern::{Flaw, Pattern};

/// One comparison of a label.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    pub(super) name: String,
    pub(super) pattern: Pattern,
    pub(super) negated: bool,
    /// As shown: `severity=~"warn.*"`.
    pub(super) text: String,
}

/// Reads the matchers in `text`, at least one.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, Flaw> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { chars: &chars, at: 0 };
    let open = reader.skip('{');
    let mut matchers = Vec::new();
    loop {
        reader.space();
        if reader.peek().is_none() || (open.is_some() && reader.peek() == Some('}')) {
            break;
        }
        matchers.push(reader.matcher()?);
        if reader.skip(',').is_none() {
            break;
        }
    }
    if let Some(open) = open
        && reader.skip('}').is_none()
    {
        return Err(match reader.peek() {
            None => Flaw::at(open, "this `{` is not closed", "put a `}` at the end"),
            Some(_) => reader.unexpected("a `,` or `}`"),
        });
    }
    reader.space();
    match reader.peek() {
        Some(_) => Err(reader.unexpected("a `,` or the end")),
        None if matchers.is_empty() => {
            Err(Flaw::whole("there is no matcher in it", "write one as in `severity=\"critical\"`"))
        }
        None => Ok(matchers),
    }
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Skips `char` and gives its place, if it comes next.
    fn skip(&mut self, char: char) -> Option<usize> {
        self.space();
        let at = self.at;
        (self.peek() == Some(char)).then(|| {
            self.at += 1;
            at
        })
    }

    fn matcher(&mut self) -> Result<Matcher, Flaw> {
        let start = self.at;
        let (name, _) = self.word("the name of a label")?;
        if name.is_empty() {
            return Err(Flaw::at(start, "the name of the label is empty", "name a label"));
        }
        self.space();
        let (negated, is_regex) = match (self.peek(), self.chars.get(self.at + 1)) {
            (Some('='), Some('~')) => (false, true),
            (Some('!'), Some('~')) => (true, true),
            (Some('!'), Some('=')) => (true, false),
            (Some('='), _) => (false, false),
            _ => return Err(self.unexpected("one of `=`, `!=`, `=~`, `!~`")),
        };
        self.at += if is_regex || negated { 2 } else { 1 };
        self.space();
        let start = self.at;
        let (value, quoted) = self.word("a value")?;
        let pattern = if is_regex {
            // Escapes make positions inside a quoted text unreliable; the start of the value is right in any case.
            Pattern::regex(&value).map_err(|flaw| match quoted {
                true => Flaw { position: Some(start), ..flaw },
                false => flaw.shifted(start),
            })?
        } else {
            Pattern::literal(&value)
        };
        let operator = match (negated, is_regex) {
            (false, false) => "=",
            (true, false) => "!=",
            (false, true) => "=~",
            (true, true) => "!~",
        };
        Ok(Matcher { text: format!("{name}{operator}{value:?}"), name, pattern, negated })
    }

    /// A word or a quoted text, and whether it was quoted.
    fn word(&mut self, what: &str) -> Result<(String, bool), Flaw> {
        if self.peek() == Some('"') {
            return Ok((self.quoted()?, true));
        }
        let start = self.at;
        while self.peek().is_some_and(|char| !is_reserved(char)) {
            self.at += 1;
        }
        if start == self.at {
            return Err(self.unexpected(what));
        }
        Ok((self.chars[start..self.at].iter().collect(), false))
    }

    fn quoted(&mut self) -> Result<String, Flaw> {
        let open = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let at = self.at;
            let Some(char) = self.peek() else {
                return Err(Flaw::at(open, "this `\"` is not closed", "put a `\"` at the end of the text"));
            };
            self.at += 1;
            match char {
                '"' => break,
                '\\' => self.escape(at, &mut bytes)?,
                other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        String::from_utf8(bytes)
            .map_err(|_| Flaw::at(open, "the escapes in this text are not UTF-8", r"write `\u00e9` for é"))
    }

    fn escape(&mut self, backslash: usize, bytes: &mut Vec<u8>) -> Result<(), Flaw> {
        let unknown = || Flaw::at(backslash, "this is no escape that Go knows", r"write `\\` for a backslash");
        let char = self.peek().ok_or_else(unknown)?;
        self.at += 1;
        let plain = match char {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' => b'\\',
            '"' => b'"',
            'x' => u8::try_from(self.digits(2, 16).ok_or_else(unknown)?).map_err(|_| unknown())?,
            '0'..='7' => {
                self.at -= 1;
                u8::try_from(self.digits(3, 8).ok_or_else(unknown)?).map_err(|_| unknown())?
            }
            'u' | 'U' => {
                let count = if char == 'u' { 4 } else { 8 };
                let char = self.digits(count, 16).and_then(char::from_u32).ok_or_else(unknown)?;
                bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(unknown()),
        };
        bytes.push(plain);
        Ok(())
    }

    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let digits = self.chars.get(self.at..self.at + count)?;
        self.at += count;
        digits.iter().try_fold(0_u32, |sum, digit| sum.checked_mul(radix)?.checked_add(digit.to_digit(radix)?))
    }

    fn unexpected(&self, wanted: &str) -> Flaw {
        let found = self.peek().map_or_else(|| "the text ends".to_owned(), |char| format!("`{char}` stands"));
        Flaw::at(self.at, format!("{found} where {wanted} is needed"), "put names and values in double quotes")
    }
}

fn is_reserved(char: char) -> bool {
    char.is_whitespace() || matches!(char, '{' | '}' | '!' | '=' | '~' | ',' | '\\' | '"' | '\'' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, (Option<usize>, String)> {
        parse(text)
            .map(|matchers| matchers.into_iter().map(|matcher| matcher.text).collect())
            .map_err(|flaw| (flaw.position, flaw.message))
    }

    #[test]
    fn reads_what_alertmanager_reads() {
        for (text, expected) in [
            ("severity=critical", vec![r#"severity="critical""#]),
            (r#" severity != "warn" "#, vec![r#"severity!="warn""#]),
            (r#"{job=~"node|db", env !~ test}"#, vec![r#"job=~"node|db""#, r#"env!~"test""#]),
            (r#"{a="1",}"#, vec![r#"a="1""#]),
            (r#""service.name"="a\"b\u00e9\x21\041""#, vec![r#"service.name="a\"bé!!""#]),
            ("größe=é", vec![r#"größe="é""#]),
            (r#"a="""#, vec![r#"a="""#]),
        ] {
            assert_eq!(read(text), Ok(expected.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn says_where_a_matcher_is_wrong() {
        for (text, position, words) in [
            ("", None, "no matcher"),
            ("{}", None, "no matcher"),
            ("severity", Some(8), "`=`"),
            ("a=b c=d", Some(4), "`c` stands"),
            (r#"{a="b""#, Some(0), "not closed"),
            (r#"a="b"#, Some(2), "not closed"),
            (r#"a="\q""#, Some(3), "escape"),
            ("a=~b(c", Some(4), "unclosed group"),
            (r#"a=~"(?!x)""#, Some(3), "look-around"),
            (r#"=""#, Some(0), "name of a label"),
        ] {
            let (found, message) = read(text).unwrap_err();
            assert_eq!(found, position, "{text}: {message}");
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    #[test]
    fn an_absent_label_is_the_empty_string() {
        let matcher = |text: &str| parse(text).unwrap().remove(0);
        for (text, matches_absent) in [
            (r#"a="""#, true),
            (r#"a!="x""#, true),
            ("a=~x?", true),
            ("a!~x", true),
            ("a=~.+", false),
            ("a!~.*", false),
        ] {
            let matcher = matcher(text);
            assert_eq!(matcher.pattern.matches("") != matcher.negated, matches_absent, "{text}");
        }
    }
}
