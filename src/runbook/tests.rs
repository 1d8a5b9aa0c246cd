//! Tests of parameters, plans, and what they become at run time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{OutputSpec, Runbook};
use super::parameters::{self, ParameterSources};
use super::parse::parse;
use super::plan::{self, Plan, PlanError, PlanInput, PlanReason, PlannedAction, Text, plan_hash};
use super::ready::{self, ReadyAction, StepInputs, StepResult};
use crate::alert::{Alert, AlertStatus};
use crate::execution::StepStatus;
use crate::inventory::{Auth, Protocol, Server};
use crate::runbook::model::OsType;

fn runbook(text: &str) -> Runbook {
    let parsed = parse("x.yml", &format!("name: a\n{text}"));
    parsed.runbook.unwrap_or_else(|| panic!("{:#?}", parsed.problems))
}

fn alert(labels: &[(&str, &str)]) -> Alert {
    Alert {
        status: AlertStatus::Firing,
        labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        annotations: [("names".to_owned(), "x, y".to_owned())].into(),
        starts_at: "2026-03-03T10:00:00Z".parse().unwrap(),
        ends_at: None,
        generator_url: String::new(),
        fingerprint: "f".into(),
        annotations_cut: false,
    }
}

fn server() -> Server {
    Server {
        name: "web1".into(),
        hostname: "10.0.0.11".into(),
        port: 22,
        username: "douse".into(),
        os_type: OsType::Linux,
        auth: Auth::Agent,
        host_keys: vec![],
        tags: vec!["web".into()],
        group: None,
        environment: None,
        is_paused: false,
        protocol: Protocol::Ssh,
        become_password: None,
        bastion: None,
        via: None,
    }
}

fn resolve(text: &str, given: Value) -> Result<BTreeMap<String, Value>, PlanError> {
    let runbook = runbook(&format!("parameters:\n  - {{name: p, {text}}}\nsteps: [{{command: id}}]\n"));
    let given: BTreeMap<String, Value> = serde_json::from_value(given).unwrap();
    let alert = alert(&[("host", "web7")]);
    let sources = ParameterSources { alert: Some(&alert), given: &given, is_server: &|name| name == "web1" };
    parameters::resolve(&runbook, &sources)
}

fn make(text: &str, labels: &[(&str, &str)], parameters: Value) -> Result<Plan, PlanError> {
    let alert = alert(labels);
    plan::plan(
        &runbook(text),
        &PlanInput {
            runbook_version: 3,
            alert: Some(&alert),
            group: None,
            server: &server(),
            parameters: &serde_json::from_value(parameters).unwrap(),
            trigger: Some("t"),
        },
    )
}

fn inputs(steps: &[(&str, i32, &str)]) -> StepInputs {
    let result = |(id, exit_code, stdout): &(&str, i32, &str)| {
        let outputs = [("n".to_owned(), json!(stdout.trim()))].into();
        let status = if *exit_code == 0 { StepStatus::Completed } else { StepStatus::Failed };
        let result = StepResult {
            status,
            exit_code: Some(*exit_code),
            stdout: Some((*stdout).into()),
            stderr: Some(String::new()),
            outputs,
            unknown: None,
        };
        ((*id).to_owned(), result)
    };
    StepInputs {
        execution_id: "e1".into(),
        now: "2026-03-03T10:05:00Z".parse().unwrap(),
        steps: steps.iter().map(result).collect(),
        secrets: BTreeMap::new(),
    }
}

