//! Tests of parsing: the seed's format, problems and their places.

use std::time::Duration;

use super::*;
use crate::runbook::model::{Action, Mode, OsType, OutputSpec, RunbookStatus};

const SEED: &str = include_str!("../../../tests/fixtures/runbooks/seed-001-section-8.yml");
const STEP: &str = "steps: [{name: a, command: 'true'}]\n";

/// The problems of a text as `code line:column message`.
fn problems(text: &str) -> Vec<String> {
    let parsed = parse("x.yml", text);
    parsed.problems.iter().map(|p| format!("{} {}:{} {}", p.code, p.line, p.column, p.message)).collect()
}

#[track_caller]
fn only(text: &str, wanted: &str) {
    let found = problems(text);
    assert!(found.len() == 1 && found[0].starts_with(wanted), "wanted {wanted}\nfound {found:#?}\nin\n{text}");
}

fn hint(text: &str) -> String {
    parse("x.yml", text).problems.into_iter().find_map(|problem| problem.hint).unwrap_or_default()
}

#[test]
fn the_seeds_example_is_read_with_the_seeds_defaults() {
    let parsed = parse("x.yml", SEED);
    assert_eq!(parsed.problems, []);
    let runbook = parsed.runbook.unwrap();
    assert_eq!((runbook.name.as_str(), runbook.category.as_str()), ("restart-service", "service-management"));
    assert_eq!(
        (runbook.mode, runbook.status, runbook.target_os),
        (Mode::SemiAuto, RunbookStatus::Active, OsType::Linux)
    );
    assert!(runbook.requires_approval && !runbook.approval.allow_self);
    assert_eq!(runbook.approval.roles, ["admin", "engineer"]);
    assert_eq!((runbook.timeout, runbook.max_retries, runbook.retry_delay), (Duration::from_secs(300), 0, None));
    assert_eq!(runbook.environment_vars, [("SERVICE_NAME".to_owned(), "{{ alert.labels.service }}".to_owned())]);
    let ids: Vec<&str> = runbook.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["check_service_status", "restart_service", "verify_service"]);
    let restart = &runbook.steps[1];
    assert_eq!(restart.action, Action::Command("sudo systemctl restart {{ SERVICE_NAME }}".to_owned()));
    assert_eq!((restart.timeout, restart.retry.attempts, restart.order), (Duration::from_secs(60), 1, 2));
    assert_eq!(
        restart.undo.as_ref().unwrap().action,
        Action::Command("sudo systemctl stop {{ SERVICE_NAME }}".to_owned())
    );
    assert_eq!(runbook.steps[0].expected_exit_codes, [0, 3]);
    assert_eq!(runbook.triggers[0].spec.cooldown, Some(Duration::from_secs(300)));
    assert_eq!(runbook.triggers[0].spec.labels_match["type"], "service");
    assert_eq!(runbook.content_hash.len(), 64);
}

#[test]
fn every_key_of_the_seed_and_of_what_is_built_is_read() {
    let text = include_str!("../../../tests/fixtures/runbooks/everything.yml");
    let parsed = parse("x.yml", text);
    assert_eq!(parsed.problems, []);
    let runbook = parsed.runbook.unwrap();
    assert_eq!(runbook.allowed_servers.tags, ["web"]);
    assert_eq!(runbook.retry_delay, Some(Duration::from_secs(15)));
    let limit = runbook.guard.rate_limit.unwrap();
    assert_eq!((limit.count, limit.window), (4, Duration::from_secs(600)));
    let ids: Vec<&str> = runbook.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["first", "second", "third"], "in step_order");
    let second = &runbook.steps[1];
    assert_eq!(second.become_user.as_deref(), Some("root"));
    assert_eq!((second.retry.attempts, second.retry.backoff_milli), (3, 1_500));
    assert_eq!(second.undo.as_ref().unwrap().become_user.as_deref(), Some("postgres"));
    assert_eq!(second.outputs["pid"], OutputSpec::KeyValue { key: "MainPID".to_owned() });
    assert!(second.sensitive && second.idempotent && !second.capture_output);
    assert!(!runbook.rollback.after_cancel && runbook.rollback.after_failure && runbook.rollback.continue_on_error);
    assert_eq!(runbook.triggers[0].spec.time_window_start.as_deref(), Some("22:00"));
    assert_eq!(runbook.parameters.len(), 4);
    assert_eq!(runbook.config["anything"][1], 2);
}

