//! The filters and tests of templates: few, without I/O, and none that turns checking off.

use base64::Engine as _;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value, filters, tests};

use super::value::Quoted;
use crate::limits;

/// All filters, for messages.
pub(super) const NAMES: [&str; 32] = [
    "abs",
    "b64encode",
    "bool",
    "default",
    "dictsort",
    "first",
    "float",
    "host",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "max",
    "min",
    "psq",
    "regex_replace",
    "replace",
    "reverse",
    "round",
    "seconds",
    "shq",
    "sort",
    "split",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
];

/// Adds every filter and test to an empty environment.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("host", host);
    environment.add_filter("shq", |value: Value| quote(&value, false));
    environment.add_filter("psq", |value: Value| quote(&value, true));
    environment.add_filter("seconds", seconds);
    environment.add_filter("regex_replace", regex_replace);
    environment.add_filter("tojson", to_json);
    environment.add_filter("b64encode", |text: String| base64::engine::general_purpose::STANDARD.encode(text));
    environment.add_filter("default", filters::default);
    environment.add_filter("int", filters::int);
    environment.add_filter("float", filters::float);
    environment.add_filter("bool", filters::bool);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("title", filters::title);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("join", filters::join);
    environment.add_filter("split", filters::split);
    environment.add_filter("lines", filters::lines);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("list", filters::list);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("reverse", filters::reverse);
    environment.add_filter("round", filters::round);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("min", filters::min);
    environment.add_filter("max", filters::max);
    environment.add_filter("items", filters::items);
    environment.add_filter("dictsort", filters::dictsort);

    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("string", tests::is_string);
    environment.add_test("number", tests::is_number);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("in", tests::is_in);
    environment.add_test("eq", tests::is_eq);
    environment.add_test("ne", tests::is_ne);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("even", tests::is_even);
    environment
        .add_test("matching", |text: String, pattern: String| Ok::<bool, Error>(regex(&pattern)?.is_match(&text)));
}

/// The host of an `instance`: `web1:9100` → `web1`, `[::1]:9100` → `::1`, `https://web1/metrics` → `web1`.
fn host(text: String) -> String {
    host_of(&text).to_owned()
}

/// See [`host`].
pub(crate) fn host_of(instance: &str) -> &str {
    let text = instance.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#']).next().unwrap_or_default();
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    if let Some(bracketed) = text.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or_default();
    }
    match text.matches(':').count() {
        1 => text.split(':').next().unwrap_or_default(),
        // A bare IPv6 address has no port.
        _ => text,
    }
}

fn quote(value: &Value, is_powershell: bool) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Err(fail("there is no value to quote; give a `| default(…)` before")),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            Err(fail("a list or a map cannot be quoted; loop over it, or use `| join(…)` or `| tojson` before"))
        }
        _ if value.downcast_object_ref::<Quoted>().is_some_and(|quoted| !quoted.is_powershell) => {
            Err(fail("the value is quoted twice; remove one `shq`"))
        }
        // A PowerShell literal may be handed to a POSIX shell, which starts PowerShell.
        _ => match value.downcast_object_ref::<Quoted>() {
            Some(inner) => Ok(Value::from_object(Quoted { text: super::psq::literal(&inner.text), is_powershell })),
            None => Ok(Value::from_object(Quoted { text: value.to_string(), is_powershell })),
        },
    }
}

/// `90s`, `1h30m` → 90, 5400; a number is seconds already.
fn seconds(value: Value) -> Result<Value, Error> {
    if value.is_number() {
        return Ok(value);
    }
    let text = value.as_str().ok_or_else(|| fail("`seconds` wants a text like `5m`"))?;
    let duration =
        humantime::parse_duration(text).map_err(|_| fail(format!("`{text}` is no duration; write `90s` or `5m`")))?;
    Ok(Value::from(duration.as_secs()))
}

fn regex_replace(text: String, pattern: String, replacement: String) -> Result<String, Error> {
    Ok(regex(&pattern)?.replace_all(&text, replacement.as_str()).into_owned())
}

fn regex(pattern: &str) -> Result<regex::Regex, Error> {
    let built = limits::regex(pattern).build();
    built.map_err(|error| fail(format!("`{pattern}` is no regular expression: {error}")))
}

/// Compact JSON as plain text: unlike the engine's own, it is not marked as safe.
fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    options.assert_all_used()?;
    serde_json::to_string(&value).map_err(|error| fail(format!("cannot be written as JSON: {error}")))
}

fn fail(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
