//! Tests of rendering; the fuzzing through real shells is in `tests/it/runbooks`.

use serde_json::json;

use super::*;

fn context() -> Context {
    Context::new(&json!({
        "alert": {"name": "ServiceDown", "labels": {"service": "nginx", "evil": "nginx; reboot", "empty": "", "dash": "-rf", "end": "EOF",
                  "quote": "it's", "reserved": "done", "assign": "LD_PRELOAD=/tmp/x", "curly": "a’b"}},
        "params": {"list": ["a", "b c"], "wait": "1h30m", "count": 3, "flag": false, "nothing": null},
        "SERVICE_NAME": "nginx",
    }))
}

fn shell(source: &str) -> Result<String, RenderError> {
    render(source, Form::Shell, &context())
}

#[track_caller]
fn refused(source: &str, name: &str, part: &str, is_unsafe: bool) {
    let error = shell(source).unwrap_err();
    assert_eq!((error.name.as_str(), error.is_unsafe), (name, is_unsafe), "{source}: {error:?}");
    assert!(error.message.contains(part), "{source}: {error:?}");
}

#[test]
fn harmless_values_stand_as_they_are() {
    for (source, wanted) in [
        ("systemctl status {{ SERVICE_NAME }}", "systemctl status nginx"),
        ("systemctl status \"{{ SERVICE_NAME }}.service\"", "systemctl status \"nginx.service\""),
        ("echo '{{ alert.labels.service }}'", "echo 'nginx'"),
        ("cat <<EOF\n{{ SERVICE_NAME }}\nEOF\n", "cat <<EOF\nnginx\nEOF\n"),
        ("sh -c \"systemctl restart {{ SERVICE_NAME }}\"", "sh -c \"systemctl restart nginx\""),
        ("sleep {{ params.wait | seconds }}", "sleep 5400"),
        ("echo {{ params.count }} # {{ SERVICE_NAME }}", "echo 3 # nginx"),
        ("{% if params.flag %}a{% else %}b{% endif %}", "b"),
        ("echo {{ alert.labels.missing | default('none') }}", "echo none"),
        ("{% raw %}docker ps --format '{{.Names}}'{% endraw %}", "docker ps --format '{{.Names}}'"),
        ("/opt/{{ SERVICE_NAME }}/bin/restart", "/opt/nginx/bin/restart"),
        ("echo {{ alert.labels.reserved }}", "echo done"),
        ("FLAG={{ alert.labels.assign }} run", "FLAG=LD_PRELOAD=/tmp/x run"),
    ] {
        assert_eq!(shell(source).as_deref(), Ok(wanted), "{source}");
    }
}

#[test]
fn values_that_could_be_syntax_are_refused_with_their_name() {
    refused("echo {{ alert.labels.evil }}", "alert.labels.evil", "';'", true);
    refused("echo {{ alert.labels['evil'] | trim }}", "alert.labels['evil']", "';'", true);
    refused("echo \"{{ alert.labels.evil }}\"", "alert.labels.evil", "';'", true);
    refused("rm {{ alert.labels.dash }}", "alert.labels.dash", "option", true);
    refused("rm -rf /srv/{{ alert.labels.empty }}", "alert.labels.empty", "empty", true);
    refused("echo {{ 'a b' }}", "'a b'", "' '", true);
    refused("echo {{ alert.labels.missing | default('; reboot') }}", "alert.labels.missing", "';'", true);
    refused("cat <<EOF\n{{ alert.labels.end }}\nEOF\n", "alert.labels.end", "here-document", true);
    refused("{{ alert.labels.reserved }} x", "alert.labels.reserved", "head of a command", true);
    refused("true; {{ alert.labels.assign }} x", "alert.labels.assign", "head of a command", true);
    refused("{% set x %}{{ alert.labels.evil }}{% endset %}echo {{ x }}", "alert.labels.evil", "';'", true);
    refused("echo {{ params.list }}", "params.list", "list", false);
    refused("echo {{ params.nothing }}", "params.nothing", "null", false);
    refused("echo ${{ SERVICE_NAME }}", "SERVICE_NAME", "after `$`", false);
    refused("echo \\{{ SERVICE_NAME }}", "SERVICE_NAME", "backslash", false);
}

