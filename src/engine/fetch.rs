//! Asking the Alertmanager of a source for what its webhook did not tell: alerts cut off by `max_alerts`, and whether an
//! episode that seems to have ended still burns.
//!
//! Runs after the webhook is answered, and never fails one: an Alertmanager that does not answer is asked a few times,
//! then left to its next notification. What it lists is stored as a delivery of its own, by the same rules.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use thiserror::Error;
use tokio::sync::Notify;

use super::Engine;
use super::receive::{Incoming, ReceiveError};
use crate::alert::Labels;
use crate::alert::wire::{self, Delivery, Entry, WireError};
use crate::limits::{FETCH_FILTERS_MAX, FETCH_QUEUE_MAX, FETCH_TIMEOUT, FETCH_TRIES, WEBHOOK_BODY_BYTES_MAX};
use crate::outbound::{OutboundError, Request, Url};
use crate::store::StoreError;

/// What is to be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub source: String,
    /// The alerts have these labels.
    pub labels: Labels,
    pub reason: Reason,
}

/// Why it is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The webhook left alerts of this receiver out.
    Truncated { receiver: String },
    /// An alert fires long after its end.
    Suspect { fingerprint: String },
}

/// Questions that wait; lost when the engine stops, for they only hasten what the next notification brings.
#[derive(Default)]
pub struct Queue {
    wanted: Mutex<VecDeque<Wanted>>,
    woken: Notify,
}

impl Queue {
    /// Asks soon, unless the same waits already.
    pub fn want(&self, wanted: Wanted) {
        let mut queue = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.contains(&wanted) {
            return;
        }
        if queue.len() >= FETCH_QUEUE_MAX {
            tracing::warn!(source = wanted.source, "too many questions to Alertmanagers wait; this one is dropped");
            return;
        }
        queue.push_back(wanted);
        self.woken.notify_one();
    }

    /// Notified when something is wanted.
    pub fn woken(&self) -> &Notify {
        &self.woken
    }

    fn next(&self) -> Option<Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Why an Alertmanager did not tell.
#[derive(Debug, Error)]
enum FetchError {
    #[error("`alertmanager_url` {url} is no base address: {problem}")]
    Address { url: String, problem: String },
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("it answered {0}")]
    Status(u16),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

impl FetchError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Outbound(error) => error.is_retryable(),
            Self::Status(500..) | Self::Receive(ReceiveError::Unavailable(_)) => true,
            Self::Address { .. } | Self::Status(_) | Self::Wire(_) | Self::Receive(_) => false,
        }
    }
}

/// Asks everything that waits.
pub async fn run(engine: &Engine) -> Result<(), StoreError> {
    while let Some(wanted) = engine.fetch.next() {
        let mut tries = 1;
        loop {
            let error = match ask(engine, &wanted).await {
                Ok(()) => break,
                Err(error) => error,
            };
            let is_last = tries >= FETCH_TRIES || !error.is_retryable() || engine.stopping.is_cancelled();
            tracing::warn!(source = wanted.source, %error, tries, is_last, "the Alertmanager could not be asked");
            if is_last {
                break;
            }
            tokio::select! {
                () = engine.stopping.cancelled() => {}
                () = tokio::time::sleep(std::time::Duration::from_secs(1 << tries)) => {}
            }
            tries += 1;
        }
    }
    Ok(())
}

async fn ask(engine: &Engine, wanted: &Wanted) -> Result<(), FetchError> {
    let policy = engine.policy();
    // A reload may have taken the source or its address away meanwhile.
    let Some(source) = policy.config.sources.iter().find(|source| source.name == wanted.source) else { return Ok(()) };
    let Some(base) = &source.alertmanager_url else { return Ok(()) };
    let url = question(base, wanted)?;
    let answer = policy.outbound.send(Request::get(url, FETCH_TIMEOUT, WEBHOOK_BODY_BYTES_MAX)).await?;
    // A redirect is not followed, and no answer either.
    if !(200..300).contains(&answer.status) {
        return Err(FetchError::Status(answer.status));
    }
    let body = answer.body;
    let mut delivery = wire::parse_api(&body)?;
    narrow(&mut delivery, wanted);
    tracing::info!(source = source.name, alerts = delivery.entries.len(), reason = ?wanted.reason, "asked the Alertmanager");
    if delivery.entries.is_empty() {
        return Ok(());
    }
    let incoming = Incoming {
        source: source.name.clone(),
        body,
        remote_addr: None,
        content_type: Some("application/json".to_owned()),
    };
    let receipt = engine.ingest.keep(incoming, delivery, engine.clock.now()).await?;
    engine.received(source, &receipt);
    Ok(())
}

