//! What was found, for people, for programs, for GitHub's annotations, and as SARIF for code scanners.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::problem::{Problem, Severity};

/// How problems are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `path:line:column: error[E104]: …`, with the line and a hint.
    Human,
    /// An array of problems.
    Json,
    /// Workflow commands that GitHub shows at the line.
    Github,
    /// SARIF 2.1.0.
    Sarif,
}

/// All problems in `format`. `line_of` gives the text of a file's line, from 1, if it is known.
pub fn render(format: Format, problems: &[Problem], line_of: &dyn Fn(&str, usize) -> Option<String>) -> String {
    match format {
        Format::Human => human(problems, line_of),
        Format::Json => json_text(&json!(problems)),
        Format::Github => problems.iter().map(github).collect(),
        Format::Sarif => json_text(&sarif(problems)),
    }
}

/// Errors and warnings among `problems`.
pub fn count(problems: &[Problem]) -> (usize, usize) {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    (errors, problems.len() - errors)
}

fn human(problems: &[Problem], line_of: &dyn Fn(&str, usize) -> Option<String>) -> String {
    let mut text = String::new();
    for problem in problems {
        let Problem { code, file, line, column, message, .. } = problem;
        // Line 0: the file as a whole.
        let place = if *line == 0 { file.clone() } else { format!("{file}:{line}:{column}") };
        let _ = writeln!(text, "{place}: {}[{code}]: {message}", word(problem.severity));
        if let Some(source) =
            line_of(file, *line).filter(|source| !source.trim().is_empty() && source.chars().count() < 200)
        {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let indent: String = source
                .chars()
                .take(column.saturating_sub(1))
                .map(|char| if char == '\t' { '\t' } else { ' ' })
                .collect();
            let _ = writeln!(text, " {number} | {source}");
            if *column > 0 {
                let _ = writeln!(text, " {margin} | {indent}^");
            }
        }
        if let Some(hint) = &problem.hint {
            let _ = writeln!(text, "   = hint: {hint}");
        }
    }
    text
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>
fn github(problem: &Problem) -> String {
    let message = match &problem.hint {
        Some(hint) => format!("{}\n{hint}", problem.message),
        None => problem.message.clone(),
    };
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let (line, column) = (problem.line.max(1), problem.column.max(1));
    let (file, title) = (property(&problem.file), property(problem.code));
    format!("::{} file={file},line={line},col={column},title={title}::{}\n", word(problem.severity), data(&message))
}

/// <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
fn sarif(problems: &[Problem]) -> Value {
    let mut codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| json!({ "id": code })).collect();
    let result = |problem: &Problem| {
        let text = match &problem.hint {
            Some(hint) => format!("{}. {hint}", problem.message),
            None => problem.message.clone(),
        };
        json!({
            "ruleId": problem.code,
            "level": word(problem.severity),
            "message": { "text": text },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": problem.file.replace('\\', "/") },
                "region": { "startLine": problem.line.max(1), "startColumn": problem.column.max(1) },
            }}],
        })
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "douse", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": problems.iter().map(result).collect::<Vec<Value>>(),
        }],
    })
}

fn json_text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
