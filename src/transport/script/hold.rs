//! The script that holds an attempt: starts its command so that it outlives the connection, finds it again, or ends it.
//!
//! The host's part is `hold.sh`, and `find.sh` where the attempt may be known already. It keeps one small file per attempt
//! in a folder of the login user's own, which only the first can make, and beside it what the command prints. What it
//! says on the way is read by [`super::said`].

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use zeroize::Zeroizing;

use super::announce::{Stage, prefix};
use super::{Place, Script, ScriptError, Told, quote, run, text};
use crate::id::AttemptId;
use crate::transport::{Job, RemoteAction};

static START: LazyLock<String> = LazyLock::new(|| sent(include_str!("hold.sh")));
static FIND: LazyLock<String> = LazyLock::new(|| sent(include_str!("find.sh")));

/// Without what only readers need: bash takes a script from a pipe byte by byte, a system call for each.
fn sent(text: &str) -> String {
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.fold(String::with_capacity(text.len()), |all, line| all + line + "\n")
}

/// First lines of the command's shell: its group, and when it began. A shell of its own got the record's path as `$1`; a
/// part of the shell that holds the attempt has it already.
pub(super) const READ_START: &str = "\
case ${douse_f-} in '')
douse_f=$1 douse_t=$2
IFS= read -r douse_l </proc/$$/stat
set -- ${douse_l##*) }; douse_l=\"$3 ${20} $douse_t\"; set -- ;; esac";

/// Last lines before the command. Whoever makes this file first decides: the command runs, or it never will. It is empty for
/// a moment; who finds it so may write into it, too, and then the first line decides.
pub(super) const SAY_START: &str = "\
set -C
{ printf '' >\"$douse_f.s\"; } 2>/dev/null || exit 126
set +C
douse_v=
{ printf 'start %s\n' \"$douse_l\" >>\"$douse_f.s\" && IFS= read -r douse_v <\"$douse_f.s\"; } 2>/dev/null
[ \"$douse_v\" = \"start $douse_l\" ] || exit 126
unset douse_f douse_l douse_t douse_v";

/// What a script is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Claim the attempt and start its command.
    Start,
    /// Find what another connection started; what certainly never was is started now.
    Attach {
        /// Time since the first connection may have started it.
        age: Duration,
        /// Otherwise what never was is only said to be so.
        may_start: bool,
    },
    /// Say which process groups it runs in, or make sure that it never will run.
    Stop,
}

/// The script of one attempt. `boot_id` is the host's file that names its boot.
pub fn compose(job: &Job, mode: Mode, boot_id: &str, become_password: Option<&str>) -> Result<Script, ScriptError> {
    let mut script = head(job.attempt, mode, boot_id)?;
    if !matches!(mode, Mode::Stop | Mode::Attach { may_start: false, .. }) {
        let place = Place { environment: &job.environment, workdir: job.workdir.as_deref() };
        let told = Told::File(job.attempt);
        let command = text(&told, &place, &run(&job.action)?, job.become_user.as_deref(), become_password)?;
        let command = Zeroizing::new(quote(&command, || "the script".into())?);
        // Half of what is kept is head; two parts make sure that the other half is there.
        let (part, own) = (job.output_bytes_max.div_ceil(2).max(1), i32::from(!asks_for_its_shell(job)));
        let _ = writeln!(script, "douse_part={part} douse_own={own} douse_s={}", *command);
    }
    if job.awaits_reboot {
        script.push_str("douse_awaits_reboot=1\n");
    }
    if mode != Mode::Start {
        script.push_str(&FIND);
    }
    script.push_str(&START);
    // Nothing runs before this line is there.
    script.push_str("exit 0\n}\n");
    let inner_stage = job.become_user.as_ref().filter(|_| mode != Mode::Stop).map(|_| Stage::Become);
    Ok(Script { attempt: job.attempt, text: script, last_stage: Stage::Hello, inner_stage })
}

/// Whether the action might notice that its shell is a part of another one: by `$$`, which is then the other's, by what it
/// reads in from elsewhere, or by a signal for its own group. Everything but `command` and `script` without an interpreter
/// is a program of its own.
fn asks_for_its_shell(job: &Job) -> bool {
    let (RemoteAction::Command(text) | RemoteAction::Script { text, interpreter: None }) = &job.action else {
        return false;
    };
    if job.become_user.is_some() {
        return false;
    }
    let is_word = |word: &str| matches!(word, "." | "source" | "eval" | "kill");
    text.contains("$$")
        || text.contains("${$")
        || text.contains("PID")
        || text.split(|c: char| c.is_whitespace() || ";&|(){}`\"'\\$".contains(c)).any(is_word)
}

/// The script that removes what is kept of `attempts`, and what nobody has asked for in days.
pub fn forget(attempts: &[AttemptId]) -> Result<Script, ScriptError> {
    let attempt = AttemptId::new();
    let mut script = hello(attempt);
    script.push_str("douse_u=$(id -u)\n");
    let names: Vec<String> = attempts.iter().map(AttemptId::to_string).collect();
    let _ = writeln!(
        script,
        "for douse_d in \"${{HOME:-/nonexistent}}/.cache/douse\" \"/var/tmp/.douse-$douse_u\" \"/tmp/.douse-$douse_u\"; do\n\
         [ -d \"$douse_d\" ] && [ -O \"$douse_d\" ] && [ ! -L \"$douse_d\" ] && cd \"$douse_d\" || continue\n\
         for douse_i in {}; do [ -e \"$douse_i\" ] && rm -f \"$douse_i\" \"$douse_i\".*; done\n\
         find . -type f -mtime +{} -exec rm -f {{}} +\n\
         done 2>/dev/null\nexit 0\n}}",
        names.join(" "),
        crate::limits::HELD_DAYS,
    );
    Ok(Script { attempt, text: script, last_stage: Stage::Hello, inner_stage: None })
}

fn head(attempt: AttemptId, mode: Mode, boot_id: &str) -> Result<Zeroizing<String>, ScriptError> {
    let (mode, age) = match mode {
        Mode::Start => ("start", Duration::ZERO),
        Mode::Attach { age, .. } => ("attach", age),
        Mode::Stop => ("stop", Duration::ZERO),
    };
    let mut script = hello(attempt);
    let _ = writeln!(
        script,
        "douse_id={attempt} douse_mode={mode} douse_age={} douse_part=1 douse_awaits_reboot=\n\
         douse_s= douse_own=0 douse_boot_file={}",
        // Rounded up, and one for the other side's rounding.
        age.as_secs() + 2,
        quote(boot_id, || "the file of the boot id".into())?,
    );
    Ok(script)
}

fn hello(attempt: AttemptId) -> Zeroizing<String> {
    let line = format!("printf '%s\\n' '{}'", prefix(attempt, Stage::Hello));
    Zeroizing::new(format!("{{\n{line}; {line} >&2\n"))
}
