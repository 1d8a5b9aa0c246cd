//! Reading a secret from its file, or opening one of the database, at the moment when it is needed.

use std::path::Path;

use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::inventory::SecretAt;
use crate::secrets::redact;
use crate::transport::{Refusal, RefusalKind};

/// Largest file of a key, passphrase or password: an RSA key of 16,384 bits has 13 kB.
const BYTES_MAX: u64 = 64 * 1024;

/// The whole secret; `what` names it in the refusal.
pub(super) async fn read(at: &SecretAt, what: &str) -> Result<Zeroizing<String>, Refusal> {
    let secret = match at {
        SecretAt::File(path) => read_file(path, what).await?,
        SecretAt::Stored(stored) => stored
            .open()
            .map_err(|reason| Refusal::new(RefusalKind::Credential, format!("{what} {at} cannot be used: {reason}")))?,
    };
    // From here on it may be in what a host says.
    redact::register(secret.trim_end_matches(['\r', '\n']));
    Ok(secret)
}

/// The whole text of `path`; `what` names it in the refusal.
pub(super) async fn read_file(path: &Path, what: &str) -> Result<Zeroizing<String>, Refusal> {
    let refuse = |reason: String| {
        let message = format!("{what} {} cannot be used: {reason}", path.display());
        Refusal::new(RefusalKind::Credential, message)
    };
    let file = tokio::fs::File::open(path).await.map_err(|error| refuse(error.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refuse(format!("it has more than {BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| refuse("it is not text".into()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The one line of it, without its line break.
pub(super) async fn read_line(at: &SecretAt, what: &str) -> Result<Zeroizing<String>, Refusal> {
    let text = read(at, what).await?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        let message = format!("{what} {at} is empty");
        return Err(Refusal::new(RefusalKind::Credential, message));
    }
    Ok(Zeroizing::new(line.to_owned()))
}
