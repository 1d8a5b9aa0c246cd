//! Secret parameters whose values are gone, and what cannot be made ready without them.
//!
//! Secrets are in no plan and in no database. After a restart their values are not there, and nothing may run with a
//! mask or with an empty text in their place: what names one is refused. What does not name one goes on without it, so
//! that a run can still be undone; its environment then lacks the variable altogether.

use std::collections::{BTreeMap, BTreeSet};

use super::ReadyAction;
use crate::runbook::context;
use crate::runbook::plan::{Plan, PlanError, Text};
use crate::runbook::template::{Names, names};

/// What is lost, by the names under which it would be seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost {
    parameters: BTreeSet<String>,
    /// Variable → the parameter that it would hold or be made of.
    variables: BTreeMap<String, String>,
}

impl Lost {
    /// The secret parameters that `plan` was given and `known` does not have.
    pub(super) fn of(plan: &Plan, known: &BTreeMap<String, String>) -> Self {
        // A secret's name stands among the plan's parameters, its value nowhere in the context.
        let is_open = |name: &str| plan.context.pointer("/params").is_some_and(|params| params.get(name).is_some());
        let parameters: BTreeSet<String> =
            plan.parameters.keys().filter(|name| !is_open(name) && !known.contains_key(*name)).cloned().collect();
        let mut lost = Self { parameters, variables: BTreeMap::new() };
        for name in lost.parameters.clone() {
            lost.variables.insert(context::parameter_variable(&name), name);
        }
        for (variable, text) in &plan.environment {
            if let Some(parameter) = lost.in_text(text) {
                lost.variables.insert(variable.clone(), parameter);
            }
        }
        lost
    }

    /// Nothing is lost.
    pub(super) fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Whether variable `name` would hold a lost value.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Refuses a template that names what is lost.
    pub(super) fn check_template(&self, step: Option<&str>, template: &str) -> Result<(), PlanError> {
        self.refuse(step, self.in_names(&names(template)))
    }

    /// The same for a condition.
    pub(super) fn check_names(&self, step: Option<&str>, names: &Names) -> Result<(), PlanError> {
        self.refuse(step, self.in_names(names))
    }

    /// Refuses an action whose text names a variable that would hold what is lost.
    pub(super) fn check_action(&self, step: Option<&str>, action: &ReadyAction) -> Result<(), PlanError> {
        let names_it = |variable: &str| match action {
            ReadyAction::Command(text) | ReadyAction::Script { text, .. } => text.contains(variable),
            ReadyAction::Argv(words) => words.iter().any(|word| word.contains(variable)),
        };
        let found = self.variables.iter().find(|(variable, _)| names_it(variable));
        self.refuse(step, found.map(|(_, parameter)| parameter.clone()))
    }

    fn in_text(&self, text: &Text) -> Option<String> {
        match text {
            Text::Known(_) => None,
            Text::Hole(template) => self.in_names(&names(template)),
        }
    }

    fn in_names(&self, names: &Names) -> Option<String> {
        if let Some(variable) = names.roots.iter().find(|root| self.variables.contains_key(*root)) {
            return self.variables.get(variable).cloned();
        }
        let parameters = names.paths.iter().filter_map(|path| path.strip_prefix("params"));
        let named = |rest: &str| {
            let name = rest.trim_start_matches('.').split('.').next().unwrap_or_default();
            match name {
                // Which one it takes shows only when it is rendered.
                "" => self.parameters.first().cloned(),
                name => self.parameters.get(name).cloned(),
            }
        };
        parameters.into_iter().find_map(named)
    }

    fn refuse(&self, step: Option<&str>, parameter: Option<String>) -> Result<(), PlanError> {
        let Some(name) = parameter else { return Ok(()) };
        let message = format!(
            "secret parameter `{name}` is not known any more: secrets are kept in memory only, and Douse was restarted \
             since this run was asked for; ask for the run again"
        );
        Err(PlanError { step: step.map(str::to_owned), ..PlanError::parameter(&name, message) })
    }
}
