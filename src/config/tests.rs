//! What a configuration means, and what is told about a wrong one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::*;

fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("douse.yml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let (_dir, path) = write(text);
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&path, &variables).map_err(|problems| {
        let dir = path.parent().unwrap_or(Path::new("")).display().to_string() + "/";
        problems.iter().map(|problem| problem.to_string().replace(&dir, "")).collect()
    })
}

/// The example of the manual, without what is refused until it is built.
const EXAMPLE: &str = r#"
global: {mode: enforce, external_url: "http://localhost:9494", timezone: UTC}
web: {listen_addresses: ["127.0.0.1:9494"]}
storage: {url: "sqlite://data/douse.db", retention: {executions: 90d, output: 30d, audit: 2y}}
encryption: {master_key_file: secrets/master.key}
sources:
  - {name: main, bearer_token_file: webhook.token, alertmanager_url: "http://localhost:9093"}
prometheus: {url: "http://localhost:9090"}
runbooks: {dirs: [runbooks]}
servers: {files: [servers.yml]}
blackouts: [{name: Sunday patching, weekly: {days: [sunday], start: "02:00", end: "04:00"}, timezone: Europe/Berlin, servers: {tags: [web]}}]
limits: {executions: 20, sessions_per_server: 4, executions_per_hour: 600, recently_remediated: 5m, max_queue_age: 1h,
         blast_radius: {min: 3, percent: 20, window: 10m}, attempts: {count: 3, window: 1h}}
auth: {tokens: [{name: ops, role: admin, token_file: ops.token}, {name: wall, role: viewer, token: "walltoken"}]}
notifications: [{name: ops, slack: {}}, {name: hook, webhook: {url: "http://localhost/"}}]
"#;

#[test]
fn the_example_of_the_manual_is_read_in_full() {
    let (dir, path) = write(EXAMPLE);
    std::fs::write(dir.path().join("webhook.token"), "first-token\n").unwrap();
    std::fs::write(dir.path().join("ops.token"), "ops-token-value\r\n").unwrap();
    let key_file = dir.path().join("secrets/master.key");
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    std::fs::write(&key_file, format!("2026:{}\n", "0e".repeat(32))).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = Config::load(&path, &[]).unwrap();
    let encryption = config.encryption.as_ref().unwrap();
    assert_eq!(encryption.source, key_file.display().to_string());
    assert!(encryption.keys.as_ref().unwrap().current().id.starts_with("2026."));
    assert_eq!(config.global.mode, EngineMode::Enforce);
    assert_eq!(config.storage.url.expose(), format!("sqlite://{}/data/douse.db", dir.path().display()));
    assert_eq!(config.storage.retention.audit, Some(humantime::parse_duration("2y").unwrap()));
    assert_eq!(config.sources[0].credentials, [Credential::Bearer(Secret::new("first-token".to_owned()))]);
    assert_eq!(config.sources[0].alertmanager_url.as_deref(), Some("http://localhost:9093"));
    assert_eq!(config.runbook_dirs, [dir.path().join("runbooks")]);
    assert_eq!(config.server_files, [dir.path().join("servers.yml")]);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.tokens[0].token.expose(), "ops-token-value");
    assert_eq!(config.tokens[1].role, Role::Viewer);
    assert_eq!(config.blackouts[0].name, "Sunday patching");
    let warned: Vec<&str> = config.warnings.iter().filter_map(|warning| warning.message.split('`').nth(1)).collect();
    assert_eq!(warned, ["prometheus", "notifications"], "{:?}", config.warnings);
    assert!(config.warnings.iter().all(|warning| warning.code == "W231"));
    assert!(!format!("{config:?}").contains("first-token"), "secrets print as <secret>");
}

#[test]
fn an_empty_file_takes_every_default() {
    for text in ["", "{}", "# nothing\n", "sources:\nlimits:\n"] {
        let config = load(text, &[]).unwrap();
        assert_eq!(config.web.listen_addresses, ["127.0.0.1:9494"]);
        assert_eq!(config.limits, Limits::default());
        assert!(config.tokens.is_empty() && config.sources.is_empty());
    }
}

