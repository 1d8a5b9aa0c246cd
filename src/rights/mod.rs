//! Who may do what: roles, and scopes that narrow them to some runbooks and groups of servers.
//!
//! Pure. `web/routes` names the least role of each route; the API and the engine's acts ask [`Rights`] where a runbook is
//! concerned. Nothing here ever adds a right: every list of scopes can only take some away.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::trigger::pattern::{Flaw, Pattern};
use crate::words::words;

words! {
    /// What a person is to Douse. Each may do all that a viewer may; an admin all that anybody may.
    Role {
        /// Reads.
        Viewer = "viewer",
        /// Reads the audit log, users and tokens, too; changes nothing.
        Auditor = "auditor",
        /// Executes, approves, cancels, pauses.
        Operator = "operator",
        /// Enables and disables runbooks; writes blackouts and servers.
        Engineer = "engineer",
        /// Everything.
        Admin = "admin",
    }
}

impl Role {
    /// Whether this role is enough where `needed` is asked for.
    pub const fn covers(self, needed: Self) -> bool {
        match (self, needed) {
            (Self::Admin, _) | (_, Self::Viewer) => true,
            (Self::Engineer, Self::Operator | Self::Engineer) => true,
            (Self::Operator, Self::Operator) | (Self::Auditor, Self::Auditor) => true,
            (Self::Engineer, Self::Auditor | Self::Admin)
            | (Self::Operator, Self::Auditor | Self::Engineer | Self::Admin)
            | (Self::Auditor, Self::Operator | Self::Engineer | Self::Admin)
            | (Self::Viewer, Self::Auditor | Self::Operator | Self::Engineer | Self::Admin) => false,
        }
    }

    /// The role that may do exactly what both may: what is left of `self` under the ceiling `other`.
    pub const fn and(self, other: Self) -> Self {
        if self.covers(other) {
            other
        } else if other.covers(self) {
            self
        } else {
            Self::Viewer
        }
    }
}

words! {
    /// What somebody may do at a runbook.
    Act {
        /// See it, and what came of it.
        View = "view",
        /// Start, repeat, stop, undo and release its runs.
        Execute = "execute",
        /// Say yes or no to its runs.
        Approve = "approve",
    }
}

/// Some acts at some runbooks on some groups of servers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What is permitted; whatever permits something permits to view.
    pub may: Vec<Act>,
    /// Patterns of runbooks' names.
    #[serde(default = "every")]
    pub runbooks: Vec<String>,
    /// Patterns of groups of servers; servers without a group have the empty one, which `*` matches.
    #[serde(default = "every")]
    pub groups: Vec<String>,
}

fn every() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Scope {
    /// What is wrong with it; nothing that is wrong may be stored.
    pub fn flaw(&self) -> Option<String> {
        if self.may.is_empty() || self.runbooks.is_empty() || self.groups.is_empty() {
            return Some(
                "a scope names what it permits, and at least one runbook and group (`*` is every one)".to_owned(),
            );
        }
        if self.runbooks.len() + self.groups.len() > limits::SCOPE_PATTERNS_MAX {
            return Some(format!("a scope has at most {} patterns", limits::SCOPE_PATTERNS_MAX));
        }
        let flaw =
            |text: &String| Pattern::parse(text).err().map(|Flaw { message, .. }| format!("`{text}`: {message}"));
        self.runbooks.iter().chain(&self.groups).find_map(flaw)
    }
}

/// What is wrong with a list of scopes.
pub fn flaw(scopes: &[Scope]) -> Option<String> {
    if scopes.is_empty() {
        return Some(
            "an empty list of scopes would permit nothing; leave it out to permit all that the role may".to_owned(),
        );
    }
    if scopes.len() > limits::SCOPES_MAX {
        return Some(format!("there are at most {} scopes", limits::SCOPES_MAX));
    }
    scopes.iter().find_map(Scope::flaw)
}

/// A scope, ready to be asked.
#[derive(Debug)]
struct Grant {
    may: Vec<Act>,
    runbooks: Vec<Pattern>,
    groups: Vec<Pattern>,
}

impl Grant {
    fn permits(&self, act: Act, runbook: Option<&str>, group: Option<Option<&str>>) -> bool {
        let is_meant = |patterns: &[Pattern], value: &str| patterns.iter().any(|pattern| pattern.matches(value));
        (act == Act::View || self.may.contains(&act))
            && runbook.is_none_or(|runbook| is_meant(&self.runbooks, runbook))
            && group.is_none_or(|group| is_meant(&self.groups, group.unwrap_or_default()))
    }
}

/// What somebody may do at runbooks, beside the role: lists of scopes, each of which has to permit an act. None: everything.
#[derive(Clone, Debug, Default)]
pub struct Rights(Vec<Arc<[Grant]>>);

impl Rights {
    /// The same, narrowed by another list. A scope that cannot be read permits nothing.
    pub fn narrowed_by<'s>(mut self, scopes: impl IntoIterator<Item = &'s Scope>) -> Self {
        let compile = |texts: &[String]| texts.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>, _>>();
        let grant = |scope: &'s Scope| {
            Some(Grant {
                may: scope.may.clone(),
                runbooks: compile(&scope.runbooks).ok()?,
                groups: compile(&scope.groups).ok()?,
            })
        };
        self.0.push(scopes.into_iter().filter_map(grant).collect());
        self
    }

    /// The same, narrowed by all that narrows `other`.
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// Whether `act` is permitted at `runbook` on a server of `group`.
    pub fn may(&self, act: Act, runbook: &str, group: Option<&str>) -> bool {
        self.asked(act, Some(runbook), Some(group))
    }

    /// Whether `act` is permitted at `runbook` on some servers.
    pub fn may_somewhere(&self, act: Act, runbook: &str) -> bool {
        self.asked(act, Some(runbook), None)
    }

    /// Whether `act` is permitted at some runbooks on servers of `group`.
    pub fn may_at(&self, act: Act, group: Option<&str>) -> bool {
        self.asked(act, None, Some(group))
    }

    /// Nothing is taken away.
    pub fn is_unlimited(&self) -> bool {
        self.0.is_empty()
    }

    fn asked(&self, act: Act, runbook: Option<&str>, group: Option<Option<&str>>) -> bool {
        self.0.iter().all(|grants| grants.iter().any(|grant| grant.permits(act, runbook, group)))
    }
}
