//! What a client's certificate says of the client.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// A certificate that `web.tls.client_ca_file` vouched for when its connection began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// As RFC 4514 writes it.
    pub subject: String,
    /// SHA-256 of its public key.
    pub spki_sha256: [u8; 32],
    /// What vouched for it: [`crate::config::Tls::clients`] of then. It proves nothing once that has changed.
    pub vouched_by: [u8; 32],
}

impl ClientCertificate {
    /// Reads what the handshake has checked; `None` where it cannot be read, so that it proves nothing.
    pub(super) fn read(certificate: &CertificateDer<'_>, vouched_by: [u8; 32]) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?.tbs_certificate;
        let key = certificate.subject_public_key_info.to_der().ok()?;
        let mut subject = String::new();
        // Not `to_string`, which panics where a name cannot be written.
        write!(subject, "{}", certificate.subject).ok()?;
        Some(Self { subject, spki_sha256: Sha256::digest(key).into(), vouched_by })
    }
}