#[test]
fn all_problems_are_told_at_once_with_line_column_and_hint() {
    let text = r#"
globl: {}
limits:
  executions: many
  max_queue_age: 5
  blast_radius: {mni: 2}
sources:
  - {name: "a b", bearer_token: ""}
  - {name: open}
auth: {tokens: [{name: x, role: root, token: "s3cr3t-s3cr3t"}, {name: x, role: viewer}]}
storage: {url: "mysql://root:hunter2@db/x"}
blackouts: [{name: n, daily: {start: "25:00", end: "04:00"}}, {name: m, dayly: {}}]
"#;
    let problems = load(text, &[]).unwrap_err();
    insta::assert_snapshot!(problems.join("\n"));
    assert!(!problems.join("\n").contains("hunter2"), "a secret is never told");
}

#[test]
fn zero_switches_a_limit_off() {
    let text = "limits: {executions: 0, executions_per_hour: 0, recently_remediated: 0s, max_queue_age: 0, blast_radius: 0, attempts: {count: 0}}";
    let limits = load(text, &[]).unwrap().limits;
    assert_eq!((limits.executions, limits.executions_per_hour), (None, None));
    assert_eq!((limits.recently_remediated, limits.max_queue_age), (None, None));
    assert_eq!((limits.blast_radius, limits.attempts), (None, None));
    assert_eq!(limits.sessions_per_server, Some(crate::limits::SSH_SESSIONS_PER_SERVER));
}

#[test]
fn the_environment_wins_over_the_file() {
    let variables = [
        ("DOUSE_LIMITS__MAX_QUEUE_AGE", "2h"),
        ("DOUSE_GLOBAL__MODE", "observe"),
        ("DOUSE_STORAGE__URL", "postgres://douse@db/douse"),
        ("DOUSE_AUTH__TOKENS__0__ROLE", "admin"),
        ("DOUSE_WEB__LISTEN_ADDRESSES", ":80, [::1]:81"),
        ("DOUSE_URL", "http://elsewhere"),
        ("HOME", "/root"),
    ];
    let text = "global: {mode: enforce}\nweb: {listen_addresses: ['127.0.0.1:1']}\nauth: {tokens: [{name: a, role: viewer, token: '12345678'}]}\n";
    let config = load(text, &variables).unwrap();
    assert_eq!(config.limits.max_queue_age, Some(Duration::from_secs(7_200)));
    assert_eq!(config.global.mode, EngineMode::Observe);
    assert_eq!(config.storage.url.expose(), "postgres://douse@db/douse");
    assert_eq!(config.tokens[0].role, Role::Admin);
    assert_eq!(config.web.listen_addresses, ["0.0.0.0:80", "[::1]:81"]);
}

#[test]
fn a_variable_that_means_nothing_is_a_problem() {
    let problems =
        load("sources: []", &[("DOUSE_LIMITS__EXECUTOINS", "3"), ("DOUSE_SOURCES__0__NAME", "x")]).unwrap_err();
    let text = problems.join("\n");
    assert!(text.contains("$DOUSE_LIMITS__EXECUTOINS") && text.contains("did you mean `executions`"), "{text}");
    assert!(text.contains("$DOUSE_SOURCES__0__NAME"), "{text}");
}

#[test]
fn what_is_not_built_is_refused_where_it_would_change_behaviour() {
    let problems = load("runbooks: {dirs: [], git: [{url: x}]}\n", &[]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("douse.yml:1:28: E131: `runbooks.git` is not built yet"), "{problems:?}");
}

#[test]
fn networks_are_networks_or_single_addresses() {
    let config =
        load("web: {trusted_proxies: [10.1.2.3/8, '::1']}\noutbound: {allow: 169.254.169.254}\n", &[]).unwrap();
    let texts: Vec<_> = config.web.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(config.outbound_allow[0].to_string(), "169.254.169.254/32");
    for wrong in ["web: {trusted_proxies: [localhost]}", "outbound: {allow: [10.0.0.0/33]}", "outbound: {allow: ['']}"]
    {
        let problems = load(wrong, &[]).unwrap_err();
        assert!(problems[0].contains("E103") && problems[0].contains("is no network"), "{problems:?}");
    }
}

#[test]
fn every_kind_of_credential_is_read_with_two_at_once_for_rotation() {
    let text = r#"
sources:
  - name: all
    bearer_token: [old-token, new-token]
    basic_auth: [{username: am, password: one}, {username: am, password: two}]
    hmac: {secret: [k1, k2], timestamp_header: X-Time}
  - {name: open, insecure_no_auth: true}
"#;
    let config = load(text, &[]).unwrap();
    assert_eq!(config.sources[0].credentials.len(), 6);
    assert!(config.sources[1].insecure_no_auth);
    assert_eq!(config.warnings[0].code, "W230");
    let problems = load("sources: [{name: a, bearer_token: [a, b, c]}]", &[]).unwrap_err();
    assert!(problems[0].contains("at most 2"), "{problems:?}");
}

