//! What is shipped for operators: the compose file and what it mounts, the rules, the dashboard, the unit. Each is shown
//! to the program that will read it. Docker itself is not run here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use douse::audit::EventKind;
use douse::execution::{RollbackState, Status};
use douse::telemetry::Metrics;
use regex::Regex;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn run(package: &str, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command.output().unwrap_or_else(|error| panic!("{program}: {error}: apt-get install {package}"))
}

/// Runs it and fails with all that it printed.
fn succeeds(package: &str, program: &str, arguments: &[&str]) -> String {
    let output = run(package, program, arguments);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}", output.status);
    text
}

/// The files and folders that the services of the compose file mount or build from.
fn mounted() -> Vec<PathBuf> {
    let shown = succeeds("docker-compose", "docker-compose", &["--file", "docker-compose.yml", "config"]);
    let config: Value = serde_saphyr::from_str(&shown).unwrap();
    let services = config["services"].as_object().expect("services");
    let volumes = services.values().flat_map(|service| service["volumes"].as_array().cloned().unwrap_or_default());
    let sources = volumes.filter_map(|volume| volume.as_str()?.split(':').next().map(str::to_owned));
    let contexts = services.values().filter_map(|service| Some(service["build"]["context"].as_str()?.to_owned()));
    sources.chain(contexts).filter(|source| source.starts_with('/')).map(PathBuf::from).collect()
}

#[test]
fn the_compose_file_is_valid_and_what_it_mounts_is_there() {
    let mounted = mounted();
    assert!(mounted.len() >= 7, "{mounted:?}");
    for path in mounted {
        assert!(path.exists(), "{} is mounted, but is not there", path.display());
    }
}

#[test]
fn prometheus_and_alertmanager_take_the_files_of_the_compose_file() {
    succeeds("prometheus", "promtool", &["check", "config", "--syntax-only", "contrib/compose/prometheus.yml"]);
    succeeds("prometheus", "promtool", &["check", "rules", "contrib/compose/rules.yml"]);
    succeeds("prometheus-alertmanager", "amtool", &["check-config", "contrib/compose/alertmanager.yml"]);
}

#[test]
fn the_scripts_of_the_compose_file_are_shell() {
    for script in ["setup", "machine", "web"] {
        succeeds("dash", "dash", &["-n", &format!("contrib/compose/target/{script}")]);
    }
    succeeds("bash", "bash", &["-n", "contrib/compose/rehearse"]);
}

#[test]
fn the_image_gets_all_that_the_build_reads() {
    let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let copied: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| line.split_whitespace().rev().skip(1))
        .collect();
    for path in &copied {
        let is_there = root().join(path).exists();
        assert!(is_there, "the Dockerfile copies {path}, which is not there");
    }
    // Cargo refuses a manifest that names targets which are not there.
    assert_eq!(copied.contains(&"benches"), root().join("benches").exists(), "Dockerfile: COPY benches benches");
    // What the binary compiles in must be in the image's build.
    let embedded =
        Regex::new(r#"(?:include_str|include_bytes|embed_migrations)!\(\s*"([^"]+)"|include_dir!\("([^"]+)""#).unwrap();
    let mut seen = 0;
    for file in rust_files(&root().join("src")).into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for found in embedded.captures_iter(&text) {
            let path = found.get(1).or(found.get(2)).unwrap().as_str();
            let beside = file.parent().unwrap().join(path);
            let whole = if beside.exists() { beside } else { root().join(path) };
            let whole = whole.canonicalize().unwrap_or_else(|error| panic!("{}: {path}: {error}", file.display()));
            let inner = whole.strip_prefix(root().canonicalize().unwrap()).unwrap();
            assert!(
                copied.iter().any(|top| inner.starts_with(top)),
                "{} embeds {path}; the Dockerfile does not copy it",
                file.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 0, "nothing embedded was found: is the pattern still right?");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Names of the metrics that Douse has, without the suffixes of their kinds. A metric with labels shows only once it has been used.
fn metrics() -> BTreeSet<String> {
    let all = Metrics::new();
    all.alert_received("main", "stored");
    all.webhook_answered(Duration::ZERO);
    all.delivered("main", "2026-03-03T10:00:00Z".parse().unwrap());
    all.decided("restart", "held", "cooldown");
    all.execution_closed("restart", Status::Rejected, "auto");
    all.rolled_back("restart", RollbackState::Done);
    all.breaker("restart", true);
    all.ssh_failed("refused");
    all.audit_written(EventKind::Decided, Duration::ZERO);
    let text = all.render().unwrap();
    let named = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    named.map(str::to_owned).collect()
}

/// Names of Douse's metrics that a text asks for.
fn asked(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bdouse_[a-z_]+").unwrap();
    let stem = |found: &str| {
        let suffixes = ["_total", "_bucket", "_count", "_sum"];
        suffixes.iter().find_map(|suffix| found.strip_suffix(suffix)).unwrap_or(found).to_owned()
    };
    name.find_iter(text).map(|found| stem(found.as_str())).collect()
}

#[test]
fn the_rules_are_valid_and_ask_for_metrics_that_exist() {
    succeeds("prometheus", "promtool", &["check", "rules", "contrib/prometheus/douse.rules.yml"]);
    let rules = std::fs::read_to_string(root().join("contrib/prometheus/douse.rules.yml")).unwrap();
    let unknown: Vec<String> = asked(&rules).difference(&metrics()).cloned().collect();
    assert!(unknown.is_empty(), "rules ask for {unknown:?}");
}

#[test]
fn the_dashboard_shows_metrics_that_exist_and_its_queries_parse() {
    let text = std::fs::read_to_string(root().join("contrib/grafana/douse.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<String> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(queries.len() > 10);
    let unknown: Vec<String> = asked(&queries.join("\n")).difference(&metrics()).cloned().collect();
    assert!(unknown.is_empty(), "panels ask for {unknown:?}");
    // promtool 2.42 parses expressions only in rules.
    let rules: Vec<Value> = (0..)
        .zip(&queries)
        .map(|(n, query)| {
            let query = query.replace("$__rate_interval", "5m");
            serde_json::json!({"record": format!("panel:{n}"), "expr": query})
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, serde_json::json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).unwrap();
    succeeds("prometheus", "promtool", &["check", "rules", &file.display().to_string()]);
}
