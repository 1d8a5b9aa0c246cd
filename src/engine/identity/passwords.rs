//! Passwords: argon2id, at most two at once, never on a thread that serves requests.

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use tokio::sync::Semaphore;

use crate::config::Secret;
use crate::limits;

/// A hash that no password has, with the cost of every other: for names that nobody has.
const NOBODY: &str =
    "$argon2id$v=19$m=47104,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes passwords, in turns.
pub struct Passwords {
    turns: Semaphore,
}

/// Too many wait to be hashed, or the machine has no memory for it. Later it may work.
#[derive(Debug, thiserror::Error)]
#[error("too many log-ins at this moment; try again")]
pub struct TooBusy;

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Semaphore::new(limits::PASSWORDS_AT_ONCE) }
    }
}

impl Passwords {
    /// The hash of a new password, as a PHC string with a salt of its own.
    pub async fn hash(&self, password: Secret) -> Result<String, TooBusy> {
        let hashed = self.in_turn(move || {
            let hash: Result<PasswordHash, _> = hasher()?.hash_password(password.expose().as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|_| TooBusy)
        });
        hashed.await?
    }

    /// Whether `password` has this hash. Without one it never has, at the same cost.
    pub async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool, TooBusy> {
        let verified = self.in_turn(move || {
            let is_known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
            let is_right = hasher()?.verify_password(password.expose().as_bytes(), hash.as_str()).is_ok();
            Ok(is_right & is_known)
        });
        verified.await?
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, TooBusy> {
        let turn = tokio::time::timeout(limits::PASSWORD_TURN_TIMEOUT, self.turns.acquire());
        let _turn = turn.await.map_err(|_| TooBusy)?.map_err(|_| TooBusy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| TooBusy)
    }
}

fn hasher() -> Result<Argon2<'static>, TooBusy> {
    let params = Params::new(limits::PASSWORD_MEMORY_KIB, limits::PASSWORD_PASSES, 1, None).map_err(|_| TooBusy)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// What is wrong with a new password.
pub(super) fn flaw(password: &Secret, name: &str) -> Option<String> {
    let text = password.expose();
    if text.chars().count() < limits::PASSWORD_CHARS_MIN {
        return Some(format!("a password has at least {} characters", limits::PASSWORD_CHARS_MIN));
    }
    if is_too_long(password) {
        return Some(format!("a password has at most {} bytes", limits::PASSWORD_BYTES_MAX));
    }
    let lower = text.to_lowercase();
    let first = lower.chars().next();
    if lower.contains(name) && lower.len() < name.len() + limits::PASSWORD_CHARS_MIN {
        return Some("the name must not be most of the password".to_owned());
    }
    if lower.chars().all(|char| Some(char) == first) {
        return Some("a password is more than one character again and again".to_owned());
    }
    None
}

/// More than is hashed for anybody.
pub(super) fn is_too_long(password: &Secret) -> bool {
    password.expose().len() > limits::PASSWORD_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::monotonic;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_password_is_known_again_by_a_hash_with_the_promised_cost() {
        let passwords = Passwords::default();
        let hash = passwords.hash(secret("correct horse battery")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=47104,t=2,p=1$"), "{hash}");
        assert!(NOBODY.starts_with("$argon2id$v=19$m=47104,t=2,p=1$"));
        PasswordHash::new(NOBODY).expect("it can be verified against");
        let again = passwords.hash(secret("correct horse battery")).await.unwrap();
        assert_ne!(hash, again, "each has a salt of its own");
        assert!(passwords.verify(secret("correct horse battery"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(secret("correct horse batterz"), Some(hash)).await.unwrap());
        assert!(!passwords.verify(secret("correct horse battery"), None).await.unwrap());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_does_not_exist_costs_as_much_as_who_does() {
        let passwords = Passwords::default();
        let hash = passwords.hash(secret("correct horse battery")).await.unwrap();
        let mut took = [Duration::MAX; 2];
        // The shortest of several: the machine has other work.
        for _ in 0..5 {
            for (took, hash) in took.iter_mut().zip([Some(hash.clone()), None]) {
                let begun = monotonic();
                assert!(!passwords.verify(secret("something else"), hash).await.unwrap());
                *took = (*took).min(begun.elapsed());
            }
        }
        let [known, unknown] = took;
        assert!(unknown * 2 > known && known * 2 > unknown, "known {known:?}, unknown {unknown:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn at_most_two_are_hashed_at_once() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let passwords = Arc::new(Passwords::default());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (passwords, now, most) = (Arc::clone(&passwords), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    let work = move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(20));
                        now.fetch_sub(1, Ordering::SeqCst);
                    };
                    passwords.in_turn(work).await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), limits::PASSWORDS_AT_ONCE);
    }

    #[test]
    fn weak_passwords_are_refused() {
        for (weak, name) in [("short", "ada"), ("aaaaaaaaaaaaaaaa", "ada"), ("ada-ada-1234", "ada-ada-123")] {
            assert!(flaw(&secret(weak), name).is_some(), "{weak}");
        }
        assert!(flaw(&secret(&"x1".repeat(600)), "ada").is_some(), "too long");
        assert_eq!(flaw(&secret("correct horse battery"), "ada"), None);
        assert_eq!(flaw(&secret("pässwörter sind lang"), "ada"), None);
    }
}
