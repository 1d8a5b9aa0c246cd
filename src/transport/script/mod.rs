//! The script that a host's shell reads on its standard input.
//!
//! The exec string of a session is the constant `/bin/sh`; everything else comes on stdin, so neither values nor
//! secrets are in any `argv` (other than that of an `argv:` action itself), and the login shell never parses our data.
//!
//! * The script is one compound command: a shell that reads stdin runs complete lines as they arrive, so a cut upload
//!   would otherwise run half of it. Cut anywhere, nothing runs.
//! * Right before the command the shell announces itself with a line on both streams ([`announce`]): the attempt's id
//!   and the process group, so that a kill can name it. What came before that line is noise of login scripts or the
//!   complaint of `sudo`. A session that ends without that line has started nothing.
//! * Texts are placed in single quotes, which hold every byte but NUL in every POSIX shell, and evaluated from there:
//!   an unbalanced quote in a command is that command's own syntax error (exit code 2).
//! * `become` pipes the whole inner script to the shell that `sudo` starts, with the password, if there is one, as the
//!   first line of that pipe.
//!
//! A held attempt ([`hold`]) puts this script into another one, which claims the attempt, starts the command detached,
//! and lets later connections find it.
//!
//! Pure: called from `ssh/session`, `ssh/held` and `ssh/kill`.

pub mod announce;
pub mod hold;
#[cfg(test)]
mod hold_tests;
pub mod kill;
pub mod said;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{Job, RemoteAction};
use crate::id::AttemptId;
use announce::Stage;

/// A script, ready to be sent.
pub struct Script {
    /// What its announcements name.
    pub attempt: AttemptId,
    /// May hold a password: wiped when dropped.
    pub text: Zeroizing<String>,
    /// The announcement after which the command runs: by the login user's shell, or by the one that `sudo` started.
    pub last_stage: Stage,
    /// An announcement inside what the command prints, when the attempt is held.
    pub inner_stage: Option<Stage>,
}

/// What cannot be put into a script.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScriptError {
    /// No shell can hold a NUL byte.
    #[error("{0} contains a NUL byte, which no shell can take")]
    Nul(String),
    /// Not a name that a shell can export.
    #[error("`{0}` is not a name of an environment variable: letters, digits and `_`, not starting with a digit")]
    VariableName(String),
    /// `argv` names no program.
    #[error("the program `{0}` cannot be run: a program's name is not empty and does not start with `-`")]
    Program(String),
    /// Not a name that `sudo -u` can take.
    #[error("`{0}` is not a user that sudo can become: a name is not empty and does not start with `-`")]
    BecomeUser(String),
    /// The password has several lines.
    #[error("the password for sudo has a line break or a NUL byte inside; its file must hold one line")]
    BecomePassword,
}

/// The script of one attempt. `become_password` is sudo's, without line break.
pub fn compose(job: &Job, become_password: Option<&str>) -> Result<Script, ScriptError> {
    let action = run(&job.action)?;
    let place = Place { environment: &job.environment, workdir: job.workdir.as_deref() };
    wrap(job.attempt, &place, &action, job.become_user.as_deref(), become_password)
}

/// Where an action runs.
struct Place<'a> {
    environment: &'a [(String, String)],
    workdir: Option<&'a str>,
}

fn wrap(
    attempt: AttemptId,
    place: &Place<'_>,
    action: &str,
    become_user: Option<&str>,
    become_password: Option<&str>,
) -> Result<Script, ScriptError> {
    let last_stage = if become_user.is_some() { Stage::Become } else { Stage::Login };
    let text = text(&Told::Streams(attempt), place, action, become_user, become_password)?;
    Ok(Script { attempt, text, last_stage, inner_stage: None })
}

/// Where the login user's shell says that the command starts now.
enum Told {
    /// On both streams.
    Streams(AttemptId),
    /// In a file of the held attempt; the streams are the command's alone.
    File(AttemptId),
}

impl Told {
    const fn attempt(&self) -> AttemptId {
        match self {
            Self::Streams(attempt) | Self::File(attempt) => *attempt,
        }
    }

    /// First lines: what has to be known before anything is exported, for that could change how it is found.
    const fn first(&self) -> &str {
        match self {
            Self::Streams(_) => announce::READ_GROUP,
            Self::File(_) => hold::READ_START,
        }
    }

    /// Last lines before the command.
    fn say(&self) -> String {
        match self {
            Self::Streams(attempt) => announce::say(*attempt, Stage::Login),
            Self::File(_) => hold::SAY_START.to_owned(),
        }
    }
}

fn text(
    told: &Told,
    place: &Place<'_>,
    action: &str,
    become_user: Option<&str>,
    become_password: Option<&str>,
) -> Result<Zeroizing<String>, ScriptError> {
    let Some(user) = become_user else { return inner(told.first(), &told.say(), place, action).map(Zeroizing::new) };
    let say = announce::say(told.attempt(), Stage::Become);
    let inner = Zeroizing::new(inner(announce::READ_GROUP, &say, place, action)?);
    outer(told, user, become_password, &inner).map(Zeroizing::new)
}

