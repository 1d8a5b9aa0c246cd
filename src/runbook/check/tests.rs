//! Each rule with a file that breaks it and one that does not.

use std::collections::BTreeSet;

use super::*;

fn codes(text: &str) -> Vec<String> {
    read("x.yml", text).problems.iter().map(|problem| format!("{} {}", problem.code, problem.line)).collect()
}

/// A runbook with these steps and nothing to complain about otherwise.
fn steps(steps: &str) -> String {
    format!("name: a\nsteps:\n{steps}")
}

#[track_caller]
fn rule(wanted: &str, bad: &str, good: &str) {
    let found = codes(bad);
    assert!(found.iter().any(|code| code == wanted), "{wanted} is not found in\n{bad}\n{found:?}");
    let code = wanted.split(' ').next().unwrap_or_default();
    let found = codes(good);
    assert!(!found.iter().any(|found| found.starts_with(code)), "{code} is found in\n{good}\n{found:?}");
}

#[track_caller]
fn command(code: &str, bad: &str, good: &str) {
    rule(
        &format!("{code} 4"),
        &steps(&format!("  - idempotent: true\n    command: {bad}\n")),
        &steps(&format!("  - idempotent: true\n    command: {good}\n")),
    );
}

#[test]
fn w201_the_steps_may_take_longer_than_the_runbook() {
    let of = |seconds: u32| {
        format!(
            "name: a\ntimeout_seconds: {seconds}\nsteps:\n  - {{command: id, timeout: 40s, retry: {{attempts: 3, delay: 10s}}}}\n"
        )
    };
    rule("W201 2", &of(139), &of(140));
}

#[test]
fn w202_a_changing_step_needs_an_undo_or_to_be_idempotent() {
    for changing in [
        "systemctl restart x",
        "touch /tmp/x",
        "sudo -n rm /tmp/x",
        "echo 1 > /etc/x",
        "find /tmp -delete",
        "if true; then reload; fi",
    ] {
        let of = |more: &str| steps(&format!("  - name: s\n    command: {changing}\n{more}"));
        rule("W202 3", &of(""), &of("    idempotent: true\n"));
        rule("W202 3", &of(""), &of("    expect_disconnect: true\n"));
        rule("W202 3", &of(""), &of("    rollback_command: b\n"));
        rule("W202 3", &of(""), &format!("{}rollback: {{strategy: none}}\n", of("")));
    }
    for reading in [
        "systemctl status x",
        "df -h / | tail -n 1",
        "timeout 5 stat /x",
        "x=$(cat /y); test \"$x\" = 1",
        "journalctl -u x 2>/dev/null",
        "curl -fsS http://localhost/",
    ] {
        assert!(
            !codes(&steps(&format!("  - command: {reading}\n"))).iter().any(|code| code.starts_with("W202")),
            "{reading}"
        );
    }
    rule("W202 3", &steps("  - argv: [reload]\n"), &steps("  - argv: [df, -h]\n"));
}

#[test]
fn w203_a_value_of_the_alert_goes_into_a_command_as_it_is() {
    command("W203", "id {{ alert.labels.user }}", "id {{ alert.labels.user | shq }}");
    command("W203", "id {{ alert.labels.user | lower }}", "sleep {{ alert.labels.wait | seconds }}");
    let variable = "name: a\nenvironment_vars: {U: '{{ alert.labels.user }}'}\nsteps:\n  - command: id {{ U }}\n";
    assert_eq!(codes(variable), Vec::<String>::new());
    let undo = "name: a\nsteps:\n  - command: id\n    rollback_command: id {{ alert.name }}\n";
    assert_eq!(codes(undo), ["W203 4"]);
}

#[test]
fn w204_high_risk_without_a_question() {
    let of = |more: &str| format!("name: a\nmode: auto\nrisk: high\n{more}steps: [{{command: id}}]\n");
    rule("W204 4", &of("requires_approval: false\n"), &of(""));
}

