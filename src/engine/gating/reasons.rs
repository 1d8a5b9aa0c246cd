//! Why a person is asked: what the gates say about an execution that waits.

use crate::clock::Timestamp;
use crate::engine::Policy;
use crate::engine::record::Loaded;
use crate::execution::Status;
use crate::gate::{GateVerdict, Verdict};
use crate::store::{Db, StoreError, decisions};

use super::ask::ask_again;

/// The verdicts that want a person, as of when it was asked for and, while it waits, as of now: runs by hand have no
/// decision, and what came back from its claim is asked for by other gates than at first.
pub fn why_asked(
    db: &mut Db,
    policy: &Policy,
    loaded: &Loaded,
    now: Timestamp,
) -> Result<Vec<GateVerdict>, StoreError> {
    let mut told: Vec<GateVerdict> = Vec::new();
    if let Some(decision) = loaded.row.decision_id {
        let gates = decisions::get(db, decision)?.gates_json.0;
        told = serde_json::from_value(gates).unwrap_or_default();
    }
    if loaded.row.status == Status::Pending {
        for verdict in ask_again(db, policy, loaded, now)?.evaluation.verdicts {
            told.retain(|older| older.gate != verdict.gate || older.verdict == Verdict::Approve);
            if !told.iter().any(|older| older.gate == verdict.gate) {
                told.push(verdict);
            }
        }
    }
    told.retain(|verdict| verdict.verdict == Verdict::Approve);
    Ok(told)
}
