//! The last gate before anything is logged, stored or answered: secrets that this process knows, and what looks like one.
//!
//! Whoever reads a secret (a key file, a stored password, a token of the configuration) registers it here, so that a sink can
//! take it out without knowing where it came from. The registry is the process's: a log line has no owner.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;
use zeroize::Zeroizing;

use super::mask::MASKED;
use super::{forms, shape};
use crate::limits;

/// The secrets that are known now, and what finds them.
#[derive(Default)]
struct Registry {
    /// For as long as the process lives, or newer ones need the room; the oldest first.
    kept: VecDeque<Zeroizing<String>>,
    /// Of all that is kept.
    bytes: usize,
    /// For as long as somebody holds them, how often.
    held: HashMap<String, usize>,
    /// Made when it is needed; `None` after a change.
    finder: Option<Arc<Finder>>,
}

/// Finds every form of every secret at once.
pub(super) struct Finder {
    /// `None`: there is nothing to find.
    search: Option<AhoCorasick>,
    pub(super) forms: Vec<String>,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

impl Finder {
    /// Finds these forms; of two that begin together, the longer one.
    pub(super) fn new(mut forms: Vec<String>) -> Self {
        forms.retain(|form| form.chars().count() >= forms::CHARS_MIN);
        forms.sort();
        forms.dedup();
        let search = (!forms.is_empty())
            .then(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms).ok())
            .flatten();
        Self { search, forms }
    }

    pub(super) fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &self.search {
            Some(search) if search.is_match(text) => {
                let mut replaced = String::with_capacity(text.len());
                search.replace_all_with(text, &mut replaced, |_, _, out| {
                    out.push_str(MASKED);
                    true
                });
                Cow::Owned(replaced)
            }
            Some(_) | None => Cow::Borrowed(text),
        }
    }
}

/// Takes `secret` out of everything from now on.
pub fn register(secret: &str) {
    if secret.trim().chars().count() < forms::CHARS_MIN {
        return;
    }
    let mut registry = lock();
    if registry.kept.iter().any(|known| known.as_str() == secret) {
        return;
    }
    registry.kept.push_back(Zeroizing::new(secret.to_owned()));
    registry.bytes += secret.len();
    while registry.kept.len() > limits::SECRETS_REGISTERED_MAX || registry.bytes > limits::SECRETS_REGISTERED_BYTES_MAX
    {
        let Some(oldest) = registry.kept.pop_front() else { break };
        registry.bytes -= oldest.len();
    }
    registry.finder = None;
}

/// Takes these secrets out of everything until the answer is dropped.
pub fn hold<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Held {
    let secrets: Vec<String> = secrets.into_iter().filter(|secret| !secret.is_empty()).map(str::to_owned).collect();
    if !secrets.is_empty() {
        let mut registry = lock();
        for secret in &secrets {
            *registry.held.entry(secret.clone()).or_default() += 1;
        }
        registry.finder = None;
    }
    Held(secrets)
}

/// Secrets that are known while this lives.
pub struct Held(Vec<String>);

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let mut registry = lock();
        for secret in &self.0 {
            if let Some(count) = registry.held.get_mut(secret) {
                *count -= 1;
                if *count == 0 {
                    registry.held.remove(secret);
                }
            }
        }
        registry.finder = None;
    }
}

/// The text without secrets.
pub fn text(text: &str) -> Cow<'_, str> {
    match finder().apply(text) {
        Cow::Borrowed(text) => shape::text(text),
        Cow::Owned(text) => Cow::Owned(shape::text(&text).into_owned()),
    }
}

/// The JSON value without secrets, in its values and by the names of its members.
pub fn json(mut value: Value) -> Value {
    shape::named(&mut value);
    let finder = finder();
    // Most hold none: one look at the whole is cheaper than one at each text.
    let whole = value.to_string();
    if matches!(finder.apply(&whole), Cow::Owned(_)) || matches!(shape::text(&whole), Cow::Owned(_)) {
        each_text(&mut value);
    }
    value
}

