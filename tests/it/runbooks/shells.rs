//! Hostile values through real dash and bash: whatever a label holds, the command sees exactly that, or nothing is run.

use std::collections::BTreeMap;
use std::process::Command;

use douse::runbook::check;
use douse::runbook::plan::{PlanReason, PlannedAction, Text};
use douse::runbook::template::{Context, Form, render};
use proptest::prelude::*;
use serde_json::json;

use super::{alert, plan_for};

const SHELLS: [&str; 2] = ["dash", "bash"];

/// Templates that print the value, NUL-terminated, from each context in which `shq` can place it.
const QUOTED: [&str; 16] = [
    "printf '%s\\0' {{ v | shq }}",
    "printf '%s\\0' \"{{ v | shq }}\"",
    "printf '%s\\0' '{{ v | shq }}'",
    "printf '%s\\0' ''{{ v | shq }}\"\"",
    "x={{ v | shq }}; printf '%s\\0' \"$x\"",
    "x=\"{{ v | shq }}\" && printf '%s\\0' \"$x\"",
    "x=$(printf '%s.' {{ v | shq }}); printf '%s\\0' \"${x%.}\"",
    "x=\"$(printf '%s.' \"{{ v | shq }}\")\"; printf '%s\\0' \"${x%.}\"",
    "sh -c 'printf \"%s\\0\" \"$1\"' _ {{ v | shq }}",
    "( printf '%s\\0' {{ v | shq }} )",
    "{ printf '%s\\0' \\\n  {{ v | shq }}; } # it's a comment",
    "if true; then for x in {{ v | shq }}; do printf '%s\\0' \"$x\"; done; fi",
    "case {{ v | shq }} in *) printf '%s\\0' {{ v | shq }};; esac",
    "cat <<'END' >/dev/null\n\"'`$(\nEND\nprintf '%s\\0' {{ v | shq }}",
    "f() { printf '%s\\0' \"$1\"; }; f {{ v | shq }}",
    "echo \"a\\\"b'c\" `echo x` $((1 + (2))) ${HOME} \\' >/dev/null; printf '%s\\0' {{ v | shq }}",
];

/// Templates that print a harmless value as it is.
const RAW: [&str; 10] = [
    "printf '%s\\0' {{ v }}",
    "printf '%s\\0' \"{{ v }}\"",
    "printf '%s\\0' '{{ v }}'",
    "x={{ v }}; printf '%s\\0' \"$x\"",
    "printf '%s\\0' \"$(echo {{ v }})\"",
    "printf '%s\\0' \"`echo {{ v }}`\"",
    "x=$(cat <<EOF\n{{ v }}\nEOF\n)\nprintf '%s\\0' \"$x\"",
    "printf '%s\\0' {{ v }} # {{ v }}",
    "printf '%s\\0' ${x_unset:-{{ v }}}",
    "sh -c \"printf '%s\\0' {{ v }}\"",
];

fn context(value: &str) -> Context {
    Context::new(&json!({ "v": value }))
}

/// Runs all commands in one process of `shell` and gives what they printed.
fn run(shell: &str, commands: &[String]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("script");
    std::fs::write(&file, commands.join("\n") + "\n").unwrap();
    let output = Command::new(shell)
        .arg(&file)
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nowhere")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{shell} cannot be started ({error}); install the package `{shell}`"));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && stderr.is_empty(), "{shell}: {}: {stderr}", output.status);
    let made: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(made.is_empty(), "{shell}: a value was run: {made:?}");
    let mut printed: Vec<Vec<u8>> = output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    assert_eq!(printed.pop(), Some(Vec::new()));
    printed
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ \t\n\r'\"\\\\$`(){}<>|&;!*?~#=\\[\\]^%-]{1,4}",
        2 => any::<char>().prop_filter("no NUL", |char| *char != '\0').prop_map(String::from),
        2 => prop::sample::select(vec![
            "$(touch pwned)", "`touch pwned`", "; touch pwned #", "\ntouch pwned\n", "' touch pwned '", "\" ; touch pwned ; \"",
            "${IFS}", "$HOME", "EOF", "END", "done", "esac", "-rf", "--", "\\", "\u{F0000}0\u{F0001}", "{{ 7 * 7 }}", "{% raw %}",
            "\u{85}", "\u{FEFF}", "\u{2028}", "😀", "!!", "a=b", "/etc/passwd", "\u{1b}[2J",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9]{1,6}",
    ];
    // Bytes that are no UTF-8 come as they do in a webhook: replaced.
    let bytes = prop::collection::vec(1_u8.., 0..40).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    prop_oneof![4 => prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()), 1 => bytes]
}