#[test]
fn w206_a_trigger_that_is_never_reached() {
    let file = |name: &str, trigger: &str| {
        read(&format!("{name}.yml"), &format!("name: {name}\nsteps: [{{command: id}}]\ntriggers:\n  - {{{trigger}}}\n"))
    };
    let shadowed = |first: &str, second: &str| {
        let found = across(&[file("a", first), file("b", second)]);
        found.iter().map(|problem| format!("{} {} {}", problem.code, problem.file, problem.line)).collect::<Vec<_>>()
    };
    let is = vec!["W206 b.yml 4".to_owned()];
    for (first, second) in [
        ("name: t, alert_name_pattern: 'Disk*'", "name: u, alert_name_pattern: DiskFull"),
        (
            "name: t, alert_name_pattern: 'Disk*'",
            "name: u, alert_name_pattern: 'DiskFull*', severity_pattern: critical",
        ),
        ("name: t, labels_match: {a: b}", "name: u, labels_match: {a: b, c: d}"),
        ("name: t, matchers: ['a=\"b\"']", "name: u, matchers: ['a=\"b\"', 'c=\"d\"']"),
    ] {
        assert_eq!(shadowed(first, second), is, "{first} / {second}");
        assert_eq!(shadowed(&format!("{first}, continue: true"), second), Vec::<String>::new());
        assert_eq!(shadowed(&format!("{first}, priority: 200"), second), Vec::<String>::new());
        assert_eq!(shadowed(&format!("{first}, enabled: false"), second), Vec::<String>::new());
        assert_eq!(shadowed(&format!("{first}, severity_pattern: page"), second), Vec::<String>::new());
        assert_eq!(
            shadowed(&format!("{first}, time_window_start: \"08:00\", time_window_end: \"09:00\""), second),
            Vec::<String>::new()
        );
    }
}

#[test]
fn e110_a_runbooks_name_in_two_files() {
    let file = |path: &str| read(path, "name: same\nsteps: [{command: id}]\n");
    let found = across(&[file("a.yml"), file("b.yml")]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].file.as_str(), found[0].line), ("E110", "b.yml", 1));
    assert!(found[0].message.contains("a.yml"));
}

#[test]
fn e112_a_server_that_is_not_there() {
    let servers: BTreeSet<String> = ["web1".to_owned()].into();
    let file =
        |servers: &str| [read("a.yml", &format!("name: a\nallowed_servers: {servers}\nsteps: [{{command: id}}]\n"))];
    assert_eq!(unknown_servers(&file("[WEB1]"), &servers), []);
    let found = unknown_servers(&file("{names: [web1, web2]}"), &servers);
    assert_eq!((found.len(), found[0].code, found[0].line, found[0].column), (1, "E112", 2, 33));
    assert!(found[0].hint.as_deref().unwrap().contains("did you mean `web1`"));
}

#[test]
fn w207_w208_w214_w215_triggers() {
    let of = |mode: &str, trigger: &str| {
        format!("name: a\nmode: {mode}\nsteps: [{{command: id}}]\ntriggers:\n  - {{name: t, {trigger}}}\n")
    };
    rule("W207 5", &of("semi_auto", "severity_pattern: '*'"), &of("semi_auto", "severity_pattern: critical"));
    rule("W208 5", &of("auto", "alert_name_pattern: A"), &of("auto", "alert_name_pattern: A, cooldown_seconds: 60"));
    rule("W208 5", &of("auto", "alert_name_pattern: A"), &of("semi_auto", "alert_name_pattern: A"));
    rule(
        "W208 5",
        &of("auto", "alert_name_pattern: A"),
        &format!("{}rate_limit_count: 3\n", of("auto", "alert_name_pattern: A")),
    );
    rule(
        "W214 5",
        &of("semi_auto", "alert_name_pattern: 'Douse*'"),
        &of("semi_auto", "alert_name_pattern: DouseAuditFails"),
    );
    let both = of("semi_auto", "alert_name_pattern: A}\n  - {name: u, alert_name_pattern: A, status: resolved");
    rule("W215 6", &both, &both.replace("name: u", "enabled: false, name: u"));
    rule("W215 6", &both, &both.replace("A, status: resolved", "B, status: firing"));
}

#[test]
fn w209_sudo_that_could_ask() {
    command("W209", "sudo systemctl status x", "sudo -n systemctl status x");
    command("W209", "id && sudo -u x id", "sudo -u x -n id");
    command("W209", "/usr/bin/sudo id", "echo sudo");
}

#[test]
fn w210_pipelines_hide_failures() {
    command("W210", "df -h | tail -n 1", "df -h || true");
    command("W210", "\"x=$(ps | wc -l)\"", "'echo \"a | b\"'");
    let script =
        |first: &str| steps(&format!("  - interpreter: bash\n    script: |\n      {first}\n      df | tail\n"));
    rule("W210 6", &script("set -eu"), &script("set -euo pipefail"));
}

#[test]
fn w211_traps_of_yaml_1_1() {
    let of = |value: &str| format!("name: a\nenvironment_vars: {{A: {value}}}\nsteps: [{{command: id}}]\n");
    for trap in ["yes", "No", "on", "off", "12:30:45", "017"] {
        rule("W211 2", &of(trap), &of(&format!("'{trap}'")));
    }
    rule("W211 2", &of("y"), &of("yesterday"));
}

