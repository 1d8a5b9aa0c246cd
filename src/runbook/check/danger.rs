//! Which commands only look, which change something, and which can destroy. Only for warnings: an author knows better.

use super::commands::{Command, base, commands};
use crate::runbook::model::{Action, Step};
use crate::runbook::template::Form;

/// Programs that only look.
const READERS: [&str; 78] = [
    "systemctl",
    "journalctl",
    "service",
    "cat",
    "ls",
    "df",
    "du",
    "grep",
    "egrep",
    "fgrep",
    "zgrep",
    "rg",
    "ps",
    "pgrep",
    "test",
    "[",
    "[[",
    "echo",
    "printf",
    "true",
    "false",
    ":",
    "sleep",
    "ping",
    "ss",
    "netstat",
    "uptime",
    "free",
    "stat",
    "id",
    "hostname",
    "date",
    "head",
    "tail",
    "wc",
    "sort",
    "uniq",
    "cut",
    "tr",
    "awk",
    "find",
    "lsof",
    "findmnt",
    "mountpoint",
    "readlink",
    "realpath",
    "dirname",
    "basename",
    "which",
    "command",
    "type",
    "uname",
    "lsblk",
    "dmesg",
    "openssl",
    "dig",
    "host",
    "nslookup",
    "nproc",
    "mailq",
    "sha256sum",
    "md5sum",
    "jq",
    "diff",
    "cmp",
    "who",
    "w",
    "last",
    "file",
    "env",
    "getent",
    "exit",
    "return",
    "set",
    "cd",
    "read",
    "timeout",
    "wait",
];
/// What `systemctl` only looks with.
const SYSTEMCTL_READS: [&str; 10] = [
    "status",
    "is-active",
    "is-failed",
    "is-enabled",
    "is-system-running",
    "show",
    "cat",
    "list-units",
    "list-unit-files",
    "list-timers",
];

/// Whether a step may change something; what is not known to only look, does.
pub(super) fn changes(step: &Step) -> bool {
    let found = match &step.action {
        Action::Command(text) => commands(text),
        Action::Argv(words) => vec![Command { words: words.clone(), line: 1, is_piped: false }],
        Action::Script { text, interpreter } if Form::of_interpreter(interpreter.as_deref()) == Form::Shell => {
            commands(text)
        }
        Action::Script { .. } => return true,
    };
    !found.iter().all(|command| only_reads(&effective(command)))
}

/// The command behind `sudo`, `env`, `timeout`.
fn effective(command: &Command) -> Vec<String> {
    let mut words: Vec<String> =
        [command.program().to_owned()].into_iter().chain(command.arguments().iter().cloned()).collect();
    while let Some("sudo" | "env" | "nice" | "timeout" | "command") = words.first().map(|word| base(word)) {
        let takes_time = words.first().is_some_and(|word| word == "timeout");
        let skipped = words.iter().skip(1).take_while(|word| word.starts_with('-') || word.contains('=')).count();
        words.drain(..(1 + skipped + usize::from(takes_time)).min(words.len()));
    }
    words
}

fn only_reads(words: &[String]) -> bool {
    let Some(program) = words.first().map(|word| base(word)) else { return true };
    let arguments = words.get(1..).unwrap_or_default();
    let has = |wanted: &[&str]| arguments.iter().any(|argument| wanted.contains(&argument.as_str()));
    let verb = arguments.iter().find(|argument| !argument.starts_with('-')).map(String::as_str).unwrap_or_default();
    // A redirection into a file writes.
    let writes =
        arguments.iter().any(|word| word.starts_with('>') && !word.starts_with(">&") && !word.ends_with("/dev/null"));
    match program {
        _ if writes && !has(&[">/dev/null", "/dev/null"]) => false,
        "" => true,
        "systemctl" => SYSTEMCTL_READS.contains(&verb),
        "service" => arguments.last().is_some_and(|argument| argument == "status"),
        "find" => !has(&["-delete", "-exec", "-execdir", "-ok", "-fprint"]),
        "postqueue" => has(&["-p", "-j"]),
        "openssl" => verb == "x509" || verb == "s_client",
        "journalctl" => !arguments.iter().any(|argument| argument.starts_with("--vacuum") || argument == "--rotate"),
        "curl" => !arguments.iter().any(|argument| {
            ["-X", "-d", "-T", "-F", "-o", "-O", "--request", "--data", "--upload-file", "--output"]
                .iter()
                .any(|flag| argument.starts_with(flag))
        }),
        "logrotate" => has(&["-d", "--debug"]),
        "haproxy" => has(&["-c"]),
        "nginx" | "apachectl" | "sshd" => has(&["-t", "-T", "configtest"]),
        program => READERS.contains(&program) || ["for", "in", "case", "esac", "}", "local"].contains(&program),
    }
}

