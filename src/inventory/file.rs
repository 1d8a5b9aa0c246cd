//! `servers.yml`: text to servers, or everything that is wrong with it.
//!
//! Reading the file is `config`'s work. Serde would stop at the first unknown key, so a server is read as a list of
//! keys with their places, and then checked by [`Draft::check`].

use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::Server;
use super::server::Draft;
use crate::limits;
use crate::problem::Problem;

/// The keys of a server.
pub const KEYS: [&str; 22] = [
    "name",
    "hostname",
    "port",
    "username",
    "os_type",
    "protocol",
    "auth_type",
    "key_file",
    "passphrase_file",
    "certificate_file",
    "password_file",
    "become_password_file",
    "host_key",
    "tags",
    "group",
    "environment",
    "bastion",
    "is_paused",
    "winrm_transport",
    "winrm_use_ssl",
    "winrm_cert_validation",
    "domain",
];

/// The servers of one file. `file` is its name in problems, `base` the folder from which relative paths are taken.
pub fn parse(file: &str, base: &Path, text: &str) -> Result<Vec<Server>, Vec<Problem>> {
    let options = limits::yaml(limits::CONFIG_DEPTH_MAX);
    let top: Spanned<Value> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| (number(at.line()), number(at.column())));
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let code = if message.contains("duplicate") { "E102" } else { "E101" };
        vec![Problem::error(code, file, line, column, message)]
    })?;
    let mut reader = Reader { file, text, problems: Vec::new() };
    let mut servers = Vec::new();
    for entry in reader.entries(&top) {
        if let Some(server) = reader.server(entry, base) {
            match servers.iter().find(|(known, _): &&(Server, _)| known.name.eq_ignore_ascii_case(&server.name)) {
                Some((_, first)) => {
                    let message = format!("a server called `{}` stands in line {first} already", server.name);
                    reader.add("E110", &entry.referenced, message);
                }
                None => servers.push((server, number(entry.referenced.line()))),
            }
        }
    }
    if reader.problems.is_empty() {
        Ok(servers.into_iter().map(|(server, _)| server).collect())
    } else {
        Err(reader.problems)
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn add(&mut self, code: &'static str, at: &Location, message: impl Into<String>) {
        self.problems.push(Problem::error(code, self.file, number(at.line()), number(at.column()), message));
    }

    fn add_hint(&mut self, code: &'static str, at: &Location, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::error(code, self.file, number(at.line()), number(at.column()), message);
        self.problems.push(problem.hint(hint));
    }

    fn entries<'v>(&mut self, top: &'v Spanned<Value>) -> &'v [Spanned<Value>] {
        let Value::Map(keys) = &top.value else {
            self.add_hint("E103", &top.referenced, "the file must be a map", "start it with `servers:`");
            return &[];
        };
        let mut list: &[Spanned<Value>] = &[];
        let mut is_present = false;
        for (key, value) in keys {
            if key.value != "servers" {
                let message = format!("unknown key `{}`", key.value.escape_debug());
                self.add_hint("E104", &key.referenced, message, "the only key here is `servers`");
                continue;
            }
            is_present = true;
            match &value.value {
                Value::List(items) => list = items,
                Value::Null => {}
                other => self.add("E103", &value.referenced, format!("`servers` must be a list, not {}", other.kind())),
            }
        }
        if !is_present && self.problems.is_empty() {
            self.add("E105", &top.referenced, "the key `servers` is missing");
        }
        list
    }

    fn server(&mut self, entry: &Spanned<Value>, base: &Path) -> Option<Server> {
        let Value::Map(keys) = &entry.value else {
            self.add("E103", &entry.referenced, format!("a server must be a map, not {}", entry.value.kind()));
            return None;
        };
        let before = self.problems.len();
        let mut draft = Draft::default();
        for (key, value) in keys {
            self.key(&mut draft, key, value);
        }
        let checked = draft.check(base);
        let faults = match checked {
            Ok(server) if self.problems.len() == before => return Some(server),
            Ok(_) => return None,
            Err(faults) => faults,
        };
        let place = |name: &str| keys.iter().find(|(key, _)| key.value == name).map(|(_, value)| value.referenced);
        for fault in faults {
            // A key whose value could not even be read was reported with its own place.
            if fault.is_missing && place(fault.key).is_some() {
                continue;
            }
            let code = if fault.is_missing { "E105" } else { "E103" };
            let at = place(fault.key).unwrap_or(entry.referenced);
            match fault.hint {
                Some(hint) => self.add_hint(code, &at, fault.message, hint),
                None => self.add(code, &at, fault.message),
            }
        }
        None
    }

    fn key(&mut self, draft: &mut Draft, key: &Spanned<String>, value: &Spanned<Value>) {
        if matches!(value.value, Value::Null) && KEYS.contains(&key.value.as_str()) {
            return;
        }
        match key.value.as_str() {
            "name" => draft.name = self.word(key, value),
            "hostname" => draft.hostname = self.word(key, value),
            "port" => draft.port = self.word(key, value),
            "username" => draft.username = self.word(key, value),
            "os_type" => draft.os_type = self.word(key, value),
            "protocol" => draft.protocol = self.word(key, value),
            "auth_type" => draft.auth_type = self.word(key, value),
            "key_file" => draft.key_file = self.word(key, value),
            "passphrase_file" => draft.passphrase_file = self.word(key, value),
            "certificate_file" => draft.certificate_file = self.word(key, value),
            "password_file" => draft.password_file = self.word(key, value),
            "become_password_file" => draft.become_password_file = self.word(key, value),
            "host_key" => draft.host_key = self.words(key, value),
            "tags" => draft.tags = self.words(key, value),
            "group" => draft.group = self.word(key, value),
            "environment" => draft.environment = self.word(key, value),
            "bastion" => draft.bastion = self.word(key, value),
            "is_paused" => draft.is_paused = self.truth(key, value).unwrap_or(false),
            "winrm_transport" => draft.winrm_transport = self.word(key, value),
            "winrm_use_ssl" => draft.winrm_use_ssl = self.truth(key, value),
            "winrm_cert_validation" => draft.winrm_cert_validation = self.truth(key, value),
            "domain" => draft.domain = self.word(key, value),
            "agent" => self.add_hint(
                "E104",
                &key.referenced,
                "unknown key `agent`",
                "write `auth_type: agent`, which is also what is done without any `…_file`",
            ),
            "password" | "passphrase" | "become_password" | "private_key" => self.add_hint(
                "E104",
                &key.referenced,
                format!("`{}` may not stand in this file", key.value),
                match key.value.as_str() {
                    "private_key" => {
                        "put it into a file that only Douse can read, and name that as `key_file`".to_owned()
                    }
                    other => format!("put it into a file that only Douse can read, and name that as `{other}_file`"),
                },
            ),
            other => {
                let near = KEYS.iter().map(|known| (strsim::damerau_levenshtein(other, known), known)).min();
                let hint = match near {
                    Some((distance, known)) if distance <= 3 => format!("did you mean `{known}`?"),
                    _ => format!("a server's keys are {}", KEYS.join(", ")),
                };
                self.add_hint("E104", &key.referenced, format!("unknown key `{}`", other.escape_debug()), hint);
            }
        }
    }

    fn word(&mut self, key: &Spanned<String>, value: &Spanned<Value>) -> Option<String> {
        match &value.value {
            Value::Text(text) => Some(text.clone()),
            Value::Number => Some(self.written(value).to_owned()),
            other => {
                let message = format!("`{}` must be a text, not {}", key.value, other.kind());
                self.add("E103", &value.referenced, message);
                None
            }
        }
    }

    fn truth(&mut self, key: &Spanned<String>, value: &Spanned<Value>) -> Option<bool> {
        match value.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.add("E103", &value.referenced, format!("`{}` must be `true` or `false`", key.value));
                None
            }
        }
    }

    fn words(&mut self, key: &Spanned<String>, value: &Spanned<Value>) -> Vec<String> {
        match &value.value {
            Value::List(items) => items.iter().filter_map(|item| self.word(key, item)).collect(),
            _ => self.word(key, value).into_iter().collect(),
        }
    }

    /// A number as it stands in the file: a server may be called `007`.
    fn written(&self, value: &Spanned<Value>) -> &str {
        let span = value.defined.span();
        let range = span.byte_offset().zip(span.byte_len()).and_then(|(start, length)| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(usize::try_from(length).ok()?)?)
        });
        range.and_then(|range| self.text.get(range)).unwrap_or_default().trim()
    }
}

fn number(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// What YAML may hold here; a map in the file's order.
enum Value {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Spanned<Value>>),
    Map(Vec<(Spanned<String>, Spanned<Value>)>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(Spanned<String>, Spanned<Value>)> = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<String>, Spanned<Value>>()? {
            if entries.iter().any(|(known, _)| known.value == key.value) {
                return Err(A::Error::custom(format!("duplicate key `{}`", key.value)));
            }
            entries.push((key, value));
        }
        Ok(Value::Map(entries))
    }
}