#[test]
fn check_does_not_need_the_files_of_secrets_but_load_does() {
    let (_dir, path) = write("auth: {tokens: [{name: a, role: admin, token_file: nowhere}]}");
    assert!(Config::check(&path, &[]).unwrap().tokens.is_empty());
    let problems = Config::load(&path, &[]).unwrap_err();
    assert_eq!((problems[0].code, problems[0].line), ("E130", 1));
}

#[test]
fn listen_addresses_are_host_and_port() {
    for (text, means) in [
        (":9494", Some("0.0.0.0:9494")),
        ("localhost:80", Some("localhost:80")),
        ("[::1]:80", Some("[::1]:80")),
        ("::1:80", None),
        ("9494", None),
        ("host:99999", None),
    ] {
        assert_eq!(sections::listen_address(text).as_deref(), means, "{text}");
    }
}

#[test]
fn an_address_with_a_user_or_a_password_is_refused_and_not_told() {
    for key in
        ["global: {external_url", "prometheus: {url", "sources: [{name: main, bearer_token: abc, alertmanager_url"]
    {
        for login in ["ann", "ann:hunter2", ":hunter2"] {
            let close = if key.starts_with("sources") { "}]" } else { "}" };
            let problems = load(&format!("{key}: \"http://{login}@am:9093\"{close}"), &[]).unwrap_err().join("\n");
            assert!(problems.contains("without a user and password"), "{key} {login}: {problems}");
        }
    }
}

#[test]
fn a_token_may_not_be_called_as_douse_calls_itself() {
    for name in ["auto", "engine", "system", "alertmanager"] {
        let text = format!("auth: {{tokens: [{{name: {name}, role: admin, token: '12345678'}}]}}");
        let problems = load(&text, &[]).unwrap_err().join("\n");
        assert!(problems.contains("stands for Douse itself"), "{problems}");
    }
}

#[test]
fn rights_and_scopes_are_read_and_what_is_wrong_with_them_is_told() {
    use crate::rights::{Act, Role};
    let (_dir, path) = write(
        "auth:\n  rights:\n    - {role: operator, may: [execute], runbooks: ['restart-*'], groups: web}\n    - {role: operator, may: approve}\n  \
         tokens:\n    - {name: bot, role: operator, token: '12345678', scopes: [{may: [view], groups: [db]}]}\n    \
         - {name: all, role: auditor, token: '12345679'}\n",
    );
    let config = Config::load(&path, &[]).unwrap();
    let operator = config.rights_of(Role::Operator);
    assert!(operator.may(Act::Execute, "restart-nginx", Some("web")));
    assert!(
        !operator.may(Act::Execute, "restart-nginx", Some("db")) && !operator.may(Act::Execute, "reboot", Some("web"))
    );
    assert!(operator.may(Act::Approve, "reboot", None), "the second entry");
    assert!(config.rights_of(Role::Viewer).is_unlimited());
    assert_eq!(config.tokens[0].scopes.as_ref().map(Vec::len), Some(1));
    assert_eq!((config.tokens[1].role, &config.tokens[1].scopes), (Role::Auditor, &None));
    for (wrong, told) in [
        ("rights: [{role: admin, may: [view]}]", "an admin's rights cannot be narrowed"),
        ("rights: [{role: operator}]", "`auth.rights[0].may` is missing"),
        ("rights: [{may: [view]}]", "`auth.rights[0].role` is missing"),
        ("rights: [{role: operator, may: [fly]}]", "`fly` is none of view, execute or approve"),
        ("rights: [{role: operator, may: [view], runbooks: ['[']}]", "`[`"),
        ("rights: [{role: operator, may: [view], servers: [a]}]", "unknown key `auth.rights[0].servers`"),
        ("rights: [{role: operator, may: [view], groups: []}]", "at least one runbook and group"),
        ("tokens: [{name: a, role: viewer, token: '12345678', scopes: [{may: []}]}]", "a scope names what it permits"),
        ("tokens: [{name: a, role: viewer, token: '12345678', scops: []}]", "did you mean `scopes`"),
    ] {
        let (_dir, path) = write(&format!("auth: {{{wrong}}}"));
        let problems = Config::load(&path, &[]).unwrap_err();
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(text.contains(told), "{wrong}\nexpected: {told}\nfound: {text}");
    }
}
