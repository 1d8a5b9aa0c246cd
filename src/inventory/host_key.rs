//! The shape of a pinned host key: `algorithm base64 [comment]`, a line of `known_hosts` without the host.
//!
//! Only the shape: whether a host shows that key is decided by `transport/ssh/host_key` when it connects.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Key types that Douse takes from a host. DSA is gone from OpenSSH; certificates are not looked at yet.
pub const ALGORITHMS: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// Why a line is not a host key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostKeyError {
    /// A word is missing.
    #[error("`{0}` is not a host key: `ssh-ed25519 AAAA…` is wanted")]
    Incomplete(String),
    /// `known_hosts` marks that mean something else than "this is the key".
    #[error("`{0}` is a mark of `known_hosts`, which is not supported: name the keys themselves")]
    Marker(String),
    /// The line starts with the host.
    #[error("the line starts with the host `{0}`: write only what follows it")]
    StartsWithHost(String),
    /// Not a type of key that is accepted.
    #[error("`{0}` is not a type of host key that Douse accepts; these are: {list}", list = ALGORITHMS.join(", "))]
    Algorithm(String),
    /// The second word is no base64.
    #[error("the second word of the host key is not base64: was it cut off?")]
    NotBase64,
    /// The base64 holds a key of another type, or is cut off.
    #[error("the base64 of the host key does not hold a key of type `{0}`: was it cut off?")]
    Mismatch(String),
}

/// Whether `line` has the shape of a host key.
pub fn check(line: &str) -> Result<(), HostKeyError> {
    let mut words = line.split_whitespace();
    let (Some(algorithm), Some(data)) = (words.next(), words.next()) else {
        return Err(HostKeyError::Incomplete(line.chars().take(40).collect()));
    };
    if algorithm.starts_with('@') {
        return Err(HostKeyError::Marker(algorithm.to_owned()));
    }
    if !ALGORITHMS.contains(&algorithm) {
        if ALGORITHMS.contains(&data) {
            return Err(HostKeyError::StartsWithHost(algorithm.to_owned()));
        }
        return Err(HostKeyError::Algorithm(algorithm.to_owned()));
    }
    let blob = STANDARD.decode(data).or_else(|_| STANDARD_NO_PAD.decode(data)).map_err(|_| HostKeyError::NotBase64)?;
    // RFC 4253 §6.6: a key is a sequence of length-prefixed strings, the first of which names its type.
    let mut rest = blob.as_slice();
    let mut fields = 0;
    while !rest.is_empty() {
        let field = rest.split_at_checked(4).and_then(|(length, after)| {
            let length = u32::from_be_bytes(length.try_into().ok()?);
            after.split_at_checked(usize::try_from(length).ok()?)
        });
        let Some((field, after)) = field else { return Err(HostKeyError::Mismatch(algorithm.to_owned())) };
        if fields == 0 && field != algorithm.as_bytes() {
            return Err(HostKeyError::Mismatch(algorithm.to_owned()));
        }
        fields += 1;
        rest = after;
    }
    if fields < 2 { Err(HostKeyError::Mismatch(algorithm.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn a_line_of_known_hosts_without_the_host_is_accepted() {
        for line in [ED25519.to_owned(), format!("{ED25519} root@web1"), format!("  {ED25519}\n")] {
            assert_eq!(check(&line), Ok(()), "{line}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let data = ED25519.split_whitespace().nth(1).unwrap();
        for (line, part) in [
            (String::new(), "is wanted"),
            ("ssh-ed25519".into(), "is wanted"),
            (format!("web1 {ED25519}"), "starts with the host `web1`"),
            (format!("@cert-authority {ED25519}"), "mark of `known_hosts`"),
            (format!("ssh-dss {data}"), "not a type"),
            ("ssh-ed25519 AAAA!".into(), "not base64"),
            (format!("ssh-ed25519 {}", &data[..40]), "cut off"),
            (format!("ssh-rsa {data}"), "type `ssh-rsa`"),
        ] {
            let error = check(&line).unwrap_err().to_string();
            assert!(error.contains(part), "{line:?}: {error}");
        }
    }
}