#[test]
fn shq_places_a_value_by_where_it_stands() {
    for (source, wanted) in [
        ("echo {{ alert.labels.evil | shq }}", "echo 'nginx; reboot'"),
        ("echo {{ alert.labels.quote | shq }}", r"echo 'it'\''s'"),
        ("echo '{{ alert.labels.quote | shq }}'", r"echo 'it'\''s'"),
        ("echo \"{{ alert.labels.quote | shq }}$\"", "echo \"it's$\""),
        ("echo $(printf %s {{ alert.labels.evil | shq }})", "echo $(printf %s 'nginx; reboot')"),
        ("echo \"$(printf %s {{ alert.labels.evil | shq }})\"", "echo \"$(printf %s 'nginx; reboot')\""),
        ("rm -f {{ alert.labels.empty | shq }}", "rm -f ''"),
        ("sh -c 'echo \"$1\"' _ {{ alert.labels.evil | shq }}", "sh -c 'echo \"$1\"' _ 'nginx; reboot'"),
        ("bash /opt/x.sh {{ alert.labels.evil | shq }}", "bash /opt/x.sh 'nginx; reboot'"),
        ("{% for x in params.list %}{{ x | shq }} {% endfor %}", "'a' 'b c' "),
        ("echo ${HOME} {{ alert.labels.evil | shq }}", "echo ${HOME} 'nginx; reboot'"),
        ("grep -e {{ alert.labels.evil | shq }} f", "grep -e 'nginx; reboot' f"),
        ("x={{ alert.labels.evil | shq }}; echo \"$x\"", "x='nginx; reboot'; echo \"$x\""),
        ("cmd 2>&1 | tee {{ alert.labels.evil | shq }}", "cmd 2>&1 | tee 'nginx; reboot'"),
        ("cat <<< {{ alert.labels.evil | shq }}", "cat <<< 'nginx; reboot'"),
        ("echo {{ alert.labels.evil | shq }} || sh", "echo 'nginx; reboot' || sh"),
        ("echo {{ alert.labels.evil | shq }} | sh /opt/x.sh", "echo 'nginx; reboot' | sh /opt/x.sh"),
        ("cat <<'E'\nx\nE\necho {{ alert.labels.evil | shq }}", "cat <<'E'\nx\nE\necho 'nginx; reboot'"),
    ] {
        assert_eq!(shell(source).as_deref(), Ok(wanted), "{source}");
    }
}