#[test]
fn problems_stand_where_they_are() {
    only(&format!("name: a\ncatgory: b\n{STEP}"), "E104 2:1 `catgory` is not a key of the file");
    only(&format!("name: a\nname: b\n{STEP}"), "E102 2:1 `name` is written twice");
    only(
        &format!("name: a\ntimeout_seconds: soon\n{STEP}"),
        "E103 2:18 `timeout_seconds` must be a whole number, but `soon`",
    );
    only(&format!("name: a\nmode: autoo\n{STEP}"), "E103 2:7 `mode` is `autoo`");
    only(STEP, "E105 1:1 `name` is missing");
    only(
        "name: a\nsteps:\n  - name: x\n    comand: 'true'\n    command: 'true'\n",
        "E104 4:5 `comand` is not a key of step 1",
    );
    only("name: a\nsteps:\n  - name: x\n", "E105 3:5 `command`, `argv` or `script` is missing");
    only("name: a\nsteps:\n  - command: a\n    script: b\n", "E106 3:5 a step does one thing");
    only("name: a\nsteps:\n  - command: a {{ b\n", "E107 3:14 the template is wrong");
    only("name: a\nsteps:\n  - script: |\n      a\n      b {{ c }}\n", "E108 5:");
    only("name: a\nsteps:\n  - command: a {{ steps.x.stdout }}\n", "E109 3:14 there is no step");
    only("name: a\nsteps:\n  - command: a\n    timeout: 5\n", "E103 4:14 `timeout` is `5`, which is not a duration");
    only("name: a\nsteps: []\n", "E103 2:8 `steps` is empty");
    only("name: a\nsteps: x\n", "E103 2:8 `steps` must be a list, but `x` stands here");
    only("- a\n", "E103 1:1 the file must be a map");
    only("name: a\n---\nname: b\n", "E101 3:1 a second document begins here");
    only("", "E101 1:1 the file is empty");
    only("name: a\n\tsteps: 1\n", "E101 2:");
    only("name: [a\n", "E101 ");
    only(&format!("name: a\nrequires_approval: yes\n{STEP}"), "E103 2:20 `requires_approval` must be true or false");
}

#[test]
fn hints_say_what_was_meant() {
    assert!(hint(&format!("name: a\ncatgory: b\n{STEP}")).contains("did you mean `category`"));
    assert!(hint(&format!("name: a\nmode: semi-auto\n{STEP}")).contains("did you mean `semi_auto`"));
    assert!(hint(&format!("name: a\nrequires_approval: yes\n{STEP}")).contains("write true"));
    assert!(hint("name: a\nsteps:\n  - command: a\n    timeout: 5\n").contains("did you mean `5s`"));
    assert!(hint("name: a\nsteps:\n  - command: {{ x }}\n").contains("quote"));
    assert!(hint("name: a\nsteps:\n  - command: a {{ alert.label.x }}\n").contains("did you mean `alert.labels`"));
    assert!(hint("name: a\nsteps:\n  - command: a {{ params.x }}\n").contains("declare `x`"));
    assert!(hint(&format!("name: a\napproval_roles: [admim]\n{STEP}")).contains("did you mean `admin`"));
    assert!(hint("name: a\n\tsteps: 1\n").contains("tabs"));
}

#[test]
fn all_problems_are_found_at_once() {
    let text = "name: a\nmodee: auto\ntimeout_seconds: -1\nsteps:\n  - name: x\n    command: a {{ nope }}\n    tmeout: 5s\n  - \
                command: b\n    retry: {}\ntriggers:\n  - alert_name_pattern: '/(/'\n";
    let found = problems(text);
    let codes: Vec<&str> = found.iter().map(|problem| &problem[..4]).collect();
    assert_eq!(codes, ["E104", "E103", "E108", "E104", "E105", "E111"], "{found:#?}");
    let found = problems(
        "name: a\nsteps:\n  - command: a {{ nope }}\n  - command: b {{ steps.c.stdout }}\n    timeout: 1s\n    timeout_seconds: 1\ntriggers:\n  - name: t\n    alert_name_pattern: '/(/'\n  - name: t\n",
    );
    let codes: Vec<&str> = found.iter().map(|problem| &problem[..4]).collect();
    assert_eq!(codes, ["E108", "E109", "E106", "E111", "E110"], "{found:#?}");
}

