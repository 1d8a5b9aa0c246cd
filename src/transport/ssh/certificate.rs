//! OpenSSH user certificates: the one that goes with a private key. A certificate is no secret.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, PrivateKey};

use super::secret_file;
use crate::clock::Clock;
use crate::inventory::server::Certificate as At;
use crate::transport::{Refusal, RefusalKind};

/// Reads the certificate and makes sure that it is the key's, and in force.
pub(super) async fn load(at: &At, key: &PrivateKey) -> Result<Certificate, Refusal> {
    let (text, place) = match at {
        At::File(path) => {
            (secret_file::read_file(path, "the certificate").await?.to_string(), path.display().to_string())
        }
        At::Text(text) => (text.clone(), "(stored in the database)".to_owned()),
    };
    let refuse = |reason: String| {
        Refusal::new(RefusalKind::Credential, format!("the certificate {place} cannot be used: {reason}"))
    };
    let certificate = check(&text).map_err(refuse)?;
    if certificate.public_key() != key.public_key().key_data() {
        return Err(refuse("it certifies another key".to_owned()));
    }
    Ok(certificate)
}

/// What is wrong with a certificate that a person gives, before it is kept.
pub fn check_certificate(text: &str) -> Result<(), String> {
    check(text).map(drop)
}

fn check(text: &str) -> Result<Certificate, String> {
    let certificate = Certificate::from_openssh(text.trim()).map_err(|error| {
        format!("it is not a line as in id_ed25519-cert.pub (`ssh-ed25519-cert-v01@openssh.com AAAA…`): {error}")
    })?;
    if certificate.cert_type() != CertType::User {
        return Err("it is a host's certificate, not a user's".to_owned());
    }
    // Seconds since 1970, as in the certificate.
    let now = u64::try_from(Clock::System.now().utc().timestamp()).unwrap_or(0);
    if now < certificate.valid_after() {
        return Err("it is not valid yet".to_owned());
    }
    if now >= certificate.valid_before() {
        return Err("it has expired: have the key certified anew (`ssh-keygen -s CA …`)".to_owned());
    }
    Ok(certificate)
}