#[test]
fn shq_is_refused_where_no_quoting_is_safe() {
    for (source, part) in [
        ("cat <<EOF\n{{ alert.labels.evil | shq }}\nEOF\n", "here-document"),
        ("echo a # {{ alert.labels.evil | shq }}", "comment"),
        ("echo ${x:-{{ alert.labels.evil | shq }}}", "${…}"),
        ("echo $(( {{ alert.labels.evil | shq }} ))", "arithmetic"),
        ("echo `echo {{ alert.labels.evil | shq }}`", "backquotes"),
        ("echo \\{{ alert.labels.evil | shq }}", "backslash"),
        ("echo \"\\{{ alert.labels.evil | shq }}\"", "backslash"),
        ("echo ${{ alert.labels.evil | shq }}", "after `$`"),
        ("echo $'a' {{ alert.labels.evil | shq }}", "differently"),
        ("sh -c \"echo {{ alert.labels.evil | shq }}\"", "parses again"),
        ("sudo bash -lc 'echo {{ alert.labels.evil | shq }}'", "parses again"),
        ("eval {{ alert.labels.evil | shq }}", "parses again"),
        ("ssh host echo {{ alert.labels.evil | shq }}", "parses again"),
        ("sh -c \"echo $(printf %s {{ alert.labels.evil | shq }})\"", "parses again"),
        ("bash <<< {{ alert.labels.evil | shq }}", "parses again"),
        ("echo {{ alert.labels.evil | shq }} | sudo sh", "is piped into"),
        ("echo \"x {{ alert.labels.evil | shq }}\" | tee f | bash -s", "is piped into"),
        ("ssh host <(true) {{ alert.labels.evil | shq }}", "parses again"),
        ("awk '/{{ alert.labels.evil | shq }}/' f", "parses again"),
        ("$(case x in a) echo;; esac) \"{{ alert.labels.evil | shq }}\"", "case"),
        ("cat <<{{ alert.labels.evil | shq }}\n", "names the end"),
        ("{% set x %}{{ alert.labels.evil | shq }}{% endset %}echo {{ x | shq }}", "worked on again"),
    ] {
        let error = shell(source).unwrap_err();
        assert!(error.message.contains(part) && !error.is_unsafe, "{source}: {error:?}");
        assert!(error.name.contains("alert.labels.evil"), "{source}: {error:?}");
    }
}

#[test]
fn what_shq_gives_is_checked_again_when_it_is_worked_on() {
    refused("echo {{ alert.labels.evil | shq | upper }}", "alert.labels.evil", "';'", true);
    refused("echo {{ 'x' ~ (alert.labels.evil | shq) }}", "'x' ~ (alert.labels.evil | shq)", "';'", true);
}

#[test]
fn a_missing_name_is_told_with_the_names_there_are() {
    let error = shell("echo {{ alert.labels.servce }}").unwrap_err();
    assert_eq!(error.name, "alert.labels.servce");
    assert!(error.message.contains("did you mean `service`?") && error.message.contains("reserved"), "{error:?}");
    let error = shell("echo {{ SERVICE }}").unwrap_err();
    assert!(error.message.contains("did you mean `SERVICE_NAME`?") && error.message.contains("params"), "{error:?}");
    let error = render("{{ alert.name }}", Form::Plain, &Context::default()).unwrap_err();
    assert!(error.message.contains("no alert"), "{error:?}");
}

#[test]
fn nothing_turns_checking_off() {
    for filter in ["safe", "escape", "e", "urlencode", "format", "pprint", "indent"] {
        let error = shell(&format!("echo {{{{ alert.labels.evil | {filter} }}}}")).unwrap_err();
        assert!(error.message.contains("filters are"), "{error:?}");
    }
    refused("echo {{ alert.labels | tojson }}", "alert.labels", "'{'", true);
    refused("{% autoescape 'html' %}echo {{ alert.labels.evil }}{% endautoescape %}", "alert.labels.evil", "';'", true);
    for source in [
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% macro x() %}{% endmacro %}",
        "{{ range(3) }}",
    ] {
        assert!(shell(source).is_err(), "{source}");
    }
    let long = "{% for a in x %}{% for b in x %}{% for c in x %}.{% endfor %}{% endfor %}{% endfor %}";
    let many = Context::new(&json!({"x": vec![0; 100]}));
    assert!(render(long, Form::Shell, &many).unwrap_err().message.contains("too much work"));
}

#[test]
fn a_value_is_never_a_template() {
    let context = Context::new(&json!({"x": "{{ 7 * 7 }}"}));
    assert_eq!(render("{{ x }}", Form::Plain, &context).as_deref(), Ok("{{ 7 * 7 }}"));
    assert_eq!(render("echo {{ x | shq }}", Form::Shell, &context).as_deref(), Ok("echo '{{ 7 * 7 }}'"));
}

