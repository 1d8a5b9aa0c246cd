//! `web.tls`: the certificate that the engine shows, and whose certificates it takes, read and checked.
//!
//! The files are read with the configuration, so that a reload brings a renewed certificate into force or, if it is unusable,
//! refuses it and leaves the old one. What a client's certificate may do is the sources' word (`client_certificate`).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use x509_cert::der::Decode;

use super::reader::{At, MapReader, Reading};
use crate::clock::{Clock, Timestamp};
use crate::problem::Problem;
use crate::words::words;

/// A certificate that ends sooner is warned of at each start and reload.
const ENDS_SOON: Duration = Duration::from_secs(7 * 24 * 3_600);

words! {
    /// Whether a client has to show a certificate.
    ClientAuth {
        /// It may, and then it must be a good one.
        Optional = "optional",
        /// Without one nobody gets as far as a request.
        Required = "required",
    }
}

/// `web.tls`, ready to be used.
#[derive(Clone)]
pub struct Tls {
    /// `None` only where `check` may not read the key.
    server: Option<Arc<ServerConfig>>,
    /// Told to browsers as `Strict-Transport-Security`.
    pub hsts: Option<Duration>,
    /// Names the certificates that clients' ones are checked against; `None` = none is asked for.
    pub clients: Option<[u8; 32]>,
    /// Of everything that was read, so that two can be compared.
    digest: [u8; 32],
}

impl Tls {
    /// What a connection is accepted with.
    pub fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("hsts", &self.hsts)
            .field("clients", &self.clients.is_some())
            .finish_non_exhaustive()
    }
}

/// Reads `web.tls`; what is wrong is noted.
pub(super) fn read(reading: &Reading<'_>, map: &mut MapReader<'_, '_>) -> Option<Tls> {
    let cert_file = map.required("cert_file");
    let key_file = map.required("key_file");
    let client_ca_file = map.text("client_ca_file");
    let client_auth = map.parsed::<ClientAuth>("client_auth", "optional or required");
    let hsts = map.duration("hsts").filter(|hsts| !hsts.is_zero());
    if let (None, Some(auth)) = (&client_ca_file, &client_auth) {
        let problem = auth.place.problem("E105", "`web.tls.client_auth` needs `web.tls.client_ca_file`");
        reading.problem(problem.hint("name the certificates that clients' ones are checked against"));
    }
    let (cert_file, key_file) = (cert_file?, key_file?);
    let is_required = client_auth.is_some_and(|at| at.value == ClientAuth::Required);
    let mut files = Files { reading, digest: Sha256::new() };
    let chain = files.certificates("web.tls.cert_file", &cert_file);
    let key = files.key(&key_file);
    let roots = client_ca_file.as_ref().map(|file| files.certificates("web.tls.client_ca_file", file));
    files.digest.update([u8::from(is_required)]);
    files.digest.update(hsts.unwrap_or_default().as_secs().to_be_bytes());
    let digest = files.digest.finalize().into();
    let clients = roots.as_ref().map(|roots| digest_of(roots.as_deref().unwrap_or_default()));
    if let Some(chain) = &chain {
        warn_of_end(reading, &cert_file, chain);
    }
    if matches!(roots, Some(None)) {
        // Its problem is noted; without authorities everybody's certificate would be as good as none.
        return None;
    }
    let server = match (chain, key) {
        (Some(chain), Key::Read(key)) => match build(chain, key, roots.flatten(), is_required) {
            Ok(server) => Some(Arc::new(server)),
            Err(message) => {
                let problem = key_file.place.problem("E103", format!("`web.tls` cannot be used: {message}"));
                reading.problem(problem.hint("the key must be the one of the first certificate of `cert_file`"));
                return None;
            }
        },
        // `check` on a machine that does not hold the key.
        (Some(_), Key::NotHere) => None,
        // Each has its problem noted.
        _ => return None,
    };
    Some(Tls { server, hsts, clients, digest })
}

fn build(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Option<Vec<CertificateDer<'static>>>,
    is_required: bool,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match roots {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let mut store = RootCertStore::empty();
            for root in roots {
                store.add(root).map_err(|error| format!("client_ca_file: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
            let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| format!("client_ca_file: {error}"))?)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|error| error.to_string())?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}

/// What became of the key's file.
enum Key {
    Read(PrivateKeyDer<'static>),
    NotHere,
    Wrong,
}

struct Files<'r> {
    reading: &'r Reading<'r>,
    digest: Sha256,
}

impl Files<'_> {
    fn bytes(&mut self, key: &str, file: &At<String>) -> Result<Vec<u8>, std::io::Error> {
        let path: PathBuf = self.reading.path(file);
        let bytes = std::fs::read(&path).inspect_err(|error| {
            if self.reading.reads_secrets || key != "web.tls.key_file" {
                let message = format!("`{key}`: {} cannot be read: {error}", path.display());
                self.reading.problem(file.place.problem("E130", message));
            }
        })?;
        self.digest.update((bytes.len() as u64).to_be_bytes());
        self.digest.update(&bytes);
        Ok(bytes)
    }

    fn certificates(&mut self, key: &str, file: &At<String>) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.bytes(key, file).ok()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let problem = match found {
            Ok(found) if !found.is_empty() => return Some(found),
            Ok(_) => self.wrong(key, file, "holds no certificate in PEM"),
            Err(error) => self.wrong(key, file, &format!("is no PEM: {error}")),
        };
        self.reading.problem(problem);
        None
    }

    fn key(&mut self, file: &At<String>) -> Key {
        let Ok(bytes) = self.bytes("web.tls.key_file", file) else {
            return if self.reading.reads_secrets { Key::Wrong } else { Key::NotHere };
        };
        match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(key) => Key::Read(key),
            Err(error) => {
                let problem = self.wrong("web.tls.key_file", file, &format!("holds no private key in PEM: {error}"));
                self.reading.problem(problem.hint("a key with a passphrase is not taken: store it without one"));
                Key::Wrong
            }
        }
    }

    fn wrong(&self, key: &str, file: &At<String>, what: &str) -> Problem {
        file.place.problem("E103", format!("`{key}`: {} {what}", self.reading.path(file).display()))
    }
}

fn digest_of(certificates: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for certificate in certificates {
        digest.update((certificate.len() as u64).to_be_bytes());
        digest.update(certificate);
    }
    digest.finalize().into()
}

fn warn_of_end(reading: &Reading<'_>, file: &At<String>, chain: &[CertificateDer<'_>]) {
    let Some(end) = chain.iter().filter_map(|certificate| end(certificate)).min() else { return };
    if end < Clock::System.now().plus(ENDS_SOON) {
        let message = format!("`web.tls.cert_file`: a certificate ends at {end}");
        reading.warning(&file.place, "W232", message);
    }
}

/// When a certificate ends.
fn end(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    chrono::DateTime::from_timestamp(i64::try_from(end).ok()?, 0).map(Timestamp::new)
}
