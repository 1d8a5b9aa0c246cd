//! Every template of a runbook against the names that it can see: syntax, unknown names, steps out of order, quoting.

use super::{Part, Places, nearest};
use crate::runbook::context::{ALERT, GROUP, RUNBOOK, SERVER, STEP};
use crate::runbook::model::Runbook;
use crate::runbook::sites::{Sees, Site, SiteKind, sites};
use crate::runbook::template::{condition_syntax_error, misplaced_quoting, names, names_of_condition, syntax_error};

/// Says what is wrong with the templates of `runbook`.
pub(super) fn check(runbook: &Runbook, places: &mut Places<'_>) {
    for site in sites(runbook, places.document) {
        let path = written_path(&site, places);
        let wrong = match site.kind {
            SiteKind::Text(_) => syntax_error(site.text),
            SiteKind::Condition => condition_syntax_error(site.text),
        };
        if let Some((message, line)) = wrong {
            let hint = if message.contains("filters are") {
                ""
            } else {
                "templates are in Jinja2 syntax; `{% raw %}` … `{% endraw %}` keeps braces"
            };
            places.error_in_text("E107", &path, line, format!("the template is wrong: {message}"), hint);
            continue;
        }
        if let SiteKind::Text(form) = site.kind
            && let Some((name, hint)) = misplaced_quoting(site.text, form)
        {
            places.error_in_text("E107", &path, 1, format!("`{name}` {hint}"), "");
        }
        let names = match site.kind {
            SiteKind::Text(_) => names(site.text),
            SiteKind::Condition => names_of_condition(site.text),
        };
        for used in &names.paths {
            if let Some((code, message, hint)) = unknown(runbook, site.sees, used) {
                let line = line_of(site.text, used);
                places.error_in_text(code, &path, line, message, &hint);
            }
        }
    }
}

/// The path by the key that the author used: `when` or `condition`, `rollback` or `rollback_command`.
fn written_path<'a>(site: &Site<'a>, places: &Places<'_>) -> Vec<Part<'a>> {
    let mut path = site.path.clone();
    let Some(item) = path.get(..2).map(|step| super::find(places.document, step)) else { return path };
    match path.get(2) {
        Some(Part::Key("when")) if item.get("when").is_none() => path[2] = Part::Key("condition"),
        Some(Part::Key("rollback")) if item.get("rollback").is_none() => {
            path.truncate(2);
            path.push(Part::Key("rollback_command"));
        }
        _ => {}
    }
    path
}

/// The line of a text, from 1, on which a path is used first.
fn line_of(text: &str, path: &str) -> usize {
    let before = text.find(path).and_then(|at| text.get(..at)).unwrap_or_default();
    before.matches('\n').count() + 1
}

type Unknown = (&'static str, String, String);

fn unknown(runbook: &Runbook, sees: Sees, path: &str) -> Option<Unknown> {
    let mut parts = path.split('.');
    let root = parts.next().unwrap_or_default();
    let second = parts.next();
    let key = |known: &[&str]| {
        let second = second?;
        if known.contains(&second) {
            return None;
        }
        let near = nearest(second, known.iter().copied()).map(|near| format!("did you mean `{root}.{near}`? "));
        let hint = format!("{}`{root}` has {}", near.unwrap_or_default(), known.join(", "));
        Some(("E108", format!("`{root}` has no `{second}`"), hint))
    };
    match root {
        "alert" => key(&ALERT),
        "runbook" => key(&RUNBOOK),
        "params" => {
            let known: Vec<&str> = runbook.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            match (second, known.is_empty()) {
                (Some(second), true) => {
                    let hint = format!("declare `{second}` under `parameters:`");
                    Some(("E108", "this runbook has no parameters".to_owned(), hint))
                }
                _ => key(&known),
            }
        }
        "server" if sees != Sees::Targeting => key(&SERVER),
        "trigger" if sees != Sees::Targeting => key(&["name"]),
        "group" if sees != Sees::Targeting => key(&GROUP),
        "execution" if sees != Sees::Targeting => key(&["id"]),
        "now" if sees != Sees::Targeting => None,
        "steps" => steps(runbook, sees, path),
        "secrets" => {
            let hint = "declare a parameter of `type: secret` instead".to_owned();
            Some(("E108", "`secrets` is not known yet in this version of Douse".to_owned(), hint))
        }
        _ => {
            let seen = match sees {
                Sees::Targeting => 0,
                Sees::Environment(count) => count,
                Sees::Steps(_) => runbook.environment_vars.len(),
            };
            let variables = || runbook.environment_vars.iter().take(seen).map(|(name, _)| name.as_str());
            if variables().any(|name| name == root) {
                return None;
            }
            let roots: &[&str] = match sees {
                Sees::Targeting => &["alert", "params", "runbook"],
                Sees::Environment(_) => {
                    &["alert", "group", "server", "params", "runbook", "trigger", "execution", "now"]
                }
                Sees::Steps(_) => {
                    &["alert", "group", "server", "params", "steps", "runbook", "trigger", "execution", "now"]
                }
            };
            let known: Vec<&str> = roots.iter().copied().chain(variables()).collect();
            let near = nearest(root, known.iter().copied()).map(|near| format!("did you mean `{near}`? "));
            let hint = format!("{}known here: {}", near.unwrap_or_default(), known.join(", "));
            Some(("E108", format!("`{root}` is not known here"), hint))
        }
    }
}

fn steps(runbook: &Runbook, sees: Sees, path: &str) -> Option<Unknown> {
    let seen = match sees {
        Sees::Targeting | Sees::Environment(_) => {
            let message = "no step has run yet when this is rendered".to_owned();
            return Some(("E109", message, "use the step's output in the command itself".to_owned()));
        }
        Sees::Steps(seen) => seen,
    };
    let mut parts = path.split('.').skip(1);
    let id = parts.next()?;
    let Some(position) = runbook.steps.iter().position(|step| step.id == id) else {
        let ids: Vec<&str> = runbook.steps.iter().map(|step| step.id.as_str()).collect();
        let near = nearest(id, ids.iter().copied()).map(|near| format!("did you mean `{near}`? "));
        let hint = format!("{}the steps are {}", near.unwrap_or_default(), ids.join(", "));
        return Some(("E109", format!("there is no step with the id `{id}`"), hint));
    };
    if position >= seen {
        let hint = "a step can only use the results of those before it".to_owned();
        return Some(("E109", format!("step `{id}` has not run yet when this is rendered"), hint));
    }
    let key = parts.next()?;
    if !STEP.contains(&key) {
        let near = nearest(key, STEP.into_iter()).map(|near| format!("did you mean `{near}`? "));
        let hint = format!("{}a step has {}", near.unwrap_or_default(), STEP.join(", "));
        return Some(("E108", format!("`steps.{id}` has no `{key}`"), hint));
    }
    let (output, step) = (parts.next()?, runbook.steps.get(position)?);
    if key != "outputs" || step.outputs.contains_key(output) {
        return None;
    }
    let known: Vec<&str> = step.outputs.keys().map(String::as_str).collect();
    let hint = if known.is_empty() {
        format!("declare it under `outputs:` of step `{id}`")
    } else {
        format!("it has {}", known.join(", "))
    };
    Some(("E108", format!("step `{id}` has no output `{output}`"), hint))
}
