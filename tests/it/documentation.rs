//! The manual: links lead somewhere, every page is in the table of contents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use douse::web::routes::Access;
use regex::Regex;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every Markdown file that people read.
fn pages() -> Vec<PathBuf> {
    let in_folder = |folder: PathBuf| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    [root(), root().join("docs"), root().join("docs/adr")].into_iter().flat_map(in_folder).collect()
}

/// The text without what stands in code.
fn prose(text: &str) -> String {
    let code = Regex::new(r"(?s)```.*?```|`[^`\n]*`").unwrap();
    code.replace_all(text, "").into_owned()
}

/// A heading's anchor, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let fenced = Regex::new(r"(?s)```.*?```").unwrap();
    let text = fs::read_to_string(page).unwrap();
    fenced.replace_all(&text, "").lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut broken = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text = prose(&fs::read_to_string(&page).unwrap());
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if target.starts_with("http") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let has_heading = || heading.is_empty() || anchors(&file).contains(heading);
            if !file.exists() || !has_heading() {
                broken.push(format!("{}: {target}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(count > 40, "only {count} links were found");
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    for page in pages() {
        let Ok(inner) = page.strip_prefix(root().join("docs")) else { continue };
        let inner = inner.display().to_string();
        assert!(
            inner == "SUMMARY.md" || summary.contains(&format!("({inner})")),
            "docs/SUMMARY.md does not name {inner}"
        );
    }
}

/// The blocks of a language in a page, each with the page's name.
fn examples(language: &str) -> Vec<(String, String)> {
    let block = Regex::new(&format!("(?s)\n```{language}\n(.*?)```")).unwrap();
    let mut found = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(root()).unwrap().display().to_string();
        found.extend(block.captures_iter(&text).map(|block| (name.clone(), block[1].to_owned())));
    }
    found
}

/// What the example's reader has to say, as text; empty when it takes it.
fn objections(top: &[&str], text: &str) -> Option<String> {
    const RUNBOOK: &[&str] =
        &["environment_vars", "guard", "name", "parameters", "rollback", "steps", "target", "triggers"];
    const CONFIG: &[&str] = &[
        "audit",
        "auth",
        "blackouts",
        "encryption",
        "global",
        "limits",
        "outbound",
        "runbooks",
        "servers",
        "sources",
        "storage",
        "web",
    ];
    let are_in = |known: &[&str]| top.iter().all(|key| known.contains(key)) || top.contains(&"steps");
    if text.starts_with("servers:\n") {
        return Some(match douse::inventory::file::parse("servers.yml", &root(), &text.replace("AAAA…", HOST_KEY)) {
            Ok(_) => String::new(),
            Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
        });
    }
    if are_in(RUNBOOK) {
        let name = if top.contains(&"name") { "" } else { "name: example\n" };
        let steps = if top.contains(&"steps") { "" } else { "steps: [{command: \"true\"}]\n" };
        let parsed = douse::runbook::parse::parse("example.yml", &format!("{name}{steps}{text}"));
        return Some(parsed.problems.iter().map(|problem| format!("{problem}\n")).collect());
    }
    if are_in(CONFIG) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("douse.yml");
        fs::write(&file, text).unwrap();
        return Some(match douse::config::Config::check(&file, &[]) {
            Ok(_) => String::new(),
            Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
        });
    }
    None
}

/// A key that was made for this test and opens nothing.
const HOST_KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ5mD0hGvU7p2O2X0nYkq8s8x2b8bqz5m7Qy0h0cUQ0f";

#[test]
fn the_examples_of_the_manual_are_taken_by_what_reads_them() {
    let mut taken = 0;
    let mut wrong = Vec::new();
    for (page, text) in examples("yaml") {
        let keys = text.lines().filter(|line| !line.starts_with([' ', '#', '-']) && line.contains(':'));
        let top: Vec<&str> = keys.map(|line| line.split(':').next().unwrap()).collect();
        match objections(&top, &text) {
            Some(found) if found.is_empty() => taken += 1,
            Some(found) => wrong.push(format!("{page}:\n{text}\n{found}")),
            // Prometheus' and Alertmanager's.
            None => assert!(text.contains("receivers:") || text.contains("scrape_configs:"), "{page}: {text}"),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(taken > 10, "only {taken} examples were found");
}

#[test]
fn the_page_of_the_api_names_every_route_with_its_role() {
    let page = fs::read_to_string(root().join("docs/api.md")).unwrap();
    for (method, path, access) in douse::web::routes::ROUTES {
        let line = page.lines().find(|line| line.starts_with(&format!("| `{path}` |")));
        let line = line.unwrap_or_else(|| panic!("docs/api.md does not name {path}"));
        let role = match access {
            Access::Public => "nobody asked",
            Access::Password => "password or set-up token",
            Access::Source => "the source's",
            Access::Metrics => "viewer, or public",
            Access::Role(role) => role.as_str(),
        };
        assert!(line.contains(&format!("{method}: {role}")), "docs/api.md: {line}\nhas not {method}: {role}");
    }
}

#[test]
fn the_page_of_security_tells_who_may_change_what() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let rights = page.split("\n## Rights").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut told: Vec<(String, String)> = Vec::new();
    for (role, routes) in rights.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")) {
        told.extend(routes.split('`').skip(1).step_by(2).map(|route| (role.to_owned(), route.to_owned())));
    }
    let changes = douse::web::routes::ROUTES.iter().filter(|(method, ..)| *method != "GET");
    let mut there: Vec<(String, String)> = changes
        .map(|(method, path, access)| {
            let role = match access {
                Access::Password => "whoever has a password or a set-up token",
                Access::Source => "a source, by its own credential",
                Access::Public => "everybody",
                Access::Metrics => "viewer, or public",
                Access::Role(role) => role.as_str(),
            };
            (role.to_owned(), format!("{method} {path}"))
        })
        .collect();
    told.sort();
    there.sort();
    assert_eq!(told, there, "docs/security.md, section Rights");
}