fn command(action: &PlannedAction) -> &Text {
    match action {
        PlannedAction::Command(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn parameters_are_accepted_as_declared() {
    for (declared, given, wanted) in [
        ("type: string", json!({"p": "x"}), json!("x")),
        ("type: int", json!({"p": "5"}), json!(5)),
        ("type: int", json!({"p": -5}), json!(-5)),
        ("type: float", json!({"p": "1.5"}), json!(1.5)),
        ("type: bool", json!({"p": "true"}), json!(true)),
        ("type: duration", json!({"p": "5m"}), json!("5m")),
        ("type: enum, options: [a, b]", json!({"p": "b"}), json!("b")),
        ("type: server", json!({"p": "web1"}), json!("web1")),
        ("type: list", json!({"p": "a, b"}), json!(["a", "b"])),
        ("type: list", json!({"p": ["a", 1]}), json!(["a", "1"])),
        ("from_label: host", json!({}), json!("web7")),
        ("from_label: host", json!({"p": "x"}), json!("x")),
        ("from_label: nope, from_annotation: names", json!({}), json!("x, y")),
        ("from_label: nope, default: d", json!({}), json!("d")),
        ("type: int, min: 1, max: 3", json!({"p": 3}), json!(3)),
        ("pattern: '[a-z]+'", json!({"p": "abc"}), json!("abc")),
    ] {
        assert_eq!(
            resolve(declared, given.clone()).map(|mut values| values.remove("p").unwrap()),
            Ok(wanted),
            "{declared} {given}"
        );
    }
    assert_eq!(resolve("from_label: nope", json!({})), Ok(BTreeMap::new()), "optional and absent");
}

#[test]
fn parameters_that_are_not_as_declared_are_refused() {
    for (declared, given, part) in [
        ("required: true", json!({}), "is required"),
        ("required: true, from_label: nope", json!({}), "no label `nope`"),
        ("type: int", json!({"p": "five"}), "not a whole number"),
        ("type: int", json!({"p": 9_007_199_254_740_993_i64}), "2^53"),
        ("type: bool", json!({"p": "yes"}), "`true` or `false`"),
        ("type: duration", json!({"p": "5"}), "duration"),
        ("type: enum, options: [a, b]", json!({"p": "c"}), "one of a, b"),
        ("type: server", json!({"p": "web9"}), "no server"),
        ("type: int, max: 3", json!({"p": 4}), "at most 3"),
        ("max: 3", json!({"p": "long"}), "4 characters"),
        ("type: duration, max: 60", json!({"p": "2m"}), "120 seconds"),
        ("pattern: '[a-z]+'", json!({"p": "abc; reboot"}), "does not match"),
        ("pattern: 'a|b'", json!({"p": "ax"}), "does not match"),
        ("type: list, pattern: '[a-z]'", json!({"p": "a,B"}), "does not match"),
        ("from_label: host, pattern: 'db.*'", json!({}), "from label `host`"),
        ("type: string", json!({"p": "a\u{0}b"}), "NUL"),
        ("type: string", json!({"q": "a"}), "no parameter `q`"),
        ("type: string", json!({"p": {"a": 1}}), "not a text"),
    ] {
        let error = resolve(declared, given.clone()).unwrap_err();
        assert_eq!(error.reason, PlanReason::ParamRejected);
        assert!(error.message.contains(part), "{declared} {given}: {error}");
    }
    let error = resolve("type: secret, pattern: '[0-9]+'", json!({"p": "hunter2"})).unwrap_err();
    assert!(!error.message.contains("hunter2"), "{error}");
}

#[test]
fn a_plan_holds_what_is_known_and_leaves_holes_for_the_rest() {
    let text = "environment_vars: {S: '{{ alert.labels.s }}', AT: '{{ now }}'}\nparameters: [{name: p, default: x}]\nsteps:\n  - {id: one, \
                command: 'a {{ S }} {{ params.p }} {{ server.name }} {{ trigger.name }}'}\n  - {id: two, command: 'b {{ steps.one.outputs.n }}'}\n  - \
                {id: three, command: 'c {{ AT | shq }} {{ execution.id }}', workdir: '/srv/{{ S }}', env: {X: 'y {{ S }}'}}\n";
    let text = text.replace("{id: one,", "{id: one, outputs: {n: {}},");
    let plan = make(&text, &[("s", "nginx")], json!({"p": "x"})).unwrap();
    assert_eq!(command(&plan.steps[0].action), &Text::Known("a nginx x web1 t".into()));
    assert_eq!(command(&plan.steps[1].action), &Text::Hole("b {{ steps.one.outputs.n }}".into()));
    assert_eq!(command(&plan.steps[2].action), &Text::Hole("c {{ AT | shq }} {{ execution.id }}".into()));
    assert_eq!(plan.steps[2].workdir, Some(Text::Known("/srv/nginx".into())));
    assert_eq!(plan.environment[1], ("AT".into(), Text::Hole("{{ now }}".into())));
    assert_eq!(plan.environment[2], ("DOUSE_PARAM_P".into(), Text::Known("x".into())));

    let ready = ready::step(&plan, &plan.steps[1], &inputs(&[("one", 0, "17\n")])).unwrap();
    assert_eq!(ready.action, ReadyAction::Command("b 17".into()));
    assert!(ready.environment.contains(&("DOUSE_OUTPUT_ONE_N".into(), "17".into())));
    let ready = ready::step(&plan, &plan.steps[2], &inputs(&[])).unwrap();
    assert_eq!(ready.action, ReadyAction::Command("c '2026-03-03T10:05:00.000000Z' e1".into()));
    assert_eq!(ready.workdir.as_deref(), Some("/srv/nginx"));
    assert_eq!(ready.environment.last(), Some(&("X".into(), "y nginx".into())));
    let names: Vec<&str> = ready.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["S", "AT", "DOUSE_PARAM_P", "DOUSE_EXECUTION_ID", "X"]);
}

#[test]
fn a_hole_is_filled_by_the_same_rules() {
    let plan = make("steps:\n  - {id: one, command: a}\n  - {id: two, command: 'b {{ steps.one.stdout }}', rollback_command: 'c {{ steps.one.stdout | trim }}'}\n", &[], json!({})).unwrap();
    let error = ready::step(&plan, &plan.steps[1], &inputs(&[("one", 0, "x; reboot")])).unwrap_err();
    assert_eq!(
        (error.reason, error.step.as_deref(), error.name.as_str()),
        (PlanReason::UnsafeValue, Some("two"), "steps.one.stdout")
    );
    let error = ready::step(&plan, &plan.steps[1], &inputs(&[])).unwrap_err();
    assert_eq!(error.reason, PlanReason::TemplateError);
    let undo = plan.steps[1].undo.as_ref().unwrap();
    let ready = ready::undo(&plan, &plan.steps[1], undo, &inputs(&[("one", 0, " x \n")])).unwrap();
    assert_eq!(ready.action, ReadyAction::Command("c x".into()));
}

#[test]
fn an_unsafe_or_missing_value_refuses_the_plan_with_step_and_name() {
    let text = "environment_vars: {S: '{{ alert.labels.s }}'}\nsteps:\n  - {id: one, command: id}\n  - {id: two, command: 'b {{ S }}', rollback_command: 'c {{ S }}'}\n";
    let error = make(text, &[("s", "a b")], json!({})).unwrap_err();
    assert_eq!((error.reason, error.step.as_deref(), error.name.as_str()), (PlanReason::UnsafeValue, Some("two"), "S"));
    assert!(error.to_string().starts_with("step `two`: in `command`: `S`: contains ' '"), "{error}");
    let error = make(text, &[], json!({})).unwrap_err();
    assert_eq!(
        (error.reason, error.step.as_deref(), error.name.as_str()),
        (PlanReason::TemplateError, None, "alert.labels.s")
    );
    let undo = "steps: [{id: one, command: id, rollback_command: 'c {{ alert.labels.s }}'}]";
    let error = make(undo, &[("s", "$(x)")], json!({})).unwrap_err();
    assert!(error.message.starts_with("in `rollback command`"), "{error}");
    let long = "environment_vars: {S: '{{ alert.labels.s }}'}\nsteps: [{command: id}]";
    assert!(make(long, &[("s", &"x".repeat(100_000))], json!({})).unwrap_err().message.contains("can be exported"));
}

#[test]
fn a_step_that_can_never_run_need_not_render() {
    let text = "steps:\n  - {id: one, when: alert.labels.kind is defined, command: 'a {{ alert.labels.kind }}'}\n";
    assert_eq!(command(&make(text, &[("kind", "x")], json!({})).unwrap().steps[0].action), &Text::Known("a x".into()));
    let plan = make(text, &[], json!({})).unwrap();
    assert_eq!(ready::condition(&plan, "one", plan.steps[0].when.as_deref(), &inputs(&[])), Ok(false));
    let error = make("steps: [{when: alert.labels.kind == 'x', command: a}]", &[], json!({})).unwrap_err();
    assert!(error.message.contains("has no `kind`"), "{error}");
}

#[test]
fn conditions_see_the_steps_before() {
    let plan = make(
        "steps:\n  - {id: one, command: a}\n  - {id: two, when: steps.one.exit_code == 3, command: b}\n",
        &[],
        json!({}),
    )
    .unwrap();
    let when = plan.steps[1].when.as_deref();
    assert_eq!(ready::condition(&plan, "two", when, &inputs(&[("one", 3, "")])), Ok(true));
    assert_eq!(ready::condition(&plan, "two", when, &inputs(&[("one", 0, "")])), Ok(false));
    assert_eq!(ready::condition(&plan, "two", None, &inputs(&[])), Ok(true));
    assert!(ready::condition(&plan, "two", when, &inputs(&[])).is_err());
}

#[test]
fn secrets_are_in_no_plan_and_in_no_message() {
    let text = "parameters: [{name: key, type: secret}]\nenvironment_vars: {K: '{{ params.key }}'}\nsteps:\n  - {id: one, argv: [login, '{{ params.key }}']}\n  - \
                {id: two, command: 'echo {{ K }}'}\n  - {id: three, command: \"{% for p in params | items %}{{ p | first }}{% endfor %}\"}\n";
    let plan = make(text, &[], json!({"key": "hunter 2"})).unwrap();
    let stored = serde_json::to_string(&plan).unwrap();
    assert!(!stored.contains("hunter"), "{stored}");
    assert_eq!(plan.parameters["key"], "********");
    let mut inputs = inputs(&[]);
    assert!(matches!(plan.steps[2].action, PlannedAction::Command(Text::Hole(_))));
    inputs.secrets.insert("key".into(), "hunter 2".into());
    let ready = ready::step(&plan, &plan.steps[0], &inputs).unwrap();
    assert_eq!(ready.action, ReadyAction::Argv(vec!["login".into(), "hunter 2".into()]));
    assert!(ready.environment.contains(&("DOUSE_PARAM_KEY".into(), "hunter 2".into())));
    let error = ready::step(&plan, &plan.steps[1], &inputs).unwrap_err();
    assert_eq!((error.reason, error.name.as_str()), (PlanReason::UnsafeValue, "K"));
    assert!(!error.to_string().contains("hunter"), "{error}");
}

#[test]
fn the_hash_covers_everything_that_is_known() {
    let text = "environment_vars: {S: '{{ alert.labels.s }}'}\nsteps: [{id: one, command: 'a {{ S }}'}, {command: 'b {{ steps.one.stdout }}'}]";
    let hash = |text: &str, label: &str| plan_hash(&make(text, &[("s", label)], json!({})).unwrap()).unwrap();
    let first = hash(text, "x");
    assert_eq!(first, hash(text, "x"));
    assert_ne!(first, hash(text, "y"));
    assert_ne!(first, hash(&text.replace("b {{", "c {{"), "x"), "the text of a hole");
    assert_ne!(first, hash(&text.replace("id: one", "id: one, timeout: 5s"), "x"));
    assert_eq!(first.len(), 64);
}

#[test]
fn outputs_are_read_from_what_a_step_printed() {
    let read = |spec: OutputSpec, stdout: &str| {
        ready::outputs(&[("o".to_owned(), spec)].into(), stdout).map(|mut values| values.remove("o").unwrap())
    };
    let json_at = |path: &str| OutputSpec::Json { path: Some(path.into()) };
    let regex = |pattern: &str| OutputSpec::Regex { pattern: pattern.into() };
    let key = |key: &str| OutputSpec::KeyValue { key: key.into() };
    assert_eq!(read(OutputSpec::Text, " a \n"), Ok(json!("a")));
    assert_eq!(read(json_at("a.1.b"), r#"{"a": [0, {"b": 7}]}"#), Ok(json!(7)));
    assert_eq!(read(OutputSpec::Json { path: None }, "[1]"), Ok(json!([1])));
    assert_eq!(read(regex(r"^v(\d+)$"), "x\nv12\n"), Ok(json!("12")));
    assert_eq!(read(regex("b+"), "abbc"), Ok(json!("bb")));
    assert_eq!(read(key("ID"), "NAME=x\nID=\"debian\"\n"), Ok(json!("debian")));
    for (spec, stdout, part) in [
        (json_at("a.2"), r#"{"a": []}"#, "no `a.2`"),
        (json_at("a"), "nope", "not JSON"),
        (regex("x"), "y", "nothing in the output matches"),
        (key("ID"), "x=y", "no line `ID=…`"),
    ] {
        let error = read(spec, stdout).unwrap_err();
        assert!(error.name == "o" && error.message.contains(part), "{error}");
    }
    assert!(read(OutputSpec::Text, &"x".repeat(100_000)).is_err());
}

#[test]
fn results_are_rendered_when_the_run_is_over() {
    let plan = make("outputs: {r: '{{ steps.one.outputs.n }} of {{ server.name }}'}\nsteps: [{id: one, command: a, outputs: {n: {}}}]", &[], json!({})).unwrap();
    assert_eq!(ready::results(&plan, &inputs(&[("one", 0, "5")])).unwrap()["r"], "5 of web1");
    assert!(ready::results(&plan, &inputs(&[])).is_err());
}

#[test]
fn the_target_is_named_by_the_runbook_or_by_the_instance() {
    let target = |text: &str, labels: &[(&str, &str)]| {
        plan::target(&runbook(&format!("{text}steps: [{{command: a}}]")), Some(&alert(labels)), &BTreeMap::new())
    };
    assert_eq!(target("", &[("instance", "web1:9100")]).as_deref(), Ok("web1:9100"));
    assert_eq!(target("target: {from: '{{ alert.labels.host }}'}\n", &[("host", "db1")]).as_deref(), Ok("db1"));
    assert_eq!(
        target("target: {from: '{{ alert.instance | host }}'}\n", &[("instance", "https://db1:80/x")]).as_deref(),
        Ok("db1")
    );
    assert_eq!(target("", &[]).unwrap_err().reason, PlanReason::TemplateError);
    assert!(plan::target(&runbook("steps: [{command: a}]"), None, &BTreeMap::new()).is_err());
}
