//! The words of a simple command: its head, and whether another program parses what is being written.

use crate::runbook::template::value::Misplaced;

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

/// The words of a simple command so far.
#[derive(Default)]
pub(super) struct Words {
    pub(super) done: Vec<String>,
    pub(super) current: String,
    pub(super) has_begun: bool,
    pub(super) is_quoted: bool,
    pub(super) is_redirect: bool,
    /// The word is read by an interpreter.
    pub(super) is_read: bool,
    /// A quoted value in this command.
    pub(super) holds: Option<usize>,
    /// A quoted value in the commands that are piped into this one.
    pub(super) piped: Option<usize>,
    /// The raw value in the current word, and what stood before it.
    pub(super) raw: Option<(usize, String)>,
}

impl Words {
    pub(super) fn push(&mut self, char: char) {
        self.has_begun = true;
        self.current.push(char);
    }

    pub(super) fn quoted(&mut self) {
        self.has_begun = true;
        self.is_quoted = true;
    }

    /// The current word is over.
    pub(super) fn end(&mut self) -> Result<(), Misplaced> {
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

    /// The current command is over.
    pub(super) fn end_command(&mut self, is_pipe: bool) -> Result<(), Misplaced> {
        self.end()?;
        if let Some(value) = self.piped
            && self.reads_program()
        {
            let hint = "is piped into a program that runs what it reads; pass it as an argument".to_owned();
            return Err(Misplaced { value, hint, is_unsafe: false });
        }
        self.piped = if is_pipe { self.holds.or(self.piped) } else { None };
        self.holds = None;
        self.done.clear();
        (self.is_redirect, self.is_read) = (false, false);
        Ok(())
    }

    /// The next word is what the command reads (`<<<`).
    pub(super) fn reads_word(&mut self) {
        self.is_redirect = true;
        self.is_read = self.reads_program();
    }

    /// Whether the command is an interpreter without a program of its own, so that it runs what it reads.
    fn reads_program(&self) -> bool {
        let program = |word: &String| PARSES_OPTION.contains(&word.rsplit('/').next().unwrap_or_default());
        match self.done.iter().rposition(program) {
            None => false,
            Some(at) => self.done.iter().skip(at + 1).all(|word| word.starts_with('-') && word != "-c"),
        }
    }

    /// Whether the word that is being written is parsed by another program.
    pub(super) fn is_parsed_again(&self, is_in_quotes: bool) -> bool {
        if self.is_read {
            return true;
        }
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
