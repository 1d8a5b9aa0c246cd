//! A person's word on a circuit breaker.

use serde_json::json;

use super::{ActError, Engine, Person, change, release, required_reason};
use crate::audit::EventKind;
use crate::engine::gating;
use crate::gate::circuit_breaker::Breaker;
use crate::store::CircuitState;
use crate::store::breakers::{self, BreakerRow};

/// What a person does to a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerAct {
    /// Refuse until a person closes it; time does not half-open it.
    Open,
    /// Let runs through again.
    Close,
    /// As [`BreakerAct::Close`], and forget that it ever failed.
    Reset,
}

impl BreakerAct {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Reset => "reset",
        }
    }
}

/// Opens, closes or resets the breaker of `runbook`.
pub async fn act(
    engine: &Engine,
    runbook: String,
    act: BreakerAct,
    reason: Option<String>,
    by: &Person,
) -> Result<BreakerRow, ActError> {
    let reason = required_reason(reason)?;
    let policy = engine.policy();
    let row = change(engine, by, move |db, author| {
        let is_known = policy.runbooks.contains_key(&runbook) || breakers::get(db, &runbook)?.is_some();
        if !is_known {
            return Ok(Err(ActError::NotFound));
        }
        let (name, now) = (&author.person.name, author.now);
        let (before, row) = gating::change_breaker(db, &policy, &runbook, (name, &reason), now, |before| match act {
            BreakerAct::Open => before.force_open(now),
            BreakerAct::Close => before.close(now),
            BreakerAct::Reset => Breaker::reset(now),
        })?;
        let payload = json!({"act": act.as_str(), "from": before.state, "to": row.state, "reason": reason});
        author.record(db, EventKind::BreakerChanged, "breaker", &runbook, payload)?;
        release(db, now)?;
        Ok(Ok(row))
    })
    .await?;
    engine.metrics.breaker(&row.runbook, row.state == CircuitState::Open);
    engine.wake.everywhere();
    Ok(row)
}
