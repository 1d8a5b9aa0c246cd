//! Whoever acts.

use crate::id::{SessionId, TokenId, UserId};
use crate::rights::{Act, Rights, Role};

/// Whoever acts, with what that person may do now.
#[derive(Clone, Debug)]
pub struct Person {
    /// A user's name, or a configured token's.
    pub name: String,
    pub role: Role,
    /// What the role is narrowed to.
    pub rights: Rights,
    pub ip_address: Option<String>,
    /// `None` for tokens of the configuration.
    pub account: Option<Account>,
}

/// A user, and what the user has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    pub user: UserId,
    pub shown: Shown,
}

/// What proves who somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// A log-in.
    Session(SessionId),
    /// An API token.
    Token(TokenId),
}

impl Person {
    /// Somebody with all that the role may.
    pub fn new(name: impl Into<String>, role: Role, ip_address: Option<String>) -> Self {
        Self { name: name.into(), role, rights: Rights::default(), ip_address, account: None }
    }

    /// Whether this person may do `act` at `runbook` on a server of `group`; the route has let the role through.
    pub fn may(&self, act: Act, runbook: &str, group: Option<&str>) -> bool {
        self.rights.may(act, runbook, group)
    }

    /// Whether the person is logged in, as opposed to a program with a token.
    pub fn is_logged_in(&self) -> bool {
        self.account.is_some_and(|account| matches!(account.shown, Shown::Session(_)))
    }
}
