//! `sources`: who may send webhooks, and how they prove it.

use super::Secret;
use super::reader::{At, MapReader, Reading};
use super::tree::Node;

/// Grafana's own name for the header that carries its signature.
const HMAC_HEADER: &str = "X-Grafana-Alerting-Signature";
/// Credentials of one kind at once: the old and the new one of a rotation.
const CREDENTIALS_MAX: usize = 2;

/// One authenticated sender of webhooks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Its place in the URL: `webhooks/NAME`.
    pub name: String,
    /// Any of them is enough; none = 401, unless `insecure_no_auth`.
    pub credentials: Vec<Credential>,
    /// Lets everybody in; logged at each start.
    pub insecure_no_auth: bool,
    /// Base address of its Alertmanager's API.
    pub alertmanager_url: Option<String>,
}

/// One way to prove to be a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: Basic …`.
    Basic { username: String, password: Secret },
    /// Hex HMAC-SHA256 of the body in `header`; with `timestamp_header` of `TIMESTAMP:BODY`, as Grafana does.
    Hmac { secret: Secret, header: String, timestamp_header: Option<String> },
}

pub(super) fn read<'r>(reading: &'r Reading<'r>, top: &mut MapReader<'r, '_>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for (index, node) in top.list("sources").iter().enumerate() {
        let Some(mut map) = MapReader::new(reading, format!("sources[{index}]"), node) else { continue };
        let source = source(reading, &mut map);
        map.finish();
        let Some(source) = source else { continue };
        if sources.iter().any(|other| other.name == source.name) {
            reading.problem(node.place.problem("E110", format!("two sources are called `{}`", source.name)));
        }
        sources.push(source);
    }
    sources
}

fn source(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Option<Source> {
    let name = map.required("name");
    let mut credentials: Vec<Credential> = Vec::new();
    let bearer = map.secrets("bearer_token", "bearer_token_file");
    bounded(reading, map, "bearer_token", &bearer);
    credentials.extend(bearer.into_iter().map(|at| Credential::Bearer(at.value)));
    credentials.extend(basic(reading, map));
    credentials.extend(map.map("hmac", |map| hmac(reading, map)).unwrap_or_default());
    let insecure_no_auth = map.bool("insecure_no_auth").unwrap_or(false);
    let alertmanager_url = map.url("alertmanager_url");
    let name = name?;
    if name.value.is_empty() || !name.value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        let message =
            format!("the source's name `{}` stands in a URL: letters, digits, `.`, `_` and `-` only", name.value);
        reading.problem(name.place.problem("E103", message));
    }
    let source = name.value.clone();
    let names_any = ["bearer_token", "bearer_token_file", "basic_auth", "hmac"].iter().any(|key| map.has(key));
    match (names_any, insecure_no_auth) {
        (false, false) => {
            let problem =
                map.place.problem("E105", format!("source `{source}` has no credential: nobody could send to it"));
            let hint =
                "add `bearer_token_file`, `basic_auth` or `hmac`, or `insecure_no_auth: true` to let everybody in";
            reading.problem(problem.hint(hint));
        }
        (true, true) => {
            let message =
                format!("source `{source}` has credentials and `insecure_no_auth: true`: they exclude each other");
            reading.problem(map.place.problem("E103", message).hint("remove `insecure_no_auth`"));
        }
        (false, true) => {
            let message = format!("source `{source}` takes alerts from everybody (`insecure_no_auth: true`)");
            reading.warning(&map.place, "W230", message);
        }
        (true, false) => {}
    }
    Some(Source { name: name.value, credentials, insecure_no_auth, alertmanager_url })
}

/// `basic_auth: {username, password | password_file}`, or a list of up to two of them.
fn basic(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Vec<Credential> {
    let nodes: Vec<&Node> = map.node_or_list("basic_auth");
    let mut found = Vec::new();
    for node in nodes {
        let Some(mut basic) = MapReader::new(reading, map.full("basic_auth"), node) else { continue };
        let username = basic.required("username");
        let passwords = basic.secrets("password", "password_file");
        if !basic.has("password") && !basic.has("password_file") {
            basic.missing("password_file");
        }
        basic.finish();
        if let Some(username) = username {
            let with = |at: At<Secret>| At {
                value: Credential::Basic { username: username.value.clone(), password: at.value },
                place: at.place,
            };
            found.extend(passwords.into_iter().map(with));
        }
    }
    bounded(reading, map, "basic_auth", &found);
    found.into_iter().map(|at| at.value).collect()
}

/// `hmac: {secret | secret_file, header, timestamp_header}`.
fn hmac(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Vec<Credential> {
    let secrets = map.secrets("secret", "secret_file");
    if !map.has("secret") && !map.has("secret_file") {
        map.missing("secret_file");
    }
    bounded(reading, map, "secret", &secrets);
    let header = map.text("header").map_or_else(|| HMAC_HEADER.to_owned(), |at| at.value);
    let timestamp_header = map.text("timestamp_header").map(|at| at.value);
    let with = |at: At<Secret>| Credential::Hmac {
        secret: at.value,
        header: header.clone(),
        timestamp_header: timestamp_header.clone(),
    };
    secrets.into_iter().map(with).collect()
}

fn bounded<T>(reading: &Reading<'_>, map: &MapReader<'_, '_>, key: &str, found: &[At<T>]) {
    if let Some(extra) = found.get(CREDENTIALS_MAX) {
        let message = format!("`{}`: at most {CREDENTIALS_MAX}, the old and the new one of a rotation", map.full(key));
        reading.problem(extra.place.problem("E103", message));
    }
}
