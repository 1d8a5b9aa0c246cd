//! How to log in. Keys, passphrases and passwords are read when a connection is made, and wiped after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};
use zeroize::Zeroizing;

use super::connect::Client;
use super::{certificate, secret_file};
use crate::inventory::{Auth, SecretAt, Server};
use crate::transport::{Refusal, RefusalKind};

/// Keys of an agent that are offered: sshd's `MaxAuthTries` is 6.
const AGENT_KEYS_MAX: usize = 5;
/// Rounds of keyboard-interactive questions.
const ROUNDS_MAX: usize = 3;

/// What proves who we are, ready for use.
pub(super) enum Credential {
    Key { key: Arc<PrivateKey>, certificate: Option<Box<Certificate>>, at: SecretAt },
    Password { password: Zeroizing<String>, at: SecretAt },
    Agent { socket: PathBuf },
}

impl Credential {
    /// Reads what `auth` names. Done before connecting: a missing file is no reason to bother the host.
    pub(super) async fn load(auth: &Auth, agent_socket: Option<&Path>) -> Result<Self, Refusal> {
        match auth {
            Auth::Key { key: at, passphrase, certificate } => {
                let text = secret_file::read(at, "the private key").await?;
                let opened_by = match passphrase {
                    Some(at) => Some(secret_file::read_line(at, "the passphrase").await?),
                    None => None,
                };
                let key =
                    decode(text, opened_by).await.map_err(|error| key_refusal(&error, at, passphrase.as_ref()))?;
                let certificate = match certificate {
                    None => None,
                    Some(certificate) => Some(Box::new(certificate::load(certificate, &key).await?)),
                };
                Ok(Self::Key { key: Arc::new(key), certificate, at: at.clone() })
            }
            Auth::Password { password: at } => {
                let password = secret_file::read_line(at, "the password").await?;
                Ok(Self::Password { password, at: at.clone() })
            }
            Auth::Agent => agent_socket.map(|socket| Self::Agent { socket: socket.to_owned() }).ok_or_else(|| {
                Refusal::new(
                    RefusalKind::Credential,
                    "no SSH agent: SSH_AUTH_SOCK is not set; start one, or give the server a `key_file`",
                )
            }),
        }
    }

    /// Logs in, or says what the host refused.
    pub(super) async fn log_in(&self, handle: &mut Handle<Client>, server: &Server) -> Result<(), Refusal> {
        let (offered, result) = match self {
            Self::Key { key, certificate: Some(certificate), at } => {
                let certificate = Certificate::clone(certificate);
                let told = format!("the certificate `{}` of the key {at}", certificate.key_id().escape_debug());
                let result = handle.authenticate_openssh_cert(&server.username, Arc::clone(key), certificate).await;
                (told, result.map_err(|error| error.to_string()))
            }
            Self::Key { key, certificate: None, at } => {
                let hash = rsa_hash(handle, key.algorithm().is_rsa()).await;
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                let result = handle.authenticate_publickey(&server.username, key).await;
                (format!("the key {at}"), result.map_err(|error| error.to_string()))
            }
            Self::Password { password, at } => {
                let result = with_password(handle, &server.username, password).await;
                (format!("the password {at}"), result.map_err(|error| error.to_string()))
            }
            Self::Agent { socket } => {
                let (count, result) = with_agent(handle, &server.username, socket).await?;
                (format!("{count} keys of the agent"), result)
            }
        };
        let reason = match result {
            // Invariant: after a success nothing may be tried; a second authentication would never return.
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { .. }) if handle.is_closed() => "the host closed the connection".to_owned(),
            Ok(AuthResult::Failure { partial_success: true, .. }) => {
                "the host wants a second proof, which is not supported".to_owned()
            }
            Ok(AuthResult::Failure { remaining_methods, .. }) => {
                format!("the host takes {}", words(&remaining_methods))
            }
            Err(error) => error,
        };
        let (name, address, user) = (&server.name, server.address(), &server.username);
        let message = format!("server `{name}` ({address}) refused {offered} for user `{user}`: {reason}");
        Err(Refusal::new(RefusalKind::Authentication, message))
    }
}

/// bcrypt takes its time, so not on a thread that serves connections.
async fn decode(
    text: Zeroizing<String>,
    passphrase: Option<Zeroizing<String>>,
) -> Result<PrivateKey, russh::keys::Error> {
    let decode = move || russh::keys::decode_secret_key(&text, passphrase.as_ref().map(|p| p.as_str()));
    tokio::task::spawn_blocking(decode).await.unwrap_or(Err(russh::keys::Error::CouldNotReadKey))
}