#[test]
fn keys_that_cannot_be_run_yet_are_refused_by_name() {
    for key in
        ["verify", "notify", "schedule", "on_failure", "on_success", "finally", "secrets", "defaults", "concurrency"]
    {
        only(&format!("name: a\n{key}: {{}}\n{STEP}"), &format!("E104 2:1 `{key}` is part of the runbook language"));
    }
    let step = [
        "http",
        "wait",
        "approve",
        "assert",
        "set",
        "parallel",
        "block",
        "for_each",
        "until",
        "failed_when",
        "finish_when",
        "check_command",
        "dry_run_command",
        "stdin",
        "run_on",
        "verify",
        "notify",
        "runbook",
    ];
    for key in step {
        let text = format!("name: a\nsteps:\n  - command: a\n    {key}: x\n");
        only(&text, &format!("E104 4:5 `{key}` is part of the runbook language"));
    }
    for key in ["debounce", "group", "mode", "with"] {
        only(&format!("name: a\n{STEP}triggers:\n  - name: t\n    {key}: x\n"), &format!("E104 5:5 `{key}` is part"));
    }
    for key in ["fan_out", "run_on", "on_missing"] {
        only(&format!("name: a\n{STEP}target: {{{key}: x}}\n"), &format!("E104 3:10 `{key}` is part"));
    }
}

#[test]
fn keys_that_begin_with_x_are_the_authors_own() {
    let text = "name: a\nx-team: {any: thing}\nsteps:\n  - command: a\n    x-note: 1\n";
    assert_eq!(problems(text), Vec::<String>::new());
}

#[test]
fn names_are_used_once() {
    only(
        "name: a\nsteps:\n  - {id: x, command: a}\n  - {id: x, command: b}\n",
        "E110 4:10 there are two steps with the id",
    );
    only("name: a\nsteps:\n  - {step_order: 1, command: a}\n  - {step_order: 1, command: b}\n", "E110 4:18");
    only(&format!("name: a\nparameters: [{{name: x}}, {{name: x}}]\n{STEP}"), "E110 2:32");
    only(&format!("name: a\nenvironment_vars: {{alert: x}}\n{STEP}"), "E110 2:");
    only(&format!("name: a\nenvironment_vars: {{DOUSE_X: x}}\n{STEP}"), "E110 2:");
    let runbook = parse(
        "x",
        "name: a\nsteps:\n  - {name: Do it, command: a}\n  - {name: do-it!, command: b}\n  - {name: 2nd, command: c}\n",
    )
    .runbook;
    let ids: Vec<String> = runbook.unwrap().steps.into_iter().map(|step| step.id).collect();
    assert_eq!(ids, ["do_it", "do_it_2", "step_2nd"]);
}

#[test]
fn steps_see_only_what_ran_before() {
    let good = "name: a\nsteps:\n  - {id: x, command: a, outputs: {n: {}}, rollback: {command: 'b {{ steps.x.exit_code }}'}}\n  - \
                {id: y, when: steps.x.exit_code == 0, command: 'b {{ steps.x.outputs.n }}'}\n";
    assert_eq!(problems(good), Vec::<String>::new());
    only(
        "name: a\nsteps:\n  - {id: x, command: 'a {{ steps.y.stdout }}'}\n  - {id: y, command: b}\n",
        "E109 3:22 step `y` has not run yet",
    );
    only("name: a\nsteps:\n  - {id: x, command: 'a {{ steps.x.stdout }}'}\n", "E109 3:22");
    only(
        "name: a\nsteps:\n  - {id: x, command: a}\n  - {command: 'b {{ steps.x.outputs.n }}'}\n",
        "E108 4:15 step `x` has no output `n`",
    );
    only("name: a\nenvironment_vars: {A: '{{ steps.x.stdout }}'}\nsteps: [{id: x, command: a}]\n", "E109 2:23");
    only("name: a\ntarget: {from: '{{ server.name }}'}\nsteps: [{id: x, command: a}]\n", "E108 2:16");
    only(
        "name: a\nenvironment_vars: {A: '{{ B }}', B: b}\nsteps: [{command: 'a {{ A }}'}]\n",
        "E108 2:23 `B` is not known here",
    );
}

#[test]
fn quoting_that_cannot_work_is_found_before_any_alert() {
    only(
        "name: a\nenvironment_vars: {X: '{{ alert.labels.x }}'}\nsteps: [{command: 'echo `echo {{ X | shq }}`'}]\n",
        "E107 3:19 `X` stands in backquotes",
    );
    only("name: a\nsteps:\n  - {interpreter: python3, script: 'print({{ alert.name | shq }})'}\n", "E107 3:");
}

