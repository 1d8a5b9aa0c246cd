//! What most runs have nothing of, asked in one statement: the gates then read only what is there.
//!
//! A statement is a round trip to PostgreSQL, and a decision holds the decisions' turn for as long as it asks. Take
//! [`super::lock_decisions`] first, as for [`super::facts`].

use diesel::dsl::exists;
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::schema::*;
use super::system_config::MODE;
use super::types::word;
use super::{Db, Json, RunbookOverride, StoreError, each_backend};
use crate::clock::Timestamp;
use crate::execution::Origin;
use crate::id::{EpisodeId, ExecutionId};

/// Whose gates are asked; what is not known is nobody's.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    pub runbook: &'a str,
    pub trigger: Option<&'a str>,
    pub server: Option<&'a str>,
    pub episode: Option<EpisodeId>,
    /// The execution that asks.
    pub but: Option<ExecutionId>,
}

/// What there is about a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Glance {
    /// The mode that the API has set.
    pub mode: Option<Value>,
    /// What people said of the runbook.
    pub runbook_override: Option<RunbookOverride>,
    /// Whether people took the server out, or back in.
    pub paused_override: Option<bool>,
    /// The kill switch is on somewhere.
    pub is_any_pause: bool,
    /// A blackout that was made by the API may be in force.
    pub is_any_blackout: bool,
    /// The runbook's breaker has ever counted.
    pub has_breaker: bool,
    /// Some execution holds the server.
    pub is_target_locked: bool,
    /// The trigger has made another execution for the episode.
    pub has_execution: bool,
}

type Row = (Option<Json<Value>>, Option<RunbookOverride>, Option<bool>, bool, bool, bool, bool, bool);

/// Looks at everything once.
pub fn at(db: &mut Db, whose: Whose<'_>, now: Timestamp) -> Result<Glance, StoreError> {
    let Whose { runbook, trigger, server, episode, but } = whose;
    // No row has these.
    let (trigger, server) = (trigger.unwrap_or_default(), server.unwrap_or_default());
    let episode = episode.unwrap_or(EpisodeId(Uuid::nil()));
    let but = but.unwrap_or(ExecutionId(Uuid::nil()));
    let row: Row = each_backend!(db, c => diesel::select((
        system_config::table.filter(system_config::key.eq(MODE)).select(system_config::value_json).single_value(),
        runbooks::table.filter(runbooks::name.eq(runbook)).select(runbooks::status_override).single_value(),
        servers::table.filter(servers::name.eq(server)).select(servers::paused_override).single_value(),
        exists(
            pauses::table
                .filter(pauses::resumed_at.is_null())
                .filter(pauses::until.is_null().or(pauses::until.gt(now))),
        ),
        exists(blackouts::table.filter(blackouts::enabled.eq(true))),
        exists(circuit_breakers::table.filter(circuit_breakers::runbook.eq(runbook))),
        exists(target_locks::table.filter(target_locks::server.eq(server))),
        exists(
            executions::table
                .filter(executions::episode_id.eq(episode))
                .filter(executions::runbook.eq(runbook))
                .filter(executions::trigger_name.eq(trigger))
                .filter(executions::origin.eq(word(Origin::Alert.as_str())))
                .filter(executions::id.ne(but)),
        ),
    ))
    .get_result(c))?;
    let (mode, runbook_override, paused_override, is_any_pause, is_any_blackout, has_breaker, is_locked, has_run) = row;
    Ok(Glance {
        mode: mode.map(Json::into_inner),
        runbook_override,
        paused_override,
        is_any_pause,
        is_any_blackout,
        has_breaker,
        is_target_locked: is_locked,
        has_execution: has_run,
    })
}
