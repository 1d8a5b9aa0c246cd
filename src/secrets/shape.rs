//! Secrets that are known by how they look, or by the name that stands before them: nobody has to have registered them.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex, RegexSet};
use serde_json::Value;

use super::mask::MASKED;

/// One shape: what it looks like, and what is left of it.
struct Shape {
    regex: Regex,
    keep: Keep,
}

/// What a match becomes; `None` where it was no secret after all.
type Keep = fn(&Captures<'_>) -> Option<String>;

/// Names whose value is never shown, in the middle of a longer name too.
const NAMES: &str = "password|passwd|passphrase|secret|api[_-]?key|private[_-]?key|access[_-]?key|token";

static PATTERNS: LazyLock<Vec<(String, Keep)>> = LazyLock::new(|| {
    let whole: Keep = |_| Some(MASKED.to_owned());
    let value: Keep = |found| Some(format!("{}{MASKED}", group(found, 1)));
    vec![
        // A private key in PEM, also one that was cut.
        (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)".to_owned(), whole),
        // JSON Web Tokens.
        (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*".to_owned(), whole),
        // Bearer and basic credentials; `basic authentication` is none.
        (r"(?i)\b((?:bearer|basic)\s+)([A-Za-z0-9._~+/-]{8,}=*)".to_owned(), |found| {
            looks_random(group(found, 2)).then(|| format!("{}{MASKED}", group(found, 1)))
        }),
        // Keys that say by their beginning what they are.
        (r"\b(?:sk|rk|pk)[-_][A-Za-z0-9_-]{16,}".to_owned(), whole),
        (r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})".to_owned(), whole),
        (r"\b(?:xox[abeprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|AIza[A-Za-z0-9_-]{30,})".to_owned(), whole),
        // The password and the query of an address.
        (r"([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@".to_owned(), |found| {
            Some(format!("{}{MASKED}@", group(found, 1)))
        }),
        (format!(r#"(?i)([?&][\w.-]*(?:{NAMES}|pwd|auth|sig|signature|credential|key)=)[^&\s"'<>#]+"#), value),
        // Headers.
        (
            r"(?im)^(\s*(?:proxy-)?authorization\s*:\s*|\s*(?:set-)?cookie\s*:\s*|\s*x-api-key\s*:\s*)\S.*$".to_owned(),
            value,
        ),
        // `"password": "…"`, `DB_PASSWORD=…`, and `password: …` at the beginning of a line.
        (format!(r#"(?i)(["'][\w.-]*(?:{NAMES})["']\s*:\s*["'])[^"']+"#), value),
        (format!(r#"(?i)(\b[\w.-]*(?:{NAMES})=["']?)[^\s"'&;,<>]+"#), value),
        (format!(r#"(?im)^([ \t]*(?:-[ \t]+)?[\w.-]*(?:{NAMES})[ \t]*:[ \t]+["']?)[^\s"'<>][^"'\n]*"#), value),
    ]
});

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let shape = |(pattern, keep): &(String, Keep)| {
        // Constant patterns; a test compiles each.
        Regex::new(pattern).ok().map(|regex| Shape { regex, keep: *keep })
    };
    PATTERNS.iter().filter_map(shape).collect()
});

static ANY: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(PATTERNS.iter().map(|(pattern, _)| pattern)).ok());

/// The text without what looks like a secret.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    let Some(any) = &*ANY else { return Cow::Owned(MASKED.to_owned()) };
    let found = any.matches(text);
    if !found.matched_any() {
        return Cow::Borrowed(text);
    }
    let mut text = Cow::Borrowed(text);
    for shape in found.iter().filter_map(|index| SHAPES.get(index)) {
        let replaced = shape.regex.replace_all(&text, |found: &Captures<'_>| {
            (shape.keep)(found).unwrap_or_else(|| group(found, 0).to_owned())
        });
        if let Cow::Owned(replaced) = replaced {
            text = Cow::Owned(replaced);
        }
    }
    text
}

/// Takes the values of telling names out of a JSON value; answers whether there were any.
pub(super) fn named(value: &mut Value) -> bool {
    match value {
        Value::Object(members) => members.iter_mut().fold(false, |found, (name, member)| {
            let hides = match member {
                Value::String(text) if is_name(name) && !text.is_empty() && text != MASKED => {
                    *member = MASKED.into();
                    true
                }
                other => named(other),
            };
            found | hides
        }),
        Value::Array(items) => items.iter_mut().fold(false, |found, item| found | named(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether what stands under this name is a secret: `password`, `db_password`, `clientSecret`, `API-Key`.
fn is_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let ends =
        ["password", "passwd", "passphrase", "secret", "apikey", "privatekey", "accesskey", "secretkey", "token"];
    ends.iter().any(|end| plain.ends_with(end)) || ["authorization", "cookie", "setcookie"].contains(&plain.as_str())
}

/// Words of a language have no digits, and no capitals within.
fn looks_random(word: &str) -> bool {
    word.chars().any(|c| c.is_ascii_digit() || c == '=') || word.chars().skip(1).any(|c| c.is_ascii_uppercase())
}

fn group<'t>(found: &Captures<'t>, index: usize) -> &'t str {
    found.get(index).map_or("", |part| part.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(SHAPES.len(), PATTERNS.len());
        assert!(ANY.is_some());
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out_and_the_rest_stays() {
        for (before, after) in [
            ("token is eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl ok", "token is <secret> ok"),
            ("Authorization: Bearer abc.def-123_456", "Authorization: <secret>"),
            ("curl -H 'Authorization: Bearer abcdef123456' x", "curl -H 'Authorization: Bearer <secret>' x"),
            ("basic dXNlcjpwYXNz", "basic <secret>"),
            ("key sk-proj-abcdefghij0123456789 done", "key <secret> done"),
            ("ghp_0123456789abcdefghij0123", "<secret>"),
            ("postgres://douse:hunter2@db/douse", "postgres://douse:<secret>@db/douse"),
            ("GET https://h/x?user=1&access_token=abc&y=2", "GET https://h/x?user=1&access_token=<secret>&y=2"),
            ("https://h/?sig=a%2Fb#top", "https://h/?sig=<secret>#top"),
            (r#"{"user": "a", "password": "hunter2"}"#, r#"{"user": "a", "password": "<secret>"}"#),
            ("DB_PASSWORD=hunter2 run", "DB_PASSWORD=<secret> run"),
            ("user: a\n  password: hun ter2\nport: 1", "user: a\n  password: <secret>\nport: 1"),
            ("a\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\nz", "a\n<secret>\nz"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "<secret>"),
            ("Set-Cookie: id=1; Secure", "Set-Cookie: <secret>"),
        ] {
            assert_eq!(text(before), after);
            assert_eq!(text(after), after, "a second time changes nothing");
        }
    }

    #[test]
    fn what_only_sounds_like_a_secret_stays() {
        for plain in [
            "basic authentication is refused",
            "the bearer certificate",
            "server `web1` refused the password (stored in the database) for user `ops`: the host takes publickey",
            "set `password_file`, or change `auth.tokens`: two are equal",
            "the token budget was 5",
            "http://localhost:9090/graph?g0.expr=up&g0.tab=1",
            "task-0123456789abcdef0123",
            "host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9",
            "keyring with 2 keys",
            "secret parameter `key` was lost",
        ] {
            assert_eq!(text(plain), plain);
        }
    }

    #[test]
    fn values_of_telling_names_are_taken_out_of_json() {
        let mut value = json!({
            "password": "a", "dbPassword": "b", "API-Key": "c", "list": [{"client_secret": "d"}], "idempotencyKey": "e",
            "keyId": "f", "set": ["password"], "token": null, "policy_version": "g", "passwords": 3,
        });
        assert!(named(&mut value));
        let hidden = json!({
            "password": MASKED, "dbPassword": MASKED, "API-Key": MASKED, "list": [{"client_secret": MASKED}],
            "idempotencyKey": "e", "keyId": "f", "set": ["password"], "token": null, "policy_version": "g", "passwords": 3,
        });
        assert_eq!(value, hidden);
        assert!(!named(&mut value));
    }
}