#[test]
fn times_without_quotes_are_read_and_warned_of() {
    let of = |start: &str| {
        let parsed = parse(
            "x",
            &format!(
                "name: a\n{STEP}triggers:\n  - name: t\n    time_window_start: {start}\n    time_window_end: \"06:00\"\n"
            ),
        );
        let codes: Vec<&str> = parsed.problems.iter().map(|problem| problem.code).collect();
        (parsed.runbook.unwrap().triggers[0].spec.time_window_start.clone().unwrap(), codes.join(" "))
    };
    assert_eq!(of("1320"), ("22:00".to_owned(), "W211".to_owned()));
    assert_eq!(of("79200"), ("22:00".to_owned(), "W211".to_owned()));
    assert_eq!(of("22:00"), ("22:00".to_owned(), "W211".to_owned()));
    assert_eq!(of("\"22:00\""), ("22:00".to_owned(), String::new()));
    assert_eq!(of("08:30"), ("08:30".to_owned(), String::new()));
}

#[test]
fn texts_stay_what_was_written() {
    let parsed = parse("x", &format!("name: a\nenvironment_vars: {{A: 010, B: 1.10, C: no, D: 1_000}}\n{STEP}"));
    let values: Vec<String> = parsed.runbook.unwrap().environment_vars.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["010", "1.10", "no", "1_000"]);
}

#[test]
fn parameters_are_checked_when_the_file_is_read() {
    only(&format!("name: a\nparameters: [{{name: x, type: enum}}]\n{STEP}"), "E105 2:");
    only(
        &format!("name: a\nparameters: [{{name: x, type: int, default: many}}]\n{STEP}"),
        "E103 2:44 the default of parameter `x`",
    );
    only(&format!("name: a\nparameters: [{{name: x, pattern: '('}}]\n{STEP}"), "E111 2:33");
    only(&format!("name: a\nparameters: [{{name: x y}}]\n{STEP}"), "E103 2:21");
    only(&format!("name: a\nparameters: [{{name: x, options: [a]}}]\n{STEP}"), "E106 2:");
}

#[test]
fn aliases_are_followed_but_not_without_end() {
    let text = "name: a\nx-env: &env {A: b}\nsteps:\n  - {command: a, env: *env}\n  - {command: b, env: *env}\n";
    assert_eq!(problems(text), Vec::<String>::new());
    let mut bomb = "name: a\nx-0: &x0 [a, a, a, a, a, a, a, a, a]\n".to_owned();
    for level in 1..9 {
        let previous = format!("*x{},", level - 1).repeat(9);
        bomb.push_str(&format!("x-{level}: &x{level} [{previous}]\n"));
    }
    assert!(problems(&bomb).iter().any(|problem| problem.contains("aliases expanded")), "{:?}", problems(&bomb));
    let deep = format!("name: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    assert!(problems(&deep)[0].starts_with("E101"));
    let long = format!("name: {}\n", "a".repeat(2_000_000));
    assert!(problems(&long)[0].starts_with("E101 0:0 is 2000007 bytes long"));
}

#[test]
fn a_runbook_has_at_most_200_steps() {
    let with = |count| format!("name: a\nsteps:\n{}", "  - {command: a}\n".repeat(count));
    assert_eq!(problems(&with(200)), Vec::<String>::new());
    only(&with(201), "E103 3:3 `steps` has 201 entries; at most 200 are read");
}

#[test]
fn the_schema_names_every_key_and_knows_own_keys() {
    let schema = schema();
    let text = schema.to_string();
    for key in
        ["approval_roles", "rollback_command", "labels_match", "expected_exit_codes", "from_label", "max_output_bytes"]
    {
        assert!(text.contains(&format!("\"{key}\"")), "{key}");
    }
    assert_eq!(schema["patternProperties"]["^x-"], true);
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["name", "steps"]));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_fall(text in "[ -~\n\t]{0,200}") {
        let _ = parse("x", &text);
    }

    #[test]
    fn no_change_of_the_example_makes_it_fall(at in 0_usize..SEED.len(), with in "[ -~\n]{0,3}", cut in 0_usize..20) {
        if let (Some(before), Some(after)) = (SEED.get(..at), SEED.get((at + cut).min(SEED.len())..)) {
            let parsed = parse("x", &format!("{before}{with}{after}"));
            let has_error = parsed.problems.iter().any(|problem| problem.severity == Severity::Error);
            proptest::prop_assert_eq!(parsed.runbook.is_none(), has_error);
        }
    }
}
