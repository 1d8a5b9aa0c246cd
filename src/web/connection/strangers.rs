//! Who is not known yet: how many there are, and who gives way when there are too many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::ClientCertificate;

/// Open files that a process may have where the system does not tell.
const FILES_MAX: usize = 1_024;

/// The connections on which nobody has proved anything yet, the oldest first.
pub struct Strangers {
    max: usize,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    next: u64,
    tokens: BTreeMap<u64, CancellationToken>,
}

impl Strangers {
    /// At most `max` at a time.
    pub(super) fn new(max: usize) -> Self {
        Self { max, present: Mutex::default() }
    }

    /// One more; the oldest is cut off if they are too many now.
    pub(super) fn enter(self: &Arc<Self>) -> Stranger {
        let cut = CancellationToken::new();
        let mut present = self.lock();
        let number = present.next;
        present.next += 1;
        present.tokens.insert(number, cut.clone());
        if present.tokens.len() > self.max
            && let Some((_, oldest)) = present.tokens.pop_first()
        {
            oldest.cancel();
        }
        drop(present);
        Stranger { number, cut, among: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the strangers; given back when dropped.
pub struct Stranger {
    number: u64,
    cut: CancellationToken,
    among: Arc<Strangers>,
}

impl Stranger {
    /// Cancelled when this one has to give way.
    pub(super) fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    fn leave(&self) {
        self.among.lock().tokens.remove(&self.number);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What is known of a connection's other end; requests on it see it as connection data.
pub struct Acquaintance {
    is_known: AtomicBool,
    is_dismissed: AtomicBool,
    stranger: Stranger,
    /// The certificate that it showed.
    pub certificate: Option<ClientCertificate>,
    /// It speaks TLS.
    pub is_secure: bool,
}

impl Acquaintance {
    /// A connection that begins.
    pub(super) fn new(stranger: Stranger, certificate: Option<ClientCertificate>, is_secure: bool) -> Arc<Self> {
        let (is_known, is_dismissed) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { is_known, is_dismissed, stranger, certificate, is_secure })
    }

    /// A request has proved who sends it: the connection may stay.
    pub fn meet(&self) {
        if !self.is_known.swap(true, Ordering::Relaxed) {
            self.stranger.leave();
        }
    }

    /// The answer under way is the connection's last: what was sent behind its request is not acted on.
    pub fn dismiss(&self) {
        self.is_dismissed.store(true, Ordering::Relaxed);
    }

    /// Whether the connection's last answer is under way.
    pub fn is_dismissed(&self) -> bool {
        self.is_dismissed.load(Ordering::Relaxed)
    }

    /// Whether a request has proved who sends it.
    pub fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    pub(super) fn cut(&self) -> CancellationToken {
        self.stranger.cut()
    }
}

/// How many files this process may have open: its soft limit.
pub fn files_max() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    soft_limit(&text).unwrap_or(FILES_MAX)
}

fn soft_limit(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_stranger_gives_way_and_who_is_known_never_does() {
        let strangers = Arc::new(Strangers::new(2));
        let known = Acquaintance::new(strangers.enter(), None, false);
        known.meet();
        let [first, second] = [strangers.enter(), strangers.enter()];
        let (oldest, next) = (first.cut(), second.cut());
        assert!(!oldest.is_cancelled());
        let third = strangers.enter();
        assert!(oldest.is_cancelled() && !next.is_cancelled() && !known.cut().is_cancelled());
        drop(third);
        let fourth = strangers.enter();
        assert!(!next.is_cancelled(), "a place that was given back is free");
        drop(fourth);
        assert!(known.is_known());
    }

    #[test]
    fn the_limit_of_open_files_is_read_as_linux_writes_it() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             7823                 7823                 processes \n\
                    Max open files            1024                 1048576              files     \n";
        assert_eq!(soft_limit(text), Some(1_024));
        assert_eq!(
            soft_limit("Max open files            unlimited            unlimited            files"),
            Some(usize::MAX)
        );
        assert_eq!(soft_limit(""), None);
        assert!(files_max() > 16);
    }
}