#[test]
fn w212_secrets_in_the_open() {
    for secret in [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "xoxb-0123456789-abc",
        "sk-0123456789abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.x",
        "curl -H 'Authorization: Bearer 0123456789abcdef' http://localhost",
        "psql postgres://app:hunter22@db/app",
        "mysql --password=hunter22",
        "curl -u admin:hunter22 http://localhost",
    ] {
        let script = steps(&format!("  - idempotent: true\n    script: |\n      {secret}\n"));
        assert!(codes(&script).contains(&"W212 5".to_owned()), "{secret}: {:?}", codes(&script));
    }
    let of = |value: &str| format!("name: a\nenvironment_vars: {{DB_PASSWORD: {value}}}\nsteps: [{{command: id}}]\n");
    rule("W212 2", &of("hunter22"), &of("'{{ alert.labels.x }}'"));
    rule("W212 2", &of("hunter22"), &of("/run/secrets/db"));
}

#[test]
fn w213_commands_that_destroy() {
    for (bad, good) in [
        ("rm -rf /", "rm -rf /srv/app/cache"),
        ("rm -rf /var/*", "rm -f /var/tmp/x"),
        ("rm -r $DIR", "rm -r \"${DIR:?}\"/cache"),
        ("rm -rf /srv/$APP", "rm -rf /srv/$APP/cache"),
        ("find / -name x -delete", "find /srv/cache -delete"),
        ("chmod -R 777 /etc", "chmod -R go-w /srv/app"),
        ("dd if=/dev/zero of=/dev/sda", "dd if=/dev/zero of=/srv/x"),
        ("mkfs.ext4 /dev/sdb", "mkdir /x"),
        ("sudo -n reboot", "echo reboot"),
        ("systemctl reboot", "systemctl restart x"),
        ("systemctl stop sshd", "systemctl stop nginx"),
        ("kill -9 -1", "kill -9 4711"),
        ("iptables -F", "iptables -L"),
        ("docker system prune -af", "docker system prune -f"),
        ("psql -c 'drop table x'", "psql -c 'select 1'"),
        ("git reset --hard", "git status"),
    ] {
        command("W213", bad, good);
    }
}

#[test]
fn a_comment_with_a_reason_silences_a_warning() {
    let of = |comment: &str| steps(&format!("  {comment}\n  - command: sudo reload  {comment}\n"));
    assert_eq!(codes(&of("")), ["W202 4", "W209 4"]);
    assert_eq!(codes(&of("# douse:ignore W202 nothing is lost")), ["W209 4"]);
    assert_eq!(codes(&of("# douse:ignore W202, W209 nothing is lost")), Vec::<String>::new());
    assert_eq!(codes(&of("# douse:ignore W202 W209")), ["W202 4", "W209 4"], "a reason is missing");
    assert_eq!(
        codes("name: a\n# douse:ignore E104 please\nfoo: b\nsteps: [{command: id}]\n"),
        ["E104 3"],
        "errors stay"
    );
}

#[test]
fn the_seeds_example_warns_only_of_sudo() {
    let text = include_str!("../../../tests/fixtures/runbooks/seed-001-section-8.yml");
    assert_eq!(codes(text), ["W209 21", "W209 23"]);
}

#[test]
fn everything_is_written_four_ways() {
    let text = "name: a\nmodee: x, %\nsteps: [{command: sudo id}]\n";
    let problems = read("dir/x.yml", text).problems;
    let line_of = |_: &str, line: usize| text.lines().nth(line - 1).map(str::to_owned);
    let human = render::render(render::Format::Human, &problems, &line_of);
    assert!(human.starts_with("dir/x.yml:2:1: error[E104]: `modee` is not a key of the file\n 2 | modee: x, %\n   | ^\n   = hint: did you mean `mode`?"), "{human}");
    let json: serde_json::Value =
        serde_json::from_str(&render::render(render::Format::Json, &problems, &line_of)).unwrap();
    assert_eq!(
        (&json[0]["code"], &json[0]["severity"], &json[0]["line"]),
        (&"E104".into(), &"error".into(), &2.into())
    );
    let github = render::render(render::Format::Github, &problems, &line_of);
    assert!(github.starts_with("::error file=dir/x.yml,line=2,col=1,title=E104::`modee` is not"), "{github}");
    assert_eq!(github.lines().count(), problems.len());
    let sarif: serde_json::Value =
        serde_json::from_str(&render::render(render::Format::Sarif, &problems, &line_of)).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"], 2);
    assert_eq!(render::count(&problems), (1, 0));
}
