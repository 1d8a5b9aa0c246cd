//! `auth.tokens`: who may use the API, and as what.

use super::reader::{MapReader, Reading};
use super::{Secret, rights};
use crate::rights::{Role, Scope};

/// A shorter token could be guessed.
const TOKEN_CHARS_MIN: usize = 8;

/// Names that the records use for what no person did.
const RESERVED: [&str; 4] = ["auto", "engine", "system", "alertmanager"];

/// One token of the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiToken {
    /// Who acts, in the audit log.
    pub name: String,
    pub role: Role,
    /// What the role is narrowed to; `None` = not at all.
    pub scopes: Option<Vec<Scope>>,
    pub token: Secret,
}

pub(super) fn read<'r>(reading: &'r Reading<'r>, auth: &mut MapReader<'r, '_>) -> Vec<ApiToken> {
    let mut tokens: Vec<ApiToken> = Vec::new();
    for (index, node) in auth.list("tokens").iter().enumerate() {
        let Some(mut map) = MapReader::new(reading, format!("auth.tokens[{index}]"), node) else { continue };
        let name = map.required("name");
        let role = map.parsed::<Role>("role", "admin, engineer, operator, auditor or viewer");
        if !map.has("role") {
            map.missing("role");
        }
        let secrets = map.secrets("token", "token_file");
        if !map.has("token") && !map.has("token_file") {
            map.missing("token_file");
        }
        let scopes = rights::scopes(reading, &mut map);
        map.finish();
        let (Some(name), Some(role)) = (name, role) else { continue };
        if RESERVED.contains(&name.value.as_str()) {
            let message = format!("`{}` stands for Douse itself in its records", name.value);
            reading.problem(name.place.problem("E103", message).hint("name the token after who uses it"));
        }
        if tokens.iter().any(|other| other.name == name.value) {
            reading.problem(name.place.problem("E110", format!("two tokens are called `{}`", name.value)));
        }
        if let [_, second, ..] = secrets.as_slice() {
            reading.problem(second.place.problem("E103", "a token has one value; give the other an entry of its own"));
        }
        for secret in secrets.into_iter().take(1) {
            if secret.value.expose().chars().count() < TOKEN_CHARS_MIN {
                let message = format!("token `{}` is shorter than {TOKEN_CHARS_MIN} characters", name.value);
                reading.problem(secret.place.problem("E103", message).hint("make one with `openssl rand -hex 24`"));
            }
            if let Some(same) = tokens.iter().find(|other| other.token == secret.value) {
                let message =
                    format!("tokens `{}` and `{}` are equal: who acts could not be told", same.name, name.value);
                reading.problem(secret.place.problem("E110", message));
            }
            tokens.push(ApiToken {
                name: name.value.clone(),
                role: role.value,
                scopes: scopes.clone(),
                token: secret.value,
            });
        }
    }
    tokens
}
