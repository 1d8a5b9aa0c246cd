//! TLS: who is trusted, what a reload changes, and certificates as credentials of sources.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use douse::web::routes::ROUTES;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::api::RUNBOOK;
use crate::cli::douse_in;
use crate::support::certificates::{Authority, Signed};
use crate::support::engine::{ADMIN_TOKEN, Engine, VIEWER_TOKEN, WEBHOOK_TOKEN};
use crate::support::sshd::kill;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{http, raw};

const SOON: Duration = Duration::from_secs(20);

/// A client that trusts `authority` alone, and shows `identity`.
fn client(authority: &Authority, identity: Option<&Signed>) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(&fs::read(authority.cert()).unwrap()).unwrap();
    let mut builder = reqwest::Client::builder().timeout(SOON).tls_certs_only([root]);
    if let Some(identity) = identity {
        builder = builder.identity(reqwest::Identity::from_pem(&identity.pem()).unwrap());
    }
    builder.build().unwrap()
}

async fn get(client: &reqwest::Client, url: &str, token: &str) -> Result<u16, reqwest::Error> {
    Ok(client.get(url).bearer_auth(token).send().await?.status().as_u16())
}

async fn deliver(client: &reqwest::Client, engine: &Engine, source: &str) -> Result<u16, reqwest::Error> {
    let body = json!({"version": "4", "alerts": []});
    let url = format!("{}/api/v1/webhooks/{source}", engine.url);
    Ok(client.post(url).json(&body).send().await?.status().as_u16())
}

fn reload(engine: &Engine) -> u16 {
    engine.post("/-/reload", &json!({})).status
}

#[test]
fn who_trusts_the_authority_is_served_and_who_does_not_sends_nothing() {
    let authority = Authority::new();
    let engine = Engine::setup().tls(&authority.server("douse"), ", hsts: 1d").start();
    assert_eq!(engine.deliver(&json!({"version": "4", "alerts": []})).status, 200);
    let answer = http::get(&format!("{}/-/healthy", engine.url), None).unwrap();
    assert_eq!(answer.header("strict-transport-security"), "max-age=86400");

    let token = engine.folder().join("token");
    fs::write(&token, VIEWER_TOKEN).unwrap();
    let ca = authority.cert().display().to_string();
    let another = Authority::new();
    let stranger = another.cert().display().to_string();
    let arguments = ["runbooks", "list", "--url", &engine.url, "--token-file", "token", "--ca-file"];
    douse_in(engine.folder(), &[&arguments[..], &[&ca]].concat()).ends(0);
    douse_in(engine.folder(), &[&arguments[..], &[&stranger]].concat()).ends(6);
    douse_in(engine.folder(), &arguments[..arguments.len() - 1]).ends(6);
    douse_in(engine.folder(), &[&arguments[..], &["token"]].concat()).ends(1).tells(&["no certificate in PEM"]);
    assert!(engine.log().contains("tls=true"), "{}", engine.log());
}

#[test]
fn plain_http_at_the_port_of_tls_is_told_so_and_gets_nothing() {
    let authority = Authority::new();
    let engine = Engine::setup().tls(&authority.server("douse"), "").start();
    for (method, path, _) in ROUTES {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n");
        let told = raw::exchange(engine.address(), request.as_bytes(), SOON);
        assert!(told.is_closed && told.statuses() == [400], "{method} {path}: {told:?}");
        assert!(told.text.contains("This port speaks TLS"), "{told:?}");
    }
    for garbage in [&b"\x00\x01\x02"[..], b"\x80\x2e\x01\x03\x01", b"ssh-2.0\r\n", b"\x16\x03\x01\xff\xffgarbage"] {
        let told = raw::exchange(engine.address(), garbage, SOON);
        assert!(told.is_closed && told.statuses().is_empty(), "{garbage:?}: {told:?}");
    }
    assert_eq!(engine.post("/-/reload", &json!({})).status, 200, "and goes on");
}

/// A connection of TLS that is used by hand.
struct Line {
    stream: TlsStream<TcpStream>,
}

impl Line {
    async fn open(engine: &Engine, authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.cert()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(engine.address()).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        Self { stream: TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap() }
    }

