//! The manual: links lead somewhere, every page is in the table of contents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use douse::web::routes::Access;
use regex::Regex;

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
    const CONFIG: &[&str] =
        &["auth", "blackouts", "global", "limits", "runbooks", "servers", "sources", "storage", "web"];
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
            Access::Source => "the source's",
            Access::Metrics => "viewer, or public",
            Access::Role(role) => role.as_str(),
        };
        assert!(line.contains(&format!("{method}: {role}")), "docs/api.md: {line}\nhas not {method}: {role}");
    }
}