/// What stands between backquotes in the first column of a page's tables, with `{…}` and what follows it cut off.
fn first_column(page: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let code = Regex::new(r"`([^`{]+)(?:\{[^`]*)?`").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.flat_map(|cell| code.captures_iter(cell).map(|found| found[1].to_owned()).collect::<Vec<_>>()).collect()
}

#[test]
fn the_page_of_the_api_names_no_route_that_is_not_there() {
    let page = fs::read_to_string(root().join("docs/api.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `/")?.split_once("` | "));
    let named = rows.flat_map(|(path, methods)| {
        let methods = methods.trim_end_matches(" |").split(", ").filter_map(|one| one.split_once(": "));
        methods.map(move |(method, _)| format!("{method} /{path}")).collect::<Vec<_>>()
    });
    let there = douse::web::routes::ROUTES.iter().map(|(method, path, _)| format!("{method} {path}"));
    assert_eq!(named.collect::<BTreeSet<_>>(), there.collect::<BTreeSet<_>>());
}

#[test]
fn the_page_of_metrics_names_those_that_there_are() {
    let source = fs::read_to_string(root().join("src/telemetry.rs")).unwrap();
    let made = Regex::new(r#"(family|histogram|gauge|counter)\(\s*&mut r,\s*"([a-z_]+)""#).unwrap();
    let bare = |name: &str| name.trim_start_matches("douse_").trim_end_matches("_total").to_owned();
    let made: BTreeSet<String> = made.captures_iter(&source).map(|found| bare(&found[2])).collect();
    assert!(made.len() > 15, "{made:?}");
    assert_eq!(first_column("metrics.md").iter().map(|name| bare(name)).collect::<BTreeSet<_>>(), made);
}

#[test]
fn the_page_of_checks_names_every_code_that_is_told() {
    fn codes(folder: &Path, found: &mut BTreeSet<String>) {
        let code = Regex::new(r#""([EW][0-9]{3})""#).unwrap();
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                codes(&entry, found);
            } else if !entry.ends_with("tests.rs") {
                let text = fs::read_to_string(&entry).unwrap_or_default();
                found.extend(code.captures_iter(&text).map(|code| code[1].to_owned()));
            }
        }
    }
    let mut told = BTreeSet::new();
    codes(&root().join("src"), &mut told);
    let page = fs::read_to_string(root().join("docs/check.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let named: BTreeSet<String> = rows.filter(|cell| cell.len() == 4).map(str::to_owned).collect();
    assert_eq!(named.into_iter().filter(|code| code != "code").collect::<BTreeSet<_>>(), told);
}

#[test]
fn the_page_of_the_command_line_names_every_command() {
    let page = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let command = douse::cli::Cli::command();
    for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
        let name = one.get_name();
        let word = Regex::new(&format!(r"`{name}\b")).unwrap();
        let row = rows.iter().find(|row| word.is_match(row));
        let row = row.unwrap_or_else(|| panic!("docs/cli.md does not name `{name}`"));
        for inner in one.get_subcommands().map(|inner| inner.get_name()).filter(|inner| *inner != "help") {
            let word = Regex::new(&format!(r"[ |]{inner}\b")).unwrap();
            assert!(word.is_match(row), "docs/cli.md does not name `{name} {inner}`");
        }
    }
}

/// Every word under `key` in the schema: names of properties, or the reserved ones.
fn words(schema: &Value, key: &str, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(entries) => {
            match entries.get(key) {
                Some(Value::Object(named)) => found.extend(named.keys().cloned()),
                Some(Value::Array(named)) => found.extend(named.iter().filter_map(Value::as_str).map(str::to_owned)),
                _ => {}
            }
            entries.values().for_each(|value| words(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| words(item, key, found)),
        _ => {}
    }
}

#[test]
fn the_manual_names_every_key_of_runbooks() {
    let read = |page: &str| fs::read_to_string(root().join("docs").join(page)).unwrap();
    let runbooks = read("runbooks.md");
    let all = [&runbooks, &read("triggers.md"), &read("gates.md"), &read("ssh.md")].map(String::as_str).concat();
    let schema = douse::runbook::parse::schema();
    for (key, text) in [("properties", &all), ("x-douse-reserved", &runbooks)] {
        let mut keys = BTreeSet::new();
        words(&schema, key, &mut keys);
        assert!(keys.len() > 30, "{keys:?}");
        let is_named = |key: &String| Regex::new(&format!(r"\b{key}\b")).unwrap().is_match(text);
        let missing: Vec<_> = keys.into_iter().filter(|key| !is_named(key)).collect();
        assert!(missing.is_empty(), "the manual does not name these keys ({key}): {missing:?}");
    }
}

#[test]
fn each_test_that_the_pages_of_guarantees_and_faults_name_is_there() {
    fn source(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                source(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut code = String::new();
    ["src", "tests"].into_iter().for_each(|folder| source(&root().join(folder), &mut code));
    let page = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let named: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(3))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(named.len() > 30, "{named:?}");
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let faults = page.split("## Faults with a test of their own").nth(1).unwrap();
    let named: Vec<String> = named.into_iter().chain(faults.split('`').skip(1).step_by(2).map(str::to_owned)).collect();
    let missing: Vec<&String> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