/// What is wrong with a private key that a person gives, before it is kept.
pub fn check_private_key(text: &str, passphrase: Option<&str>) -> Result<(), String> {
    let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty());
    match russh::keys::decode_secret_key(text, passphrase) {
        Ok(_) => Ok(()),
        Err(error) if is_crypto(&error) && passphrase.is_none() => {
            Err("the private key has a passphrase: give it, too, as `passphrase`".to_owned())
        }
        Err(error) if is_crypto(&error) => Err("the passphrase does not open the private key".to_owned()),
        Err(error) => Err(format!("the private key cannot be used: {error}")),
    }
}

fn key_refusal(error: &russh::keys::Error, key: &SecretAt, passphrase: Option<&SecretAt>) -> Refusal {
    let message = match (error, passphrase) {
        (russh::keys::Error::KeyIsEncrypted, _) | (_, None) if is_crypto(error) => {
            format!("the private key {key} has a passphrase; name a file that holds it as `passphrase_file`")
        }
        (error, Some(at)) if is_crypto(error) => {
            format!("the passphrase {at} does not open the private key {key}")
        }
        (error, _) => format!("the private key {key} cannot be used: {error}"),
    };
    Refusal::new(RefusalKind::Credential, message)
}

fn is_crypto(error: &russh::keys::Error) -> bool {
    use russh::keys::Error;
    use russh::keys::ssh_key::Error as KeyError;
    matches!(error, Error::KeyIsEncrypted | Error::SshKey(KeyError::Crypto | KeyError::Encrypted))
}

/// The best hash that the host takes for RSA signatures. One that does not say is asked for SHA-512.
async fn rsa_hash(handle: &Handle<Client>, is_rsa: bool) -> Option<HashAlg> {
    if !is_rsa {
        return None;
    }
    handle.best_supported_rsa_hash().await.ok().flatten().unwrap_or(Some(HashAlg::Sha512))
}

/// `password`, else keyboard-interactive, which is how a host with PAM often asks for the same thing.
async fn with_password(handle: &mut Handle<Client>, user: &str, password: &str) -> Result<AuthResult, russh::Error> {
    let result = handle.authenticate_password(user, password).await?;
    let AuthResult::Failure { remaining_methods, .. } = &result else { return Ok(result) };
    // A refused password would only be refused once more, and count against MaxAuthTries.
    if !remaining_methods.contains(&MethodKind::KeyboardInteractive)
        || remaining_methods.contains(&MethodKind::Password)
    {
        return Ok(result);
    }
    let mut answer = handle.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..ROUNDS_MAX {
        match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { .. } => break,
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                // A password is only ever the answer to one hidden question; anything else may be a second factor.
                let answers = match prompts.as_slice() {
                    [] => Vec::new(),
                    [only] if !only.echo => vec![password.to_owned()],
                    _ => break,
                };
                answer = handle.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
    }
    Ok(result)
}

async fn with_agent(
    handle: &mut Handle<Client>,
    user: &str,
    socket: &Path,
) -> Result<(usize, Result<AuthResult, String>), Refusal> {
    let refuse = |reason: String| {
        let message = format!("the SSH agent at {} cannot be used: {reason}", socket.display());
        Refusal::new(RefusalKind::Credential, message)
    };
    let mut agent = AgentClient::connect_uds(socket).await.map_err(|error| refuse(error.to_string()))?;
    let identities = agent.request_identities().await.map_err(|error| refuse(error.to_string()))?;
    let mut result = Err("the agent holds no key; add one with `ssh-add`".to_owned());
    let mut count = 0;
    for identity in identities.into_iter().take(AGENT_KEYS_MAX) {
        count += 1;
        result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let hash = rsa_hash(handle, key.algorithm().is_rsa()).await;
                handle.authenticate_publickey_with(user, key, hash, &mut agent).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let hash = rsa_hash(handle, certificate.algorithm().is_rsa()).await;
                handle.authenticate_certificate_with(user, certificate, hash, &mut agent).await
            }
        }
        .map_err(|error| error.to_string());
        if matches!(result, Ok(AuthResult::Success)) || handle.is_closed() {
            break;
        }
    }
    Ok((count, result))
}

fn words(methods: &MethodSet) -> String {
    let words: Vec<&str> = methods.iter().map(<&str>::from).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}