/// Whether `sudo` is told never to ask.
pub(super) fn is_silent_sudo(command: &Command) -> bool {
    const TAKES_VALUE: [&str; 6] = ["-u", "-g", "-h", "-p", "-C", "-U"];
    let mut arguments = command.arguments().iter();
    while let Some(argument) = arguments.next().filter(|argument| argument.starts_with('-')) {
        if argument == "--non-interactive" || (!argument.starts_with("--") && argument.contains(['n', 'S'])) {
            return true;
        }
        if TAKES_VALUE.contains(&argument.as_str()) {
            arguments.next();
        }
    }
    false
}

/// What is dangerous about a command.
pub(super) fn destruction(command: &Command) -> Option<String> {
    let words = effective(command);
    let program = words.first().map(|word| base(word)).unwrap_or_default();
    let arguments = words.get(1..).unwrap_or_default();
    let options: String = arguments.iter().filter(|word| word.starts_with('-')).map(String::as_str).collect();
    let operands = || arguments.iter().filter(|word| !word.starts_with('-')).map(String::as_str);
    let first = operands().next().unwrap_or_default();
    match program {
        "rm" if options.contains(['r', 'R']) => {
            let bad = operands().find(|path| is_broad(path))?;
            Some(format!("`rm -r` of `{bad}`"))
        }
        "find" if arguments.iter().any(|word| word == "-delete") && is_broad(first) => {
            Some(format!("`find {first} -delete`"))
        }
        "chmod" | "chown" if options.contains('R') => {
            let bad = operands().skip(1).find(|path| is_broad(path))?;
            Some(format!("`{program} -R` of `{bad}`"))
        }
        "dd" => operands().find(|word| word.starts_with("of=/dev/")).map(|to| format!("`dd {to}`")),
        "wipefs" | "shred" | "fdisk" | "parted" | "mkswap" => Some(format!("`{program}`")),
        _ if program.starts_with("mkfs") => Some(format!("`{program}`")),
        "reboot" | "shutdown" | "poweroff" | "halt" => Some(format!("`{program}` stops the whole machine")),
        "systemctl" if ["reboot", "poweroff", "halt", "kexec", "emergency", "rescue"].contains(&first) => {
            Some(format!("`systemctl {first}` stops the whole machine"))
        }
        "systemctl"
            if ["stop", "disable", "mask"].contains(&first)
                && operands().any(|unit| ["ssh", "sshd", "ssh.service", "sshd.service"].contains(&unit)) =>
        {
            Some("without sshd nobody can log in, Douse included".to_owned())
        }
        "kill" | "pkill" | "killall"
            if operands().any(|pid| pid == "1" || pid == "-1")
                || options.contains("-1") && program == "kill" && first.is_empty() =>
        {
            Some(format!("`{program}` of every process"))
        }
        "iptables" | "ip6tables" if arguments.iter().any(|word| word == "-F" || word == "--flush") => {
            Some(format!("`{program} -F` opens the firewall"))
        }
        "nft" if words.iter().any(|word| word == "flush") => Some("`nft flush` opens the firewall".to_owned()),
        "docker" | "podman" if words.iter().any(|word| word == "prune") && options.contains('a') => {
            Some(format!("`{program} … prune -a` removes every image that is not in use"))
        }
        "psql" | "mysql" | "mariadb" | "sqlite3" => {
            let text = arguments.join(" ").to_uppercase();
            ["DROP TABLE", "DROP DATABASE", "TRUNCATE ", "DELETE FROM"]
                .iter()
                .find(|sql| text.contains(**sql))
                .map(|sql| format!("`{sql}`"))
        }
        "git" if first == "clean" || (first == "reset" && arguments.iter().any(|word| word == "--hard")) => {
            Some(format!("`git {first}` throws changes away"))
        }
        _ => None,
    }
}

/// A path that is, or may become, far more than was meant.
fn is_broad(path: &str) -> bool {
    const SYSTEM: [&str; 16] = [
        "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/sbin", "/srv", "/sys",
        "/usr", "/var", "/var/lib",
    ];
    let trimmed = path.trim_end_matches(['*', '/', '.']);
    // `/srv/$x` with an empty x is `/srv/`.
    let ends_in_value = trimmed.rsplit('/').next().is_some_and(|last| last.starts_with('$') && !last.contains(":?"));
    trimmed.is_empty()
        || trimmed == "~"
        || SYSTEM.contains(&trimmed)
        || trimmed.starts_with('$') && !trimmed.contains('/')
        || ends_in_value
}
