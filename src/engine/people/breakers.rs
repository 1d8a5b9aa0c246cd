//! A person's word on a circuit breaker.

use serde_json::json;

use super::{ActError, Engine, Person, change, release, required_reason};
use crate::audit::EventKind;
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
    let is_known = engine.policy().runbooks.contains_key(&runbook);
    let row = change(engine, by, move |db, author| {
        let known = breakers::get(db, &runbook)?;
        if known.is_none() && !is_known {
            return Ok(Err(ActError::NotFound));
        }
        let before = known.unwrap_or_else(|| BreakerRow::closed(&runbook, author.now));
        let from = before.state;
        let told = BreakerRow {
            changed_at: author.now,
            changed_by: author.person.name.clone(),
            reason: Some(reason.clone()),
            success_count: 0,
            half_open_at: None,
            ..before
        };
        let row = match act {
            BreakerAct::Open => {
                BreakerRow { state: CircuitState::Open, opened_at: Some(author.now), forced_open: true, ..told }
            }
            BreakerAct::Close => closed(told),
            BreakerAct::Reset => BreakerRow { last_failure_at: None, ..closed(told) },
        };
        breakers::put(db, &row)?;
        let payload = json!({"act": act.as_str(), "from": from, "to": row.state, "reason": reason});
        author.record(db, EventKind::BreakerChanged, "breaker", &runbook, payload)?;
        release(db, author.now)?;
        Ok(Ok(row))
    })
    .await?;
    engine.metrics.breaker(&row.runbook, row.state == CircuitState::Open);
    engine.wake.all();
    Ok(row)
}

fn closed(row: BreakerRow) -> BreakerRow {
    BreakerRow { state: CircuitState::Closed, failure_count: 0, opened_at: None, forced_open: false, ..row }
}
