//! Names of users and tokens.

use crate::limits;

/// Names that the records use for what no person did.
pub const RESERVED: [&str; 9] =
    ["auto", "engine", "system", "alertmanager", "anonymous", "unknown", "sighup", "api", "douse"];

/// What is wrong with the name of a user. One spelling for each: names are compared as they are.
pub(super) fn flaw_of_user(name: &str) -> Option<String> {
    let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "._-@".contains(char);
    if !name.starts_with(|char: char| char.is_ascii_lowercase()) || !name.chars().all(is_plain) {
        return Some("a name begins with a letter a-z and has a-z, 0-9, `.`, `_`, `-`, `@`".to_owned());
    }
    if name.len() > limits::NAME_CHARS_MAX {
        return Some(format!("a name has at most {} characters", limits::NAME_CHARS_MAX));
    }
    RESERVED.contains(&name).then(|| format!("`{name}` stands for Douse itself in its records"))
}

/// What is wrong with the name of a token.
pub(super) fn flaw_of_token(name: &str) -> Option<String> {
    let is_short = (1..=limits::NAME_CHARS_MAX).contains(&name.chars().count());
    if is_short && !name.chars().any(char::is_control) && name.trim() == name {
        return None;
    }
    Some(format!("a token's name has 1 to {} characters, none of them a control character", limits::NAME_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for good in ["ada", "ada.l", "a1", "ada@example.org"] {
            assert_eq!(flaw_of_user(good), None, "{good}");
        }
        for wrong in ["", "Ada", "1a", "a b", "ä", "engine", "a\0", &"a".repeat(65)] {
            assert!(flaw_of_user(wrong).is_some(), "{wrong}");
        }
        assert_eq!(flaw_of_token("Grafana at home"), None);
        for wrong in ["", " x", "a\nb", &"a".repeat(65)] {
            assert!(flaw_of_token(wrong).is_some(), "{wrong}");
        }
    }
}
