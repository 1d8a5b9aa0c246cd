//! Whether a request proves to come from a source: bearer, basic, a client's certificate, or a signature over its body.
//!
//! Every credential of the source is looked at, each comparison takes constant time over hashes, and an empty secret
//! matches nothing, so that the time of an answer tells nothing about them. Pure but for what it is given.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::audit::canonical::hex;
use crate::config::{Credential, Source};
use crate::web::connection::ClientCertificate;

/// What of a request can prove something.
pub(super) struct Proof<'a> {
    /// The value of a header, if there is exactly one and it is text.
    pub(super) header: &'a dyn Fn(&str) -> Option<String>,
    /// What its connection showed, if an authority of the configuration vouches for it.
    pub(super) certificate: Option<&'a ClientCertificate>,
    /// `None` = not read yet.
    pub(super) body: Option<&'a [u8]>,
}

/// Whether the source has to see the body before it can tell.
pub(super) fn needs_body(source: &Source) -> bool {
    source.credentials.iter().any(|credential| matches!(credential, Credential::Hmac { .. }))
}

/// Whether `proof` holds for any credential of `source`.
pub(super) fn is_proved(source: &Source, proof: &Proof<'_>) -> bool {
    let mut proved = Choice::from(u8::from(source.insecure_no_auth));
    for credential in &source.credentials {
        proved |= proves(credential, proof);
    }
    proved.into()
}

fn proves(credential: &Credential, proof: &Proof<'_>) -> Choice {
    let never = Choice::from(0);
    match credential {
        Credential::Bearer(token) => {
            let given = authorization(proof, "bearer");
            equal(given.unwrap_or_default().as_bytes(), token.expose().as_bytes())
        }
        Credential::Basic { username, password } => {
            let given = authorization(proof, "basic").and_then(|given| STANDARD.decode(given.trim()).ok());
            let given = given.unwrap_or_default();
            let colon = given.iter().position(|byte| *byte == b':');
            let Some((name, rest)) = colon.and_then(|at| given.split_at_checked(at)) else { return never };
            equal(name, username.as_bytes()) & equal(&rest[1..], password.expose().as_bytes())
        }
        Credential::Certificate(wanted) => {
            let Some(shown) = proof.certificate else { return never };
            let subject = wanted.subject.as_ref().map(|subject| equal(shown.subject.as_bytes(), subject.as_bytes()));
            let key = wanted.spki_sha256.as_ref().map(|key| equal(&shown.spki_sha256, key));
            let sure = Choice::from(u8::from(subject.is_some() || key.is_some()));
            let yes = Choice::from(1);
            sure & subject.unwrap_or(yes) & key.unwrap_or(yes)
        }
        Credential::Hmac { secret, header, timestamp_header } => {
            if secret.expose().is_empty() {
                return never;
            }
            let Some(body) = proof.body else { return never };
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return never };
            if let Some(name) = timestamp_header {
                let Some(timestamp) = (proof.header)(name) else { return never };
                mac.update(timestamp.as_bytes());
                mac.update(b":");
            }
            mac.update(body);
            let given = (proof.header)(header).unwrap_or_default();
            let given = given.trim();
            let given = given.strip_prefix("sha256=").unwrap_or(given).to_ascii_lowercase();
            equal(given.as_bytes(), hex(&mac.finalize().into_bytes()).as_bytes())
        }
    }
}

/// What follows `scheme` in the Authorization header.
fn authorization(proof: &Proof<'_>, scheme: &str) -> Option<String> {
    let header = (proof.header)("authorization")?;
    let (given, rest) = header.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim().to_owned())
}