#[test]
fn marks_cannot_be_forged() {
    let context = Context::new(&json!({"x": "\u{F0000}0\u{F0001}"}));
    assert!(render("echo {{ x }}", Form::Shell, &context).unwrap_err().is_unsafe);
    assert_eq!(render("echo {{ x | shq }}", Form::Shell, &context).as_deref(), Ok("echo '\u{F0000}0\u{F0001}'"));
    assert!(render("echo \u{F0000}0\u{F0001}", Form::Shell, &context).is_err());
}

#[test]
fn hidden_values_are_not_in_messages() {
    let mut context = Context::new(&json!({"x": "hunter2; secret"}));
    context.hides_values = true;
    let error = render("echo {{ x }}", Form::Shell, &context).unwrap_err();
    assert!(!error.message.contains("hunter2"), "{error:?}");
}

#[test]
fn powershell_literals_double_every_kind_of_single_quote() {
    let place = |source: &str| render(source, Form::PowerShell, &context());
    assert_eq!(
        place("Restart-Service -Name {{ alert.labels.curly | psq }}").as_deref(),
        Ok("Restart-Service -Name 'a’’b'")
    );
    assert_eq!(place("$env:X = \"a\"; Y {{ alert.labels.quote | psq }}").as_deref(), Ok("$env:X = \"a\"; Y 'it''s'"));
    for source in [
        "Y \"{{ alert.labels.evil | psq }}\"",
        "Y '{{ alert.labels.evil | psq }}'",
        "# {{ alert.labels.evil | psq }}",
        "@'\n{{ alert.labels.evil | psq }}\n'@",
    ] {
        assert!(!place(source).unwrap_err().is_unsafe, "{source}");
    }
    assert!(place("Y {{ alert.labels.evil }}").unwrap_err().is_unsafe);
    assert!(place("Y {{ alert.labels.evil | shq }}").unwrap_err().message.contains("psq"));
    assert!(shell("Y {{ alert.labels.evil | psq }}").unwrap_err().message.contains("shq"));
}

#[test]
fn conditions_are_expressions() {
    for (condition, wanted) in [
        ("alert.labels.service == 'nginx'", true),
        ("{{ alert.labels.service == 'nginx' }}", true),
        ("params.flag", false),
        ("params.count > 2 and alert.labels.evil is defined", true),
        ("alert.labels.nope is defined", false),
        ("{% if params.flag %}yes{% else %}no{% endif %}", false),
        ("alert.labels.service is matching('^ng')", true),
        ("'False'", false),
    ] {
        assert_eq!(evaluate(condition, &context()), Ok(wanted), "{condition}");
    }
    assert!(evaluate("alert.labels.nope", &context()).unwrap_err().message.contains("has no `nope`"));
    assert!(condition_syntax_error("a ==").is_some());
}

#[test]
fn every_filter_of_the_list_exists() {
    for name in filters::NAMES {
        assert_eq!(syntax_error(&format!("{{{{ x | {name} }}}}")), None, "{name}");
    }
    assert!(shell("{{ x | nope }}").unwrap_err().message.contains("psq"));
}

#[test]
fn names_are_seen_wherever_they_stand() {
    for (template, paths) in [
        ("{{ a.b }} {{ c | default('d: [e:f]') }}", "a.b c"),
        ("{{ params.key[:5] }}", "params.key"),
        ("{{ a[b.c:] ~ d[:] ~ e[1:2] ~ f[::g] ~ h[i:j:k] }}", "a b.c d e f g h i j k"),
        ("{{ (a ~ b)[1:] | upper }}: [x:y]", "a b"),
        ("{% for one in a[:3] %}{{ one[:2] }}{{ {'k': b}['k'] }}{% endfor %}", "a b"),
        ("{{ a['x[1:2]'][:4] }}", "a"),
    ] {
        assert_eq!(names(template).paths.into_iter().collect::<Vec<_>>().join(" "), paths, "{template}");
    }
    assert_eq!(names_of_condition("a.b[:2] == 'x'").paths.into_iter().collect::<Vec<_>>(), ["a.b"]);
}

