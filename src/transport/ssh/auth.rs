//! How to log in. Keys, passphrases and passwords are read when a connection is made, and wiped after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};
use zeroize::Zeroizing;

use super::connect::Client;
use super::secret_file;
use crate::inventory::{Auth, Server};
use crate::transport::{Refusal, RefusalKind};

/// Keys of an agent that are offered: sshd's `MaxAuthTries` is 6.
const AGENT_KEYS_MAX: usize = 5;
/// Rounds of keyboard-interactive questions.
const ROUNDS_MAX: usize = 3;

/// What proves who we are, ready for use.
pub(super) enum Credential {
    Key { key: Arc<PrivateKey>, file: PathBuf },
    Password { password: Zeroizing<String>, file: PathBuf },
    Agent { socket: PathBuf },
}

impl Credential {
    /// Reads what `auth` names. Done before connecting: a missing file is no reason to bother the host.
    pub(super) async fn load(auth: &Auth, agent_socket: Option<&Path>) -> Result<Self, Refusal> {
        match auth {
            Auth::Key { key_file, passphrase_file } => {
                let text = secret_file::read(key_file, "the private key").await?;
                let passphrase = match passphrase_file {
                    Some(file) => Some(secret_file::read_line(file, "the passphrase file").await?),
                    None => None,
                };
                let key = decode(text, passphrase).await.map_err(|error| key_refusal(&error, auth))?;
                Ok(Self::Key { key: Arc::new(key), file: key_file.clone() })
            }
            Auth::Password { password_file } => {
                let password = secret_file::read_line(password_file, "the password file").await?;
                Ok(Self::Password { password, file: password_file.clone() })
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
            Self::Key { key, file } => {
                let hash = rsa_hash(handle, key.algorithm().is_rsa()).await;
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                let result = handle.authenticate_publickey(&server.username, key).await;
                (format!("the key {}", file.display()), result.map_err(|error| error.to_string()))
            }
            Self::Password { password, file } => {
                let result = with_password(handle, &server.username, password).await;
                (format!("the password in {}", file.display()), result.map_err(|error| error.to_string()))
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

fn key_refusal(error: &russh::keys::Error, auth: &Auth) -> Refusal {
    let Auth::Key { key_file, passphrase_file } = auth else {
        return Refusal::new(RefusalKind::Credential, error.to_string());
    };
    let key = key_file.display();
    let message = match (error, passphrase_file) {
        (russh::keys::Error::KeyIsEncrypted, _) | (_, None) if is_crypto(error) => {
            format!("the private key {key} has a passphrase; name a file that holds it as `passphrase_file`")
        }
        (error, Some(file)) if is_crypto(error) => {
            format!("the passphrase in {} does not open the private key {key}", file.display())
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
    let keys = identities.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    });
    let mut result = Err("the agent holds no key; add one with `ssh-add`".to_owned());
    let mut count = 0;
    for key in keys.take(AGENT_KEYS_MAX) {
        count += 1;
        let hash = rsa_hash(handle, key.algorithm().is_rsa()).await;
        result =
            handle.authenticate_publickey_with(user, key, hash, &mut agent).await.map_err(|error| error.to_string());
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