/// Equal and not empty. Hashes are compared, so that not even a length shows.
fn equal(given: &[u8], held: &[u8]) -> Choice {
    let is_given = Choice::from(u8::from(!held.is_empty()));
    Sha256::digest(given).as_slice().ct_eq(Sha256::digest(held).as_slice()) & is_given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, Wanted};

    fn source(credentials: Vec<Credential>) -> Source {
        Source { name: "main".to_owned(), credentials, insecure_no_auth: false, alertmanager_url: None }
    }

    fn bearer(token: &str) -> Credential {
        Credential::Bearer(Secret::new(token.to_owned()))
    }

    fn basic(username: &str, password: &str) -> Credential {
        Credential::Basic { username: username.to_owned(), password: Secret::new(password.to_owned()) }
    }

    fn signed(secret: &str, timestamp: Option<&str>) -> Credential {
        Credential::Hmac {
            secret: Secret::new(secret.to_owned()),
            header: "X-Signature".to_owned(),
            timestamp_header: timestamp.map(str::to_owned),
        }
    }

    fn admits(source: &Source, headers: &[(&str, &str)], body: &[u8]) -> bool {
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| (*value).to_owned())
        };
        is_proved(source, &Proof { header: &header, certificate: None, body: Some(body) })
    }

    #[test]
    fn a_request_is_admitted_by_the_right_credential_only() {
        let both = source(vec![bearer("old"), bearer("new"), basic("am", "pä:ss")]);
        let encoded = format!("Basic {}", STANDARD.encode("am:pä:ss"));
        let wrong = format!("Basic {}", STANDARD.encode("am:pass"));
        for (header, expected) in [
            ("Bearer old", true),
            ("Bearer new", true),
            ("bearer  new ", true),
            ("Bearer other", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("new", false),
            ("ApiKey new", false),
            (encoded.as_str(), true),
            (wrong.as_str(), false),
            ("Basic !!!", false),
            ("Basic YW0=", false),
        ] {
            assert_eq!(admits(&both, &[("Authorization", header)], b""), expected, "{header}");
        }
        assert!(!admits(&both, &[], b""));
    }

    #[test]
    fn an_empty_secret_matches_nothing() {
        let empty = source(vec![bearer(""), basic("", ""), signed("", None)]);
        let nothing_signed = hex(&Hmac::<Sha256>::new_from_slice(b"").unwrap().finalize().into_bytes());
        for headers in [
            &[("Authorization", "Bearer ")][..],
            &[("Authorization", "Bearer")],
            &[("Authorization", "Basic Og==")],
            &[("X-Signature", nothing_signed.as_str())],
            &[("X-Signature", "")],
            &[],
        ] {
            assert!(!admits(&empty, headers, b""), "{headers:?}");
        }
        assert!(!admits(&source(Vec::new()), &[("Authorization", "Bearer x")], b""), "no credential, no entrance");
    }

    #[test]
    fn a_certificate_has_to_be_all_that_is_wanted() {
        let wanted = |subject: Option<&str>, spki_sha256| {
            Credential::Certificate(Wanted { subject: subject.map(str::to_owned), spki_sha256 })
        };
        let shown = ClientCertificate { subject: "CN=am".to_owned(), spki_sha256: [7; 32], vouched_by: [0; 32] };
        for (wanted, expected) in [
            (wanted(Some("CN=am"), None), true),
            (wanted(None, Some([7; 32])), true),
            (wanted(Some("CN=am"), Some([7; 32])), true),
            (wanted(Some("CN=other"), Some([7; 32])), false),
            (wanted(Some("CN=am"), Some([8; 32])), false),
            (wanted(Some("CN=am,O=x"), None), false),
            (wanted(Some(""), None), false),
            (wanted(None, None), false),
        ] {
            let source = source(vec![wanted]);
            let none = |_: &str| None;
            let proof = Proof { header: &none, certificate: Some(&shown), body: None };
            assert_eq!(is_proved(&source, &proof), expected, "{source:?}");
            assert!(!is_proved(&source, &Proof { certificate: None, ..proof }), "no certificate");
        }
    }

    #[test]
    fn a_signature_proves_nothing_before_the_body_was_read() {
        let source = source(vec![signed("key", None)]);
        let empty = hex(&Hmac::<Sha256>::new_from_slice(b"key").unwrap().finalize().into_bytes());
        let header = |_: &str| Some(empty.clone());
        assert!(!is_proved(&source, &Proof { header: &header, certificate: None, body: None }));
    }

    #[test]
    fn a_source_without_authentication_says_so_itself() {
        let open = Source { insecure_no_auth: true, ..source(Vec::new()) };
        assert!(admits(&open, &[], b""));
    }

    #[test]
    fn a_signature_covers_every_byte_and_the_time() {
        // RFC 4231, test case 2.
        let (key, body) = ("Jefe", b"what do ya want for nothing?");
        let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let plain = source(vec![signed("other", None), signed(key, None)]);
        for (given, expected) in [
            (mac.to_owned(), true),
            (mac.to_uppercase(), true),
            (format!("sha256={mac}"), true),
            (mac[1..].to_owned(), false),
        ] {
            assert_eq!(admits(&plain, &[("X-Signature", &given)], body), expected, "{given}");
        }
        assert!(!admits(&plain, &[("X-Signature", mac)], b"what do ya want for nothing!"));
        let timed = source(vec![signed(key, Some("X-Time"))]);
        let mut expected = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        expected.update(b"1700000000:");
        expected.update(body);
        let given = hex(&expected.finalize().into_bytes());
        assert!(admits(&timed, &[("X-Signature", &given), ("X-Time", "1700000000")], body));
        assert!(!admits(&timed, &[("X-Signature", &given), ("X-Time", "1700000001")], body));
        assert!(!admits(&timed, &[("X-Signature", &given)], body));
    }
}
