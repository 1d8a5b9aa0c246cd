//! The line with which the host's shell says that the command starts now, and in which process group.
//!
//! `douse:ATTEMPT:STAGE:GROUP`, on stdout and on stderr; [`Stripper`] finds it in a stream and takes it out.

use crate::id::AttemptId;

/// Reads the shell's process group into `douse_pg`. sshd makes each session's first process the leader of a group, but
/// that may be the login shell and not this one, so `$$` is not enough.
pub(super) const READ_GROUP: &str = "\
douse_pg=
if { IFS= read -r douse_pg </proc/$$/stat; } 2>/dev/null; then
douse_pg=${douse_pg##*) }; set -- $douse_pg; douse_pg=$3; set --
else douse_pg=$(ps -o pgid= -p $$ 2>/dev/null | tr -d ' '); fi";

/// Bytes kept of what came before the announcement, for a message.
const NOISE_BYTES_MAX: usize = 16 * 1024;

/// Which shell announces itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The one that looks after a held attempt ([`super::hold`]).
    Hello,
    /// The login user's.
    Login,
    /// The one that `sudo` started.
    Become,
}

impl Stage {
    const fn word(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Login => "login",
            Self::Become => "become",
        }
    }
}

/// The line that prints the announcement.
pub(super) fn say(attempt: AttemptId, stage: Stage) -> String {
    let line = format!("printf '%s\\n' \"{}$douse_pg\"", prefix(attempt, stage));
    format!("{line}; {line} >&2; unset douse_pg")
}

pub(super) fn prefix(attempt: AttemptId, stage: Stage) -> String {
    format!("douse:{attempt}:{}:", stage.word())
}

/// Takes the announcements, and all that comes before the last of them, out of one stream.
pub struct Stripper {
    login: Option<Vec<u8>>,
    last: Vec<u8>,
    is_open: bool,
    noise: Vec<u8>,
    groups: Groups,
}

/// The process groups of one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Groups {
    /// Of the login user's shell, when another announcement follows.
    pub login: Option<u32>,
    /// Of the command.
    pub command: Option<u32>,
}

impl Stripper {
    /// For a stream of this attempt, whose command runs after the announcement of `last_stage`.
    pub fn new(attempt: AttemptId, last_stage: Stage) -> Self {
        let login = (last_stage == Stage::Become).then(|| prefix(attempt, Stage::Login).into_bytes());
        let last = prefix(attempt, last_stage).into_bytes();
        Self { login, last, is_open: false, noise: Vec::new(), groups: Groups::default() }
    }

    /// The same for a stream that begins with the announcement of `stage`, or has none.
    pub fn only(attempt: AttemptId, stage: Option<Stage>) -> Self {
        let last = stage.map(|stage| prefix(attempt, stage).into_bytes());
        let (is_open, noise) = (last.is_none(), Vec::new());
        Self { login: None, last: last.unwrap_or_default(), is_open, noise, groups: Groups::default() }
    }

    /// Takes the next bytes of the stream and returns those that are the command's.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
        if self.is_open {
            return bytes.into();
        }
        self.noise.extend_from_slice(bytes);
        if let Some(login) = &self.login
            && let Some((range, group)) = find(&self.noise, login)
        {
            self.groups.login = group;
            self.noise.drain(range);
            self.login = None;
        }
        if let Some((range, group)) = find(&self.noise, &self.last) {
            self.groups.command = group;
            self.is_open = true;
            let output = self.noise.split_off(range.end);
            self.noise.truncate(range.start);
            return output.into();
        }
        let excess = self.noise.len().saturating_sub(NOISE_BYTES_MAX);
        self.noise.drain(..excess);
        Vec::new().into()
    }

    /// The command has started.
    pub fn has_started(&self) -> bool {
        self.is_open
    }

    /// The first shell announced itself: what went wrong after that is `sudo`'s refusal.
    pub fn has_logged_in(&self) -> bool {
        self.login.is_none()
    }

    /// The process groups that were announced so far.
    pub fn groups(&self) -> Groups {
        self.groups
    }

    /// What came before the announcement.
    pub fn noise(&self) -> String {
        String::from_utf8_lossy(&self.noise).trim().to_owned()
    }
}

/// The first `prefix`, digits and line break, and the number.
fn find(bytes: &[u8], prefix: &[u8]) -> Option<(std::ops::Range<usize>, Option<u32>)> {
    let mut from = 0;
    while let Some(start) = bytes.get(from..)?.windows(prefix.len()).position(|window| window == prefix) {
        let start = from + start;
        let rest = bytes.get(start + prefix.len()..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match rest.get(digits) {
            Some(b'\n') => {
                let number = std::str::from_utf8(rest.get(..digits)?).ok().and_then(|digits| digits.parse().ok());
                // Group 0 and 1 would be the killer's own, and everyone's.
                return Some((start..start + prefix.len() + digits + 1, number.filter(|&group| group > 1)));
            }
            // The rest of the line has not come yet.
            None => return None,
            Some(_) => from = start + 1,
        }
    }
    None
}