fn harmless() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "EOF",
        "done",
        "if",
        "a=b",
        "x",
        "in",
        "fi",
        "PATH=/x",
        "time",
        "nginx.service",
        "%1",
    ]);
    prop_oneof![3 => "[A-Za-z0-9._:/@%+=,][A-Za-z0-9._:/@%+=,-]{0,20}", 1 => word.prop_map(str::to_owned)]
}

fn is_harmless(value: &str) -> bool {
    !value.is_empty()
        && !value.starts_with('-')
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/@%+=,-".contains(&byte))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn a_quoted_value_is_never_syntax(values in prop::collection::vec(hostile(), 20)) {
        let mut commands = Vec::new();
        let mut wanted = Vec::new();
        for value in &values {
            for template in QUOTED {
                let command = render(template, Form::Shell, &context(value));
                commands.push(command.unwrap_or_else(|error| panic!("{template}: {value:?}: {error:?}")));
                wanted.push(value.as_bytes().to_vec());
            }
        }
        for shell in SHELLS {
            prop_assert_eq!(&run(shell, &commands), &wanted, "{}", shell);
        }
    }

    #[test]
    fn a_raw_value_is_refused_or_harmless(values in prop::collection::vec(hostile(), 50)) {
        for value in values.iter().filter(|value| !is_harmless(value)) {
            for template in RAW {
                let error = render(template, Form::Shell, &context(value)).unwrap_err();
                prop_assert!(error.is_unsafe && error.name == "v", "{}: {:?}: {:?}", template, value, error);
            }
        }
    }

    #[test]
    fn a_harmless_value_arrives_as_it_is(values in prop::collection::vec(harmless(), 20)) {
        let mut commands = Vec::new();
        let mut wanted = Vec::new();
        for value in &values {
            for template in RAW {
                match render(template, Form::Shell, &context(value)) {
                    Ok(command) => {
                        commands.push(command);
                        wanted.push(value.as_bytes().to_vec());
                    }
                    Err(error) => {
                        prop_assert!(error.is_unsafe && template.contains("<<EOF") && value == "EOF", "{template}: {value}: {error:?}");
                    }
                }
            }
        }
        for shell in SHELLS {
            prop_assert_eq!(&run(shell, &commands), &wanted, "{}", shell);
        }
    }

    #[test]
    fn a_label_in_a_runbook_is_refused_or_arrives(value in hostile()) {
        let source = include_str!("../../fixtures/runbooks/hostile.yml");
        let checked = check::read("hostile.yml", source);
        let runbook = checked.runbook.unwrap_or_else(|| panic!("{:?}", checked.problems));
        let alert = alert(&[("alertname", "Hostile"), ("value", &value)]);
        let only = |names: &[&str]| {
            let mut runbook = runbook.clone();
            runbook.steps.retain(|step| names.contains(&step.id.as_str()));
            plan_for(&runbook, &alert, &BTreeMap::new())
        };
        let plan = only(&["argv", "quoted", "variable"]).unwrap();
        let argv = PlannedAction::Argv(vec![Text::Known("printf".into()), Text::Known("%s".into()), Text::Known(value.clone())]);
        prop_assert_eq!(&plan.steps[0].action, &argv);
        prop_assert_eq!(&plan.environment[0], &("VALUE".to_owned(), Text::Known(value.clone())));
        let [PlannedAction::Command(Text::Known(quoted)), PlannedAction::Command(Text::Known(variable))] =
            [&plan.steps[1].action, &plan.steps[2].action] else { panic!("{:?}", plan.steps) };
        prop_assert_eq!(variable, "printf '%s\\0' \"$VALUE\"");
        prop_assert_eq!(run("dash", std::slice::from_ref(quoted)), vec![value.as_bytes().to_vec()]);
        match only(&["raw"]) {
            Ok(_) => prop_assert!(is_harmless(&value)),
            Err(error) => {
                prop_assert!(!is_harmless(&value), "{}", error);
                prop_assert_eq!((error.reason, error.name.as_str()), (PlanReason::UnsafeValue, "VALUE"));
            }
        }
    }
}
