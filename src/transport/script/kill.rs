//! The script that ends a process group and looks whether it is gone.

use std::time::Duration;

use super::{Place, Script, ScriptError, evaluate, wrap};
use crate::id::AttemptId;

/// Printed when no process of the group is left.
pub const GONE: &str = "gone";

/// TERM, `grace` of patience, KILL, and a look. Zombies do not count: only their parents can remove them.
///
/// No `--` and no `-s`: dash does not take the first, busybox neither. `kill -0` tells apart "no such process" and "not permitted"; the latter means that somebody is left.
const TEXT: &str = "\
LC_ALL=C; export LC_ALL
is_left() {
  if douse_e=$(kill -0 \"-$1\" 2>&1); then
    [ -r /proc/self/stat ] || return 0
    for douse_f in /proc/[0-9]*/stat; do
      { IFS= read -r douse_l <\"$douse_f\"; } 2>/dev/null || continue
      douse_s=${douse_l##*) }
      case $douse_s in Z*|X*) continue;; esac
      douse_s=${douse_s#* }; douse_s=${douse_s#* }
      [ \"${douse_s%% *}\" = \"$1\" ] && return 0
    done
    return 1
  fi
  case $douse_e in *'o such process'*) return 1;; esac
  return 0
}
wait_for() {
  douse_n=0
  while is_left \"$1\"; do
    [ \"$douse_n\" -ge \"$2\" ] && return 1
    if sleep 0.1 2>/dev/null; then douse_n=$((douse_n+1)); else sleep 1; douse_n=$((douse_n+10)); fi
  done
}
";

/// The script for `group`, run by `become_user` if the command was.
pub fn compose(
    group: u32,
    grace: Duration,
    become_user: Option<&str>,
    become_password: Option<&str>,
) -> Result<Script, ScriptError> {
    let tenths = grace.as_millis() / 100;
    let text = format!(
        "{TEXT}kill -TERM -{group} 2>/dev/null; kill -CONT -{group} 2>/dev/null\n\
         wait_for {group} {tenths} || {{ kill -KILL -{group} 2>/dev/null; wait_for {group} 30; }}\n\
         if is_left {group}; then echo left; exit 1; else echo {GONE}; fi"
    );
    let place = Place { environment: &[], workdir: None };
    wrap(AttemptId::new(), &place, &evaluate(&text, "the kill script")?, become_user, become_password)
}
