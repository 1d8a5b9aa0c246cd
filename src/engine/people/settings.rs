//! What the API may change of the configuration while the engine runs: the mode.

use serde_json::json;

use super::{ActError, Engine, Person, change, release};
use crate::audit::EventKind;
use crate::config::EngineMode;
use crate::store::system_config::MODE;
use crate::store::{Db, StoreError, system_config};

/// The mode in force: what the API set, else the configuration's.
pub fn mode(db: &mut Db, configured: EngineMode) -> Result<EngineMode, StoreError> {
    let set = system_config::get(db, MODE)?;
    Ok(set.and_then(|value| serde_json::from_value(value).ok()).unwrap_or(configured))
}

/// Sets the mode; `None` goes back to the configuration's.
pub async fn set_mode(engine: &Engine, to: Option<EngineMode>, by: &Person) -> Result<EngineMode, ActError> {
    let configured = engine.policy().config.global.mode;
    let now_in_force = change(engine, by, move |db, author| {
        let from = mode(db, configured)?;
        match to {
            Some(to) => system_config::put(db, MODE, &json!(to), &author.person.name, author.now)?,
            None => drop(system_config::delete(db, MODE)?),
        }
        let to = mode(db, configured)?;
        author.record(db, EventKind::ConfigChanged, "config", MODE, json!({"from": from, "to": to}))?;
        release(db, author.now)?;
        Ok(Ok(to))
    })
    .await?;
    engine.wake.everywhere();
    Ok(now_in_force)
}