    /// What the server showed.
    fn shown(&self) -> Vec<u8> {
        self.stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    /// The status of a request; the connection has to be kept.
    async fn ask(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {VIEWER_TOKEN}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let count = tokio::time::timeout(SOON, self.stream.read(&mut buffer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&buffer[..count]).lines().next().unwrap_or_default().to_owned()
    }
}

fn der(signed: &Signed) -> Vec<u8> {
    CertificateDer::from_pem_file(&signed.cert).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_after_a_reload_and_open_connections_live_on() {
    let authority = Authority::new();
    let (used, second, third) = (authority.server("used"), authority.server("second"), authority.server("third"));
    let first = der(&used);
    let engine = tokio::task::block_in_place(|| Engine::setup().tls(&used, "").start());
    let mut open = Line::open(&engine, &authority).await;
    assert_eq!(open.shown(), first);
    assert_eq!(open.ask("/api/v1/runbooks").await, "HTTP/1.1 200 OK");

    second.replaces(&used);
    assert_eq!(Line::open(&engine, &authority).await.shown(), first, "nothing changes before the reload");
    assert_eq!(tokio::task::block_in_place(|| reload(&engine)), 200);
    assert_eq!(Line::open(&engine, &authority).await.shown(), der(&second));
    assert_eq!(open.ask("/api/v1/runbooks").await, "HTTP/1.1 200 OK", "the old connection was not dropped");

    third.replaces(&used);
    kill("HUP", engine.pid());
    let mut shown = Vec::new();
    for _ in 0..200 {
        shown = Line::open(&engine, &authority).await.shown();
        if shown == der(&third) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(shown, der(&third), "SIGHUP reloads it, too");
}

#[test]
fn a_certificate_that_cannot_be_used_refuses_the_reload_and_the_start() {
    let authority = Authority::new();
    let (used, other) = (authority.server("used"), authority.server("other"));
    let good = fs::read(&used.key).unwrap();
    let mut engine = Engine::setup().runbook("r.yml", RUNBOOK).tls(&used, "").start();
    for (key, what) in [
        (fs::read(&other.key).unwrap(), "cannot be used"),
        (b"no key".to_vec(), "holds no private key"),
        (Vec::new(), "holds no private key"),
    ] {
        fs::write(&used.key, key).unwrap();
        let answer = engine.post("/-/reload", &json!({}));
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains(what) && !answer.text.contains("PRIVATE KEY"), "{what}: {}", answer.text);
        assert_eq!(engine.get("/api/v1/runbooks")["items"].as_array().map(Vec::len), Some(1), "the old one serves on");
    }
    engine.stop();
    assert!(engine.fails_to_start().contains("web.tls"), "{}", engine.log());
    fs::write(&used.key, good).unwrap();
    fs::write(&used.cert, "nothing").unwrap();
    assert!(engine.fails_to_start().contains("holds no certificate in PEM"));
}

#[test]
fn taking_tls_away_by_a_reload_never_opens_a_plain_port() {
    let authority = Authority::new();
    let engine = Engine::setup().tls(&authority.server("douse"), "").start();
    let text = fs::read_to_string(engine.config_file()).unwrap();
    let (before, rest) = text.split_once(", tls: {").unwrap();
    fs::write(engine.config_file(), format!("{before}{}", rest.split_once('}').unwrap().1)).unwrap();
    assert_eq!(reload(&engine), 200);
    assert!(engine.log().contains("web.tls"), "what waits for a restart is said: {}", engine.log());
    assert_eq!(engine.post("/-/reload", &json!({})).status, 200, "it still speaks TLS");
    let told = raw::exchange(engine.address(), b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n", SOON);
    assert_eq!(told.statuses(), [400]);
}

/// An engine whose sources `named` and `keyed` prove themselves by certificates of `authority`.
fn engine_of(authority: &Authority, keyed: &Signed, more: &str) -> Engine {
    let named = "{name: named, client_certificate: {subject: 'CN=am\\, one,O=Example'}}";
    let keyed = format!("{{name: keyed, client_certificate: {{spki_sha256: {}}}}}", keyed.spki_sha256());
    let tls = format!(", client_ca_file: {}{more}", authority.cert().display());
    Engine::setup().source(named).source(&keyed).tls(&authority.server("douse"), &tls).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_proves_itself_by_its_certificate_and_by_nobody_elses() {
    let authority = Authority::new();
    let named = authority.client("named", "/O=Example/CN=am, one");
    let keyed = authority.client("keyed", "/CN=whoever");
    let look_alike = authority.client("look-alike", "/O=Example/CN=am");
    let another = Authority::new();
    let foreign = another.client("named", "/O=Example/CN=am, one");
    let engine = tokio::task::block_in_place(|| engine_of(&authority, &keyed, ""));
    for (who, identity, by_name, by_key) in [
        ("the named one", Some(&named), 200, 401),
        ("the keyed one", Some(&keyed), 401, 200),
        ("another one of the same authority", Some(&look_alike), 401, 401),
        ("nobody", None, 401, 401),
    ] {
        let client = client(&authority, identity);
        assert_eq!(deliver(&client, &engine, "named").await.unwrap(), by_name, "{who}");
        assert_eq!(deliver(&client, &engine, "keyed").await.unwrap(), by_key, "{who}");
        let main = format!("{}/api/v1/webhooks/main", engine.url);
        assert_eq!(client.post(main).body("{}").send().await.unwrap().status(), 401, "{who} is no other source");
        assert_eq!(get(&client, &format!("{}/api/v1/runbooks", engine.url), "").await.unwrap(), 401, "{who}: no API");
        assert_eq!(get(&client, &format!("{}/api/v1/runbooks", engine.url), VIEWER_TOKEN).await.unwrap(), 200, "{who}");
    }
    let foreigner = client(&authority, Some(&foreign));
    assert!(
        deliver(&foreigner, &engine, "named").await.is_err(),
        "a certificate of another authority ends the handshake"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_a_reload_takes_away_proves_nothing_on_an_open_connection() {
    let (authority, successor) = (Authority::new(), Authority::new());
    let keyed = authority.client("keyed", "/CN=whoever");
    let engine = tokio::task::block_in_place(|| engine_of(&authority, &keyed, ""));
    let client = client(&authority, Some(&keyed));
    assert_eq!(deliver(&client, &engine, "keyed").await.unwrap(), 200);

    let text = fs::read_to_string(engine.config_file()).unwrap();
    let without = text.replace(&authority.cert().display().to_string(), &successor.cert().display().to_string());
    assert_ne!(text, without);
    fs::write(engine.config_file(), &without).unwrap();
    assert_eq!(tokio::task::block_in_place(|| reload(&engine)), 200);
    let answer = deliver(&client, &engine, "keyed").await;
    assert!(answer.as_ref().map_or(true, |status| *status == 401), "vouched for by nobody any more: {answer:?}");

    let other = text.replace(&keyed.spki_sha256(), &"0".repeat(64));
    fs::write(engine.config_file(), other).unwrap();
    assert_eq!(tokio::task::block_in_place(|| reload(&engine)), 200);
    assert_eq!(deliver(&client, &engine, "keyed").await.unwrap(), 401);
    fs::write(engine.config_file(), text).unwrap();
    assert_eq!(tokio::task::block_in_place(|| reload(&engine)), 200);
    assert_eq!(deliver(&client, &engine, "keyed").await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_required_nobody_without_one_gets_as_far_as_a_request() {
    let authority = Authority::new();
    let keyed = authority.client("keyed", "/CN=whoever");
    let server = authority.server("douse");
    let tls = format!(", client_ca_file: {}, client_auth: required", authority.cert().display());
    let mut engine = Engine::setup().tls(&server, &tls).write();
    let program = tokio::task::block_in_place(|| engine.spawn());
    engine.adopt(program);
    let known = client(&authority, Some(&keyed));
    let url = format!("{}/api/v1/runbooks", engine.url);
    let mut status = 0;
    for _ in 0..600 {
        status = get(&known, &url, VIEWER_TOKEN).await.unwrap_or(0);
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 200);
    let stranger = client(&authority, None);
    for path in ["/-/healthy", "/api/openapi.json", "/api/v1/runbooks"] {
        assert!(get(&stranger, &format!("{}{path}", engine.url), ADMIN_TOKEN).await.is_err(), "{path}");
    }
}

#[test]
fn credentials_by_certificate_need_an_authority_and_a_name_or_a_key() {
    let authority = Authority::new();
    let server = authority.server("douse");
    let tls = format!("cert_file: {}, key_file: {}", server.cert.display(), server.key.display());
    let ca = format!(", client_ca_file: {}", authority.cert().display());
    for (tls, certificate, code) in [
        (tls.clone(), "{subject: CN=am}", "E105"),
        (format!("{tls}{ca}"), "{}", "E105"),
        (format!("{tls}{ca}"), "{subject: 'no name'}", "E103"),
        (format!("{tls}{ca}"), "{spki_sha256: abc}", "E103"),
        (format!("{tls}{ca}"), "[{subject: CN=a}, {subject: CN=b}, {subject: CN=c}]", "E103"),
        (format!("{tls}, client_auth: required"), "{subject: CN=am}", "E105"),
        (format!("{tls}{ca}, client_auth: perhaps"), "{subject: CN=am}", "E103"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "web: {{tls: {{{tls}}}}}\nsources: [{{name: am, bearer_token: {WEBHOOK_TOKEN}, client_certificate: {certificate}}}]\n"
        );
        fs::write(folder.path().join("douse.yml"), text).unwrap();
        douse_in(folder.path(), &["check", "."]).ends(1).says(&[code]);
    }
}

#[test]
fn a_client_that_never_ends_its_handshake_is_cut_off() {
    let authority = Authority::new();
    let engine = Engine::setup().tls(&authority.server("douse"), "").start();
    let mut silent = raw::connect(engine.address());
    let took = raw::closes_within(&mut silent, Duration::from_secs(30));
    assert!(took > Duration::from_secs(5), "{took:?}");
    let log = wait_for("it serves on", SOON, || http::get(&format!("{}/-/healthy", engine.url), None));
    assert_eq!(log.status, 200);
    wait_until("nothing panicked", SOON, || engine.log(), |log| !log.contains("panicked"));
}