#[test]
fn the_host_of_an_instance() {
    for (instance, host) in [
        ("web1:9100", "web1"),
        ("web1", "web1"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[2001:db8::1]:9100", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("https://user:pw@web1.example.org:8443/metrics?x=1", "web1.example.org"),
    ] {
        assert_eq!(filters::host_of(instance), host);
    }
}

#[test]
fn quoting_can_be_checked_without_values() {
    assert_eq!(misplaced_quoting("echo {{ x | shq }} '{{ y | shq }}'", Form::Shell), None);
    let (name, hint) = misplaced_quoting("echo {{ x | shq }} `{{ y | trim | shq }}`", Form::Shell).unwrap();
    assert_eq!(name, "y");
    assert!(hint.contains("backquotes"));
    assert_eq!(printed("a {{ x }}\n{{ y | shq }}"), [("x".to_owned(), 1), ("y | shq".to_owned(), 2)]);
}

/// Threads of tests have 2 MiB of stack, as those of an engine.
#[test]
fn no_chain_of_operators_fills_the_stack() {
    let context = Context::new(&json!({"x": 1}));
    let chains: [(&str, &str, &str); 16] = [
        ("x", "+x", ""),
        ("x", "~x", ""),
        ("x", " and x", ""),
        ("x", " if x else x", ""),
        ("x", ".a", ""),
        ("x", "[0]", ""),
        ("x", "|e", ""),
        ("x", "()", ""),
        ("x", "<x", ""),
        ("", "-", "x"),
        ("", "not ", "x"),
        ("", "(", "x"),
        ("", "[", "x"),
        ("", "{'a':", "x"),
        ("", "x**", "x"),
        ("x", " is defined", ""),
    ];
    for (first, link, last) in chains {
        for count in [1, 20, 149, 300, 9_000] {
            let expression = format!("{first}{}{last}", link.repeat(count));
            let closing = |open: &str| if link.starts_with(open) { 1 } else { 0 } * count;
            let closed = format!(
                "{expression}{}{}{}",
                ")".repeat(closing("(")),
                "]".repeat(closing("[") * usize::from(first.is_empty())),
                "}".repeat(closing("{"))
            );
            for source in [
                format!("{{{{ {expression} }}}}"),
                format!("{{{{ {closed} }}}}"),
                format!("a {{{{ {expression}"),
                format!("{{% if {closed} %}}{{% endif %}}"),
            ] {
                let _ = (render(&source, Form::Plain, &context), syntax_error(&source), names(&source));
            }
            let _ = (evaluate(&closed, &context), condition_syntax_error(&closed), names_of_condition(&closed));
        }
    }
    let nested = |count: usize| {
        format!("{}{{{{ {}x }}}}{}", "{% if x %}".repeat(count), "x|e+".repeat(100), "{% endif %}".repeat(count))
    };
    for count in [1, 20, 100, 149, 290] {
        let _ = (render(&nested(count), Form::Plain, &context), names(&nested(count)));
    }
    let error = render(&format!("a\n{{{{ {}x }}}}", "x+".repeat(5_000)), Form::Plain, &context).unwrap_err();
    assert_eq!(error.line, Some(2));
    assert!(
        error.message.starts_with("an expression of 10003 bytes is too long, at most 8192 are"),
        "{}",
        error.message
    );
    assert_eq!(render(&format!("{{{{ {}x }}}}", "x+".repeat(4_000)), Form::Plain, &context).unwrap(), "4001");
    let long = "x + ".repeat(20_000);
    assert_eq!(render(&long, Form::Plain, &context).unwrap(), long, "outside of tags");
    let (message, line) = syntax_error(&format!("a\n{{{{ x }}}}\n{{{{ {long}")).unwrap();
    assert_eq!((message.as_str(), line), ("this `{{`, `{%` or `{#` is not closed", 3));
}
