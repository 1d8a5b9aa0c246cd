//! Who was not let in, counted: a flood of refused requests must not fill the disk.
//!
//! Each time, at most [`limits::REFUSALS_APART_MAX`] different refusals become an event each, with how often; all others one
//! together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::audit::{EventKind, NewEvent};
use crate::engine::Engine;
use crate::limits;
use crate::store::{StoreError, audit};

/// One kind of refusal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Refused {
    /// 401 or 403.
    pub status: u16,
    pub method: String,
    /// The route's pattern, never the path: what stands in that may be anything.
    pub route: String,
    pub address: Option<String>,
    /// Whose credential it was; `None` if it was nobody's.
    pub person: Option<String>,
}

/// Refusals that are not in the log yet.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<(BTreeMap<Refused, u64>, u64)>);

impl Refusals {
    /// One more.
    pub fn note(&self, refused: Refused) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counted.0.get_mut(&refused) {
            *count += 1;
        } else if counted.0.len() < limits::REFUSALS_APART_MAX {
            counted.0.insert(refused, 1);
        } else {
            counted.1 += 1;
        }
    }

    fn take(&self) -> (BTreeMap<Refused, u64>, u64) {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts what was refused into the log. What cannot be written now is lost: it must not pile up.
pub async fn record(engine: &Engine) -> Result<(), StoreError> {
    let (apart, others) = engine.refusals.take();
    if apart.is_empty() && others == 0 {
        return Ok(());
    }
    let (version, now) = (engine.policy().version.clone(), engine.clock.now());
    let recorded = engine.store.write(move |db| {
        for (refused, count) in apart {
            let payload = json!({
                "status": refused.status, "method": refused.method, "route": refused.route, "count": count,
            });
            let actor = refused.person.unwrap_or_else(|| "nobody".to_owned());
            let event = NewEvent::of(EventKind::AccessRefused, actor, "route", refused.route, payload);
            audit::append(db, &NewEvent { ip_address: refused.address, ..event }, &version, now)?;
        }
        if others > 0 {
            let event = NewEvent::of(EventKind::AccessRefused, "nobody", "route", "others", json!({ "count": others }));
            audit::append(db, &event, &version, now)?;
        }
        Ok(())
    });
    recorded.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_never_grows() {
        let refusals = Refusals::default();
        let refused = |n: u32| Refused {
            status: 401,
            method: "GET".to_owned(),
            route: "/api/v1/alerts".to_owned(),
            address: Some(format!("10.0.0.{n}")),
            person: None,
        };
        for n in 0..10_000 {
            refusals.note(refused(n));
        }
        refusals.note(refused(0));
        let (apart, others) = refusals.take();
        assert_eq!(apart.len(), limits::REFUSALS_APART_MAX);
        assert_eq!(apart[&refused(0)], 2);
        assert_eq!(apart.values().sum::<u64>() + others, 10_001);
        assert_eq!(refusals.take(), (BTreeMap::new(), 0));
    }
}