/// `GET /api/v2/alerts` for what is wanted.
fn question(base: &str, wanted: &Wanted) -> Result<Url, FetchError> {
    let address = format!("{}/api/v2/alerts", base.trim_end_matches('/'));
    let mut url = Url::parse(&address)
        .map_err(|error| FetchError::Address { url: base.to_owned(), problem: error.to_string() })?;
    let mut query = url.query_pairs_mut();
    match &wanted.reason {
        // What is silenced or inhibited is left out of webhooks, too.
        Reason::Truncated { receiver } => {
            query.append_pair("active", "true").append_pair("silenced", "false").append_pair("inhibited", "false");
            if !receiver.is_empty() {
                query.append_pair("receiver", receiver);
            }
        }
        // An alert that is silenced burns all the same.
        Reason::Suspect { .. } => {
            query.append_pair("active", "true").append_pair("silenced", "true").append_pair("inhibited", "true");
        }
    }
    // Filters only narrow; a label that an old Alertmanager could not read in one is left to `narrow`.
    let plain = wanted.labels.iter().filter(|(name, value)| is_plain(name) && value.len() < 256);
    for (name, value) in plain.take(FETCH_FILTERS_MAX) {
        query.append_pair("filter", &format!("{name}=\"{}\"", escaped(value)));
    }
    drop(query);
    Ok(url)
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Leaves out what was not asked for, whatever the filters could express.
fn narrow(delivery: &mut Delivery, wanted: &Wanted) {
    delivery.entries.retain(|entry| match (entry, &wanted.reason) {
        (Entry::Alert { alert, .. }, Reason::Suspect { fingerprint }) => alert.fingerprint == *fingerprint,
        (Entry::Quarantined { .. }, Reason::Suspect { .. }) => false,
        (Entry::Alert { alert, .. }, Reason::Truncated { .. }) => {
            wanted.labels.iter().all(|(name, value)| alert.label(name) == value)
        }
        (Entry::Quarantined { .. }, Reason::Truncated { .. }) => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(reason: Reason) -> Wanted {
        let labels = [("alertname", "a\"b\\c"), ("service.name", "x"), ("region", "")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Wanted { source: "main".to_owned(), labels, reason }
    }

    #[test]
    fn a_question_keeps_the_base_path_and_escapes_values() {
        let url =
            question("http://am:9093/am/", &wanted(Reason::Truncated { receiver: "two\\.hooks".to_owned() })).unwrap();
        assert_eq!(url.path(), "/am/api/v2/alerts");
        let pairs: Vec<(String, String)> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let expected = [
            ("active", "true"),
            ("silenced", "false"),
            ("inhibited", "false"),
            ("receiver", "two\\.hooks"),
            ("filter", r#"alertname="a\"b\\c""#),
            ("filter", r#"region="""#),
        ];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_suspect_is_looked_for_among_the_silenced_too() {
        let url = question("http://am:9093", &wanted(Reason::Suspect { fingerprint: "f".to_owned() })).unwrap();
        assert!(url.query().unwrap().contains("silenced=true"), "{url}");
    }

    #[test]
    fn the_same_question_waits_once_and_the_queue_is_bounded() {
        let queue = Queue::default();
        for number in 0..FETCH_QUEUE_MAX + 10 {
            for _ in 0..2 {
                queue.want(wanted(Reason::Suspect { fingerprint: number.to_string() }));
            }
        }
        let count = std::iter::from_fn(|| queue.next()).count();
        assert_eq!(count, FETCH_QUEUE_MAX);
    }
}
