//! Warnings about the text of the file, whatever it means: YAML 1.1 traps (W211) and secrets in the open (W212).

use std::sync::OnceLock;

use regex::Regex;

use crate::problem::Problem;
use crate::runbook::parse::line_of_text;
use crate::runbook::parse::yaml::{Node, NodeValue, Scalar, Style};

/// Adds what is found in `document`.
pub(super) fn check(file: &str, document: &Node, problems: &mut Vec<Problem>) {
    walk(file, "", document, problems);
}

fn walk(file: &str, key: &str, node: &Node, problems: &mut Vec<Problem>) {
    match &node.value {
        NodeValue::Scalar(scalar) => {
            trap(file, node, scalar, problems);
            secret(file, key, node, scalar, problems);
        }
        NodeValue::List(items) => items.iter().for_each(|item| walk(file, key, item, problems)),
        NodeValue::Map(entries) => entries.iter().for_each(|(key, value)| walk(file, &key.name, value, problems)),
    }
}

fn trap(file: &str, node: &Node, scalar: &Scalar, problems: &mut Vec<Problem>) {
    if scalar.style != Style::Plain {
        return;
    }
    let text = scalar.text.as_str();
    let what = match text.to_ascii_lowercase().as_str() {
        "yes" | "no" | "on" | "off" | "y" | "n" => "true or false",
        _ if patterns().sexagesimal.as_ref().is_some_and(|regex| regex.is_match(text)) => "a number",
        _ if patterns().octal.as_ref().is_some_and(|regex| regex.is_match(text)) => "an octal number",
        _ => return,
    };
    let is_said = problems.iter().any(|problem| problem.line == node.place.line && problem.column == node.place.column);
    if !is_said {
        let message = format!("YAML 1.1 tools read an unquoted {text} as {what}");
        let problem = Problem::warning("W211", file, node.place.line, node.place.column, message);
        problems.push(problem.hint(format!("quote it: \"{text}\"")));
    }
}

fn secret(file: &str, key: &str, node: &Node, scalar: &Scalar, problems: &mut Vec<Problem>) {
    let text = &scalar.text;
    let known = patterns().secrets.iter().find_map(|(regex, what)| Some((regex.find(text)?.start(), *what)));
    let named = || {
        let is_text = scalar.style != Style::Plain || !text.chars().all(|char| char.is_ascii_digit());
        let is_literal = is_text && text.len() >= 6 && !text.contains(['{', '$', '/', ' ']) && text != "secret";
        let is_named = patterns().secret_name.as_ref().is_some_and(|regex| regex.is_match(key));
        (is_literal && is_named).then_some((0, "its name says that it is one"))
    };
    if let Some((at, what)) = known.or_else(named) {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let place = line_of_text(node, line);
        let message = format!("this looks like a secret in the open ({what})");
        let hint = "read it from a file on the server, or take it as a parameter of `type: secret`";
        problems.push(Problem::warning("W212", file, place.line, place.column, message).hint(hint));
    }
}

struct Patterns {
    sexagesimal: Option<Regex>,
    octal: Option<Regex>,
    secret_name: Option<Regex>,
    secrets: Vec<(Regex, &'static str)>,
}

/// What secrets look like. The tests show one to each pattern, so none is silently missing.
const SECRETS: [(&str, &str); 10] = [
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key"),
    (r"\bAKIA[0-9A-Z]{16}\b", "an AWS key"),
    (r"\bgh[pousr]_[A-Za-z0-9]{30,}", "a GitHub token"),
    (r"\bxox[abprs]-[A-Za-z0-9-]{10,}", "a Slack token"),
    (r"\bsk-[A-Za-z0-9_-]{20,}", "an API key"),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.", "a JWT"),
    (r"(?i)\bBearer\s+[A-Za-z0-9._~+/-]{16,}", "a bearer token"),
    (r"(?i)\b[a-z0-9+.-]+://[^\s/:@{]+:[^\s/@{$]{3,}@", "a password in a URL"),
    (
        r#"(?i)(password|passwd|secret|api_?key|token)["']?\s*[=:]\s*["']?[A-Za-z0-9!#%^&*_+.-]{6,}"#,
        "a password or token",
    ),
    (r"\bcurl\b.*\s(-u|--user)[ =]*[^\s:{$]+:[^\s{$'-][^\s{$]{3,}", "a password on a command line"),
];

fn patterns() -> &'static Patterns {
    static PATTERNS: OnceLock<Patterns> = OnceLock::new();
    PATTERNS.get_or_init(|| Patterns {
        sexagesimal: Regex::new(r"^[1-9][0-9]*(:[0-5]?[0-9])+$").ok(),
        octal: Regex::new(r"^0[0-7]+$").ok(),
        secret_name: Regex::new(r"(?i)(password|passwd|secret|token|api_?key|private_?key)$").ok(),
        secrets: SECRETS.into_iter().filter_map(|(pattern, what)| Some((Regex::new(pattern).ok()?, what))).collect(),
    })
}