/// Environment, folder, announcement, action; runs as the user who shall run the action.
fn inner(first: &str, say: &str, place: &Place<'_>, action: &str) -> Result<String, ScriptError> {
    let mut text = format!("{{\n{first}\n");
    for (name, value) in place.environment {
        if !is_variable_name(name) {
            return Err(ScriptError::VariableName(name.clone()));
        }
        let _ = writeln!(text, "export {name}={}", quote(value, || format!("the environment variable `{name}`"))?);
    }
    if let Some(dir) = place.workdir {
        // `cd -` would be the folder before.
        let dir = if dir == "-" { "./-" } else { dir };
        let _ = writeln!(text, "CDPATH= cd -- {} >/dev/null || exit 1", quote(dir, || "`workdir`".into())?);
    }
    // From here on the shell needs no more input: it has read the whole compound command.
    let _ = writeln!(text, "{say}\nexec </dev/null\n{action}\nexit $?\n}}");
    Ok(text)
}

/// Starts `sudo`, and hands it the inner script.
fn outer(told: &Told, user: &str, password: Option<&str>, inner: &str) -> Result<String, ScriptError> {
    let attempt = told.attempt();
    if user.is_empty() || user.starts_with('-') {
        return Err(ScriptError::BecomeUser(user.to_owned()));
    }
    let user = quote(user, || "`become`".into())?;
    let inner = Zeroizing::new(quote(inner, || "the script".into())?);
    let feed = match password {
        None => format!("printf '%s' {} | sudo -n -u {user} -- /bin/sh", *inner),
        Some(password) if password.contains(['\n', '\0']) => return Err(ScriptError::BecomePassword),
        // sudo reads the password only if it wants one, so the shell skips all lines up to the mark. Both read byte by
        // byte, as POSIX demands of `read`, and leave the rest to the shell that follows.
        Some(password) => format!(
            "{{ printf '%s\\n' {} 'douse:{attempt}:go'; printf '%s' {}; }} | sudo -S -p '' -u {user} -- /bin/sh -c \
             'while IFS= read -r l; do [ \"$l\" = \"$1\" ] && exec /bin/sh; done; exit 1' sh 'douse:{attempt}:go'",
            *Zeroizing::new(quote(password, || "the password for sudo".into())?),
            *inner
        ),
    };
    Ok(format!(
        "{{\n{read}\n{say}\n\
         case $(command -v printf) in printf) ;; *) echo 'the shell of this host has no builtin printf' >&2; exit 1;; esac\n\
         {feed}\nexit $?\n}}\n",
        read = told.first(),
        say = told.say(),
    ))
}

/// The lines that run the action itself. Their standard input is `/dev/null`.
fn run(action: &RemoteAction) -> Result<String, ScriptError> {
    match action {
        RemoteAction::Command(text) => evaluate(text, "the command"),
        RemoteAction::Argv(words) => Ok(format!("exec {}", program(words.iter().map(String::as_str))?)),
        RemoteAction::Script { text, interpreter } => {
            let shebang = text.strip_prefix("#!").and_then(|rest| rest.lines().next());
            match interpreter.as_deref().or(shebang).map(str::trim).filter(|words| !words.is_empty()) {
                None => evaluate(text, "the script"),
                // The script comes by a pipe on descriptor 9, not on stdin: what the script starts would read it there.
                Some(words) => Ok(format!(
                    "printf '%s' {} | {{ exec 9<&0 </dev/null; exec {} /dev/fd/9; }}",
                    quote(&format!("{}\n", text.strip_suffix('\n').unwrap_or(text)), || "the script".into())?,
                    program(words.split_whitespace())?
                )),
            }
        }
    }
}

/// The space keeps a text that starts with `-` from being an option of `eval`.
fn evaluate(text: &str, what: &str) -> Result<String, ScriptError> {
    Ok(format!("eval {}", quote(&format!(" {text}"), || what.to_owned())?))
}

fn program<'a>(words: impl Iterator<Item = &'a str>) -> Result<String, ScriptError> {
    let mut quoted = Vec::new();
    for word in words {
        if quoted.is_empty() && (word.is_empty() || word.starts_with('-')) {
            return Err(ScriptError::Program(word.to_owned()));
        }
        quoted.push(quote(word, || "`argv`".into())?);
    }
    if quoted.is_empty() { Err(ScriptError::Program(String::new())) } else { Ok(quoted.join(" ")) }
}

/// One shell word that holds `text`, byte by byte.
fn quote(text: &str, what: impl FnOnce() -> String) -> Result<String, ScriptError> {
    if text.contains('\0') {
        return Err(ScriptError::Nul(what()));
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
