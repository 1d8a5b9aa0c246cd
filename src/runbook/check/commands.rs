//! Shell text cut into simple commands, well enough to warn about it. Nothing depends on this for safety.

/// A simple command of a shell text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Command {
    /// Words without quotes; templates are left as they are.
    pub(super) words: Vec<String>,
    /// From 1.
    pub(super) line: usize,
    /// Its output goes into the next one.
    pub(super) is_piped: bool,
}

impl Command {
    /// The program, without assignments and words of the grammar before it, and without its folder.
    pub(super) fn program(&self) -> &str {
        self.arguments_from_program().first().map(|word| base(word)).unwrap_or_default()
    }

    /// The program's arguments.
    pub(super) fn arguments(&self) -> &[String] {
        self.arguments_from_program().get(1..).unwrap_or_default()
    }

    fn arguments_from_program(&self) -> &[String] {
        const GRAMMAR: [&str; 12] =
            ["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "fi", "done"];
        let is_before = |word: &String| {
            GRAMMAR.contains(&word.as_str()) || word.split_once('=').is_some_and(|(name, _)| is_name(name))
        };
        let start = self.words.iter().position(|word| !is_before(word)).unwrap_or(self.words.len());
        self.words.get(start..).unwrap_or_default()
    }
}

/// The last part of a path.
pub(super) fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// The simple commands of `text`, in order.
pub(super) fn commands(text: &str) -> Vec<Command> {
    let mut cutter =
        Cutter { commands: Vec::new(), command: Command { line: 1, ..Command::default() }, word: None, line: 1 };
    let mut chars = text.chars().peekable();
    let mut quote = None;
    let mut template = 0_u32;
    while let Some(char) = chars.next() {
        if char == '\n' {
            cutter.line += 1;
        }
        let next = chars.peek().copied();
        match (char, quote) {
            ('{', _) if next == Some('{') => {
                template += 1;
                chars.next();
                cutter.push_text("{{");
            }
            ('}', _) if next == Some('}') && template > 0 => {
                template -= 1;
                chars.next();
                cutter.push_text("}}");
            }
            (char, _) if template > 0 => cutter.push(char),
            (char, Some(open)) if char == open => quote = None,
            ('\\', None | Some('"')) => {
                if let Some(escaped) = chars.next().filter(|escaped| *escaped != '\n') {
                    cutter.push(escaped);
                }
            }
            (char, Some(_)) => cutter.push(char),
            ('\'' | '"', None) => {
                quote = Some(char);
                cutter.push_text("");
            }
            ('#', None) if cutter.word.is_none() => while chars.next_if(|char| *char != '\n').is_some() {},
            ('|', None) if next == Some('|') => {
                chars.next();
                cutter.end(false);
            }
            ('|', None) => cutter.end(true),
            ('&', None) if next == Some('>') || cutter.word.as_deref().is_some_and(|word| word.ends_with('>')) => {
                cutter.push(char)
            }
            (';' | '&' | '\n' | '(' | ')' | '`', None) => cutter.end(false),
            (' ' | '\t', None) => cutter.end_word(),
            (char, None) => cutter.push(char),
        }
    }
    cutter.end(false);
    cutter.commands
}

struct Cutter {
    commands: Vec<Command>,
    command: Command,
    word: Option<String>,
    line: usize,
}

impl Cutter {
    fn push(&mut self, char: char) {
        self.push_text(char.encode_utf8(&mut [0; 4]));
    }

    fn push_text(&mut self, text: &str) {
        if self.command.words.is_empty() && self.word.is_none() {
            self.command.line = self.line;
        }
        self.word.get_or_insert_default().push_str(text);
    }

    fn end_word(&mut self) {
        self.command.words.extend(self.word.take());
    }

    fn end(&mut self, is_piped: bool) {
        self.end_word();
        let command = std::mem::take(&mut self.command);
        if !command.words.is_empty() {
            self.commands.push(Command { is_piped, ..command });
        }
    }
}
