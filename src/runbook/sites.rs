//! Every template of a runbook: where it stands in the file, where its text goes, and which names it can see.
//!
//! One list for everything that looks at templates, so that none is forgotten. Used by [`super::parse`] and
//! [`super::check`].

use super::model::{Action, OsType, Runbook, Step};
use super::parse::Part;
use super::parse::yaml::Node;
use super::template::Form;

/// One template.
#[derive(Clone, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) path: Vec<Part<'a>>,
    pub(crate) text: &'a str,
    pub(crate) kind: SiteKind,
    pub(crate) sees: Sees,
}

/// What a template is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SiteKind {
    Text(Form),
    Condition,
}

/// What is known when a template is rendered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sees {
    /// The alert and the parameters: the server is not known yet.
    Targeting,
    /// All but steps, and this many of the environment_vars.
    Environment(usize),
    /// Everything, and the results of so many steps.
    Steps(usize),
}

/// All templates of `runbook`, whose file is `document`.
pub(crate) fn sites<'a>(runbook: &'a Runbook, document: &Node) -> Vec<Site<'a>> {
    let mut sites = Vec::new();
    if let Some(from) = &runbook.target.from {
        let path = vec![Part::Key("target"), Part::Key("from")];
        sites.push(Site { path, text: from, kind: SiteKind::Text(Form::Plain), sees: Sees::Targeting });
    }
    for (number, (name, text)) in runbook.environment_vars.iter().enumerate() {
        let path = vec![Part::Key("environment_vars"), Part::Key(name)];
        sites.push(Site { path, text, kind: SiteKind::Text(Form::Plain), sees: Sees::Environment(number) });
    }
    let shell = if runbook.target_os == OsType::Windows { Form::PowerShell } else { Form::Shell };
    let order = step_positions(document);
    for (number, step) in runbook.steps.iter().enumerate() {
        let position = order.get(number).copied().unwrap_or(number);
        of_step(step, number, position, shell, &mut sites);
    }
    for (name, text) in &runbook.outputs {
        let path = vec![Part::Key("outputs"), Part::Key(name)];
        sites.push(Site { path, text, kind: SiteKind::Text(Form::Plain), sees: Sees::Steps(runbook.steps.len()) });
    }
    sites
}

/// For each step in the order in which they run, its position in the file's list.
pub(crate) fn step_positions(document: &Node) -> Vec<usize> {
    let items = document.get("steps").map(Node::items).unwrap_or_default();
    let order = |position: usize| {
        let written = items.get(position).and_then(|item| item.get("step_order")?.scalar()?.text.parse::<usize>().ok());
        written.unwrap_or(position + 1)
    };
    let mut positions: Vec<usize> = (0..items.len()).collect();
    positions.sort_by_key(|position| order(*position));
    positions
}

fn of_step<'a>(step: &'a Step, number: usize, position: usize, shell: Form, sites: &mut Vec<Site<'a>>) {
    let path = |rest: &[Part<'a>]| {
        [Part::Key("steps"), Part::Item(position)].into_iter().chain(rest.iter().copied()).collect()
    };
    let plain = SiteKind::Text(Form::Plain);
    let sees = Sees::Steps(number);
    if let Some(text) = &step.when {
        // `find` stops at the step when only one of the two names is there, so both are tried.
        sites.push(Site { path: path(&["when".into()]), text, kind: SiteKind::Condition, sees });
    }
    for (name, text) in &step.env {
        sites.push(Site { path: path(&["env".into(), Part::Key(name)]), text, kind: plain, sees });
    }
    if let Some(text) = &step.workdir {
        sites.push(Site { path: path(&["workdir".into()]), text, kind: plain, sees });
    }
    of_action(&step.action, shell, sees, &|rest| path(&rest), sites);
    let Some(undo) = &step.undo else { return };
    // An undo runs after its step, whose result it can see.
    let sees = Sees::Steps(number + 1);
    if let Some(text) = &undo.when {
        sites.push(Site { path: path(&["rollback".into(), "when".into()]), text, kind: SiteKind::Condition, sees });
    }
    let undo_path = |rest: Vec<Part<'a>>| {
        let inner: Vec<Part<'a>> = [Part::Key("rollback")].into_iter().chain(rest).collect();
        path(&inner)
    };
    of_action(&undo.action, shell, sees, &undo_path, sites);
}

fn of_action<'a>(
    action: &'a Action,
    shell: Form,
    sees: Sees,
    path: &dyn Fn(Vec<Part<'a>>) -> Vec<Part<'a>>,
    sites: &mut Vec<Site<'a>>,
) {
    match action {
        Action::Command(text) => {
            sites.push(Site { path: path(vec!["command".into()]), text, kind: SiteKind::Text(shell), sees });
        }
        Action::Argv(words) => sites.extend(words.iter().enumerate().map(|(number, text)| Site {
            path: path(vec!["argv".into(), number.into()]),
            text,
            kind: SiteKind::Text(Form::Plain),
            sees,
        })),
        Action::Script { text, interpreter } => {
            let form = interpreter.as_deref().map_or(shell, |interpreter| Form::of_interpreter(Some(interpreter)));
            sites.push(Site { path: path(vec!["script".into()]), text, kind: SiteKind::Text(form), sees });
        }
    }
}
