//! `sources`: who may send webhooks, and how they prove it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_cert::name::Name;

use super::Secret;
use super::reader::{At, MapReader, Reading};
use super::tree::Node;

/// Grafana's own name for the header that carries its signature.
const HMAC_HEADER: &str = "X-Grafana-Alerting-Signature";
/// Credentials of one kind at once: the old and the new one of a rotation.
const CREDENTIALS_MAX: usize = 2;

/// The keys that make a credential.
const CREDENTIALS: [&str; 5] = ["bearer_token", "bearer_token_file", "basic_auth", "hmac", "client_certificate"];

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
    /// A client's certificate that `web.tls.client_ca_file` vouches for.
    Certificate(Wanted),
}

/// Which certificate it must be; at least one of both, and all that is named must be equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// As RFC 4514 writes it: `CN=alertmanager,O=Example`.
    pub subject: Option<String>,
    /// SHA-256 of its public key (SubjectPublicKeyInfo, DER): outlives a renewal that keeps the key.
    pub spki_sha256: Option<[u8; 32]>,
}

impl Credential {
    /// What the sender and Douse share; a certificate is no secret.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Bearer(secret) | Self::Basic { password: secret, .. } | Self::Hmac { secret, .. } => Some(secret),
            Self::Certificate(_) => None,
        }
    }
}

pub(super) fn read<'r>(reading: &'r Reading<'r>, top: &mut MapReader<'r, '_>, takes_certificates: bool) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for (index, node) in top.list("sources").iter().enumerate() {
        let Some(mut map) = MapReader::new(reading, format!("sources[{index}]"), node) else { continue };
        let source = source(reading, &mut map);
        let names_certificate = map.has("client_certificate");
        map.finish();
        if names_certificate && !takes_certificates {
            let problem = node.place.problem("E105", "`client_certificate` needs `web.tls.client_ca_file`");
            reading
                .problem(problem.hint("without it no client is asked for a certificate, and none could be believed"));
        }
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
    credentials.extend(certificates(reading, map));
    let insecure_no_auth = map.bool("insecure_no_auth").unwrap_or(false);
    let alertmanager_url = map.url("alertmanager_url");
    let name = name?;
    if name.value.is_empty() || !name.value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        let message =
            format!("the source's name `{}` stands in a URL: letters, digits, `.`, `_` and `-` only", name.value);
        reading.problem(name.place.problem("E103", message));
    }
    let source = name.value.clone();
    let names_any = CREDENTIALS.iter().any(|key| map.has(key));
    match (names_any, insecure_no_auth) {
        (false, false) => {
            let problem =
                map.place.problem("E105", format!("source `{source}` has no credential: nobody could send to it"));
            let hint = "add `bearer_token_file`, `basic_auth`, `hmac` or `client_certificate`, or `insecure_no_auth: true` to let everybody in";
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

/// `client_certificate: {subject, spki_sha256}`, or a list of up to two of them.
fn certificates(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Vec<Credential> {
    let nodes: Vec<&Node> = map.node_or_list("client_certificate");
    let mut found = Vec::new();
    for node in nodes {
        let Some(mut wanted) = MapReader::new(reading, map.full("client_certificate"), node) else { continue };
        let subject = wanted.parsed::<Name>("subject", "a name as in CN=alertmanager,O=Example");
        let spki = wanted.text("spki_sha256");
        if !wanted.has("subject") && !wanted.has("spki_sha256") {
            wanted.missing("subject");
        }
        wanted.finish();
        let spki_sha256 = spki.as_ref().and_then(|at| digest(&at.value));
        if let (Some(at), None) = (&spki, spki_sha256) {
            let problem = at.place.problem("E103", "`spki_sha256` is no SHA-256: 64 hex digits, or base64");
            let how = "openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der | sha256sum";
            reading.problem(problem.hint(format!("make it with `{how}`")));
        }
        // An empty name would be that of every certificate that has none.
        let subject = subject.filter(|name| !name.value.is_empty()).map(|name| name.value.to_string());
        if subject.is_none() && spki_sha256.is_none() {
            continue;
        }
        found.push(At { value: Credential::Certificate(Wanted { subject, spki_sha256 }), place: node.place.clone() });
    }
    bounded(reading, map, "client_certificate", &found);
    found.into_iter().map(|at| at.value).collect()
}

/// 64 hex digits, with or without colons, or base64.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        return Some(bytes);
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn bounded<T>(reading: &Reading<'_>, map: &MapReader<'_, '_>, key: &str, found: &[At<T>]) {
    if let Some(extra) = found.get(CREDENTIALS_MAX) {
        let message = format!("`{}`: at most {CREDENTIALS_MAX}, the old and the new one of a rotation", map.full(key));
        reading.problem(extra.place.problem("E103", message));
    }
}