fn each_text(value: &mut Value) {
    match value {
        Value::String(whole) => {
            let shown = match text(whole) {
                Cow::Owned(shown) => Some(shown),
                Cow::Borrowed(_) => None,
            };
            if let Some(shown) = shown {
                *whole = shown;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(each_text),
        Value::Object(members) => {
            let names: Vec<String> =
                members.keys().filter(|name| matches!(text(name), Cow::Owned(_))).cloned().collect();
            for name in names {
                if let Some(member) = members.remove(&name) {
                    members.insert(text(&name).into_owned(), member);
                }
            }
            members.values_mut().for_each(each_text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What finds the secrets that are known now.
pub(super) fn finder() -> Arc<Finder> {
    let mut registry = lock();
    if let Some(finder) = &registry.finder {
        return Arc::clone(finder);
    }
    let secrets = registry.kept.iter().map(|secret| secret.as_str()).chain(registry.held.keys().map(String::as_str));
    let finder = Arc::new(Finder::new(secrets.flat_map(forms::of).collect()));
    registry.finder = Some(Arc::clone(&finder));
    finder
}

fn lock() -> std::sync::MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes without secrets. A log writes whole lines, so that none is cut by the pieces in which it is written.
pub struct Redacting<W>(pub W);

impl<W: io::Write> io::Write for Redacting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shown = String::from_utf8_lossy(bytes);
        match text(&shown) {
            Cow::Borrowed(_) => self.0.write_all(bytes)?,
            Cow::Owned(shown) => self.0.write_all(shown.as_bytes())?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::Engine as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_registered_secret_is_taken_out_in_every_form() {
        let secret = "Zü\"rich/8 km";
        register(secret);
        let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
        let escaped = serde_json::to_string(secret).unwrap();
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for shown in [
            secret.to_owned(),
            base64,
            escaped,
            "Z%C3%BC%22rich%2F8%20km".to_owned(),
            hex,
            format!("{:?}", secret.as_bytes()),
        ] {
            let taken = text(&format!("a {shown} z")).into_owned();
            assert!(taken.contains(MASKED) && taken.starts_with("a ") && taken.ends_with(" z"), "{shown}: {taken}");
            assert!(!taken.contains("rich"), "{taken}");
        }
    }

    #[test]
    fn a_held_secret_is_known_as_long_as_it_is_held() {
        let (one, two) = (hold(["held-secret-1"]), hold(["held-secret-1"]));
        assert_eq!(text("x held-secret-1"), "x <secret>");
        drop(one);
        assert_eq!(text("x held-secret-1"), "x <secret>", "somebody else holds it");
        drop(two);
        assert_eq!(text("x held-secret-1"), "x held-secret-1");
    }

    #[test]
    fn json_loses_secrets_by_value_and_by_name() {
        register("registered-4711");
        let value = json(json!({"a": ["x registered-4711"], "password": "p", "b": "https://h/?token=t", "n": 1}));
        assert_eq!(
            value,
            json!({"a": ["x <secret>"], "password": "<secret>", "b": "https://h/?token=<secret>", "n": 1})
        );
        assert_eq!(json(json!({"as-name-4711": 1})), json!({"as-name-4711": 1}));
        register("as-name-4711");
        assert_eq!(json(json!({"x as-name-4711": {"as-name-4711": "y"}})), json!({"x <secret>": {"<secret>": "y"}}));
        let plain = json!({"stepId": "a", "count": 2});
        assert_eq!(json(plain.clone()), plain);
    }

    #[test]
    fn a_log_line_is_written_without_secrets() {
        let secret = "logged-secret";
        register(secret);
        let mut written = Vec::new();
        writeln!(Redacting(&mut written), "INFO a={value}", value = secret).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert!(!written.contains("logged-secret") && written.ends_with('\n'), "{written}");
    }
}
