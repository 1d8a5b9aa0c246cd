//! Whether a host is the one that was pinned. Asked during the key exchange, so a wrong host sees no authentication.

use std::borrow::Cow;

use russh::Preferred;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

use crate::inventory::Server;
use crate::transport::{Refusal, RefusalKind};

/// A key that a host showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostKey {
    /// As `servers.yml` wants it.
    pub line: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

impl HostKey {
    pub(super) fn new(key: &PublicKey) -> Self {
        Self { line: line(key), fingerprint: key.fingerprint(HashAlg::Sha256).to_string() }
    }
}

/// The keys that one server may show.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    /// `name (host:port)`, for messages.
    server: String,
    keys: Vec<KeyData>,
}

impl Pins {
    /// The pins of `server`; a line that russh cannot read pins nothing, and the inventory has checked its shape.
    pub(super) fn new(server: &Server) -> Self {
        let keys = server.host_keys.iter().filter_map(|line| PublicKey::from_openssh(line).ok());
        // `PublicKey ==` compares comments too.
        let keys = keys.map(|key| key.key_data().clone()).collect();
        Self { server: format!("server `{}` ({})", server.name, server.address()), keys }
    }

    /// Says yes to a pinned key, and what to do about any other.
    pub(super) fn check(&self, shown: &PublicKey) -> Result<(), Refusal> {
        if self.keys.iter().any(|pinned| pinned == shown.key_data()) {
            return Ok(());
        }
        let (server, line, print) = (&self.server, line(shown), shown.fingerprint(HashAlg::Sha256));
        if self.keys.is_empty() {
            let message = format!(
                "{server} has no pinned host key; it shows {print}. Compare that with the host's own \
                 (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), then add to servers.yml: host_key: {line}"
            );
            return Err(Refusal::new(RefusalKind::HostKeyUnknown, message));
        }
        let pinned: Vec<String> = self.keys.iter().map(|key| key.fingerprint(HashAlg::Sha256).to_string()).collect();
        let message = format!(
            "{server} shows another host key than the pinned one: {print} instead of {}. Somebody may stand between; \
             if the host was really set up anew, put its key into servers.yml: host_key: {line}",
            pinned.join(" or ")
        );
        Err(Refusal::new(RefusalKind::HostKeyChanged, message))
    }

    /// Algorithms, those of the pinned keys first: a host that is known by its RSA key would else show another one and
    /// look changed. The rest stays, so that a changed host can be told from one that speaks nothing in common.
    pub(super) fn preferred(&self) -> Preferred {
        let mut order = order();
        // Stable: the order within "pinned" and "not pinned" stays.
        order.sort_by_key(|algorithm| {
            let is_rsa = matches!(algorithm, Algorithm::Rsa { .. });
            !self.keys.iter().any(|key| key.algorithm() == *algorithm || is_rsa && key.is_rsa())
        });
        Preferred { key: Cow::Owned(order), ..Preferred::DEFAULT }
    }
}

/// A key as `servers.yml` wants it.
fn line(key: &PublicKey) -> String {
    let mut key = key.clone();
    key.set_comment("");
    key.to_openssh().map_or_else(|error| error.to_string(), |text| text.trim().to_owned())
}

/// Host key algorithms that are accepted, best first. No SHA-1.
pub(super) fn order() -> Vec<Algorithm> {
    vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::server;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

    fn pins(lines: &[&str]) -> Pins {
        let host_keys = lines.iter().map(|&line| line.to_owned()).collect();
        Pins::new(&Server { host_keys, ..server("web1", "10.0.0.1", 22) })
    }

    fn key(line: &str) -> PublicKey {
        PublicKey::from_openssh(line).unwrap()
    }

    #[test]
    fn only_a_pinned_key_is_accepted_whatever_its_comment() {
        let commented = format!("{ED25519} root@web1");
        assert_eq!(pins(&[&commented]).check(&key(ED25519)), Ok(()));
        assert_eq!(pins(&[OTHER, ED25519]).check(&key(&commented)), Ok(()));
        let unknown = pins(&[]).check(&key(ED25519)).unwrap_err();
        assert_eq!(unknown.kind, RefusalKind::HostKeyUnknown);
        assert!(unknown.message.contains(&format!("host_key: {ED25519}")), "{unknown}");
        let changed = pins(&[OTHER]).check(&key(ED25519)).unwrap_err();
        assert_eq!(changed.kind, RefusalKind::HostKeyChanged);
        assert!(changed.message.matches("SHA256:").count() == 2, "{changed}");
    }

    #[test]
    fn algorithms_of_pinned_keys_are_asked_for_first() {
        let first = |lines: &[&str]| pins(lines).preferred().key.first().cloned().unwrap();
        assert_eq!(first(&[]), Algorithm::Ed25519);
        assert_eq!(first(&[ECDSA]), Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 });
        assert_eq!(pins(&[ECDSA]).preferred().key.len(), order().len());
    }
}
