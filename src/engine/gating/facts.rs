//! What the gates look at, read in the transaction that will write what they say.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::EngineMode;
use crate::engine::Policy;
use crate::execution::Origin;
use crate::gate::circuit_breaker::{Breaker, BreakerState};
use crate::gate::{
    Facts, Gate, Known, Missing, Subject, attempts, blackout, blast_radius, circuit_breaker, cooldown, duplicate,
    kill_switch, maintenance, mode, rate_limit, recently_remediated, runbook_status, still_firing, target_lock,
    too_young,
};
use crate::inventory::Server;
use crate::limits;
use crate::runbook::model::{CircuitBreakerSpec, Mode, RateScope, RunbookStatus};
use crate::store::facts::{self as counts, Asking, Scope};
use crate::store::glance::{self, Glance, Whose};
use crate::store::{
    Db, LockReason, RunbookOverride, StoreError, blackouts, breakers, episodes, executions, pauses, target_locks,
};

use super::prepare::{Incident, Prepared};
use super::rows;

/// A run, and who asks about it when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub origin: Origin,
    pub runbook: &'a str,
    pub trigger: Option<&'a str>,
    pub incident: Option<&'a Incident>,
    pub prepared: &'a Prepared,
    /// The execution, when it exists and asks again.
    pub asking: Option<Asking>,
    /// What a person has agreed to, and who it was.
    pub approved: Option<(&'a [Gate], &'a str)>,
    /// Time that it has waited for locks, rates and capacity.
    pub queued_for: Duration,
}

/// Reads all facts about a run.
pub(super) fn read(db: &mut Db, policy: &Policy, question: &Question<'_>, now: Timestamp) -> Result<Facts, StoreError> {
    let prepared = question.prepared;
    let server = prepared.server.as_deref();
    let whose = Whose {
        runbook: question.runbook,
        trigger: question.trigger,
        server: server.map(|server| server.name.as_str()),
        episode: question.incident.and_then(Incident::episode).map(|episode| episode.id),
        but: question.asking.map(|asking| asking.execution),
    };
    let glance = glance::at(db, whose, now)?;
    let mut reader = Reader { db, policy, question, glance, now };
    Ok(Facts {
        subject: subject(question),
        kill_switch: Ok(reader.kill_switch()?),
        runbook_status: Ok(reader.runbook_status()),
        parameters: prepared.parameters.clone(),
        target: prepared.target.clone(),
        plan: prepared.plan.clone(),
        maintenance: on(server, |server| Ok(reader.maintenance(server)))?,
        blackout: on(server, |server| reader.blackout(server))?,
        cooldown: on(server, |server| reader.cooldown(server))?,
        recently_remediated: on(server, |server| reader.recently_remediated(server))?,
        attempts: on(server, |server| reader.attempts(server))?,
        rate_limit: Ok(reader.rate_limit()?),
        circuit_breaker: Ok(reader.circuit_breaker()?),
        duplicate: Ok(reader.duplicate()?),
        target_lock: on(server, |server| reader.target_lock(server))?,
        blast_radius: on(server, |server| reader.blast_radius(server))?,
        too_young: reader.too_young()?,
        still_firing: reader.still_firing(),
        mode: reader.mode(),
    })
}

fn on<T>(server: Option<&Server>, read: impl FnOnce(&Server) -> Result<T, StoreError>) -> Result<Known<T>, StoreError> {
    match server {
        Some(server) => read(server).map(Ok),
        None => Ok(Err(Missing::NoTarget)),
    }
}

fn subject(question: &Question<'_>) -> Subject {
    let server = question.prepared.server.as_deref();
    let (approved_gates, approved_by) = question.approved.unzip();
    Subject {
        origin: question.origin,
        runbook: question.runbook.to_owned(),
        trigger: question.trigger.map(str::to_owned),
        server: server.map(|server| server.name.clone()),
        group: server.and_then(|server| server.group.clone()),
        approved_gates: approved_gates.map(<[Gate]>::to_vec).unwrap_or_default(),
        approved_by: approved_by.map(str::to_owned),
    }
}

/// The thresholds of a runbook's breaker: its own, else the defaults.
pub(super) fn breaker_spec(policy: &Policy, runbook: &str) -> CircuitBreakerSpec {
    let active = policy.runbooks.get(runbook);
    active.and_then(|active| active.runbook.guard.circuit_breaker).unwrap_or(CircuitBreakerSpec {
        failure_threshold: limits::BREAKER_FAILURE_THRESHOLD,
        success_threshold: limits::BREAKER_SUCCESS_THRESHOLD,
        reset_timeout: limits::BREAKER_RESET_TIMEOUT,
    })
}

struct Reader<'a> {
    db: &'a mut Db,
    policy: &'a Policy,
    question: &'a Question<'a>,
    /// What there is to be read.
    glance: Glance,
    now: Timestamp,
}

impl Reader<'_> {
    fn guard<T>(&self, of: impl FnOnce(&crate::runbook::model::Guard) -> Option<T>) -> Option<T> {
        self.question.prepared.active.as_ref().and_then(|active| of(&active.runbook.guard))
    }

    fn kill_switch(&mut self) -> Result<kill_switch::Facts, StoreError> {
        let active = if self.glance.is_any_pause { pauses::active(self.db, self.now)? } else { Vec::new() };
        let pauses = active.into_iter().map(rows::pause).collect();
        Ok(kill_switch::Facts { pauses, clock: self.policy.replica.clock_doubt() })
    }

    fn runbook_status(&self) -> runbook_status::Facts {
        let file = self.question.prepared.active.as_ref().map(|active| active.runbook.status);
        let operator = self.glance.runbook_override.map(|word| match word {
            RunbookOverride::Active => RunbookStatus::Active,
            RunbookOverride::Disabled => RunbookStatus::Disabled,
        });
        runbook_status::Facts { file, operator }
    }

    fn maintenance(&self, server: &Server) -> maintenance::Facts {
        let is_paused = self.glance.paused_override.unwrap_or(server.is_paused);
        maintenance::Facts { server: server.name.clone(), is_paused }
    }

    fn blackout(&mut self, server: &Server) -> Result<blackout::Facts, StoreError> {
        let zone = self.policy.config.global.timezone;
        let made = if self.glance.is_any_blackout { blackouts::enabled(self.db)? } else { Vec::new() };
        let made = made.iter().map(|row| row.blackout(zone));
        let active = self.question.prepared.active.as_ref();
        Ok(blackout::Facts {
            blackouts: self.policy.blackouts.iter().cloned().chain(made).collect(),
            category: active.map(|active| active.runbook.category.clone()).unwrap_or_default(),
            target: blackout::Target::from(server),
            is_ignored: active.is_some_and(|active| active.runbook.guard.ignores_blackouts),
        })
    }

    fn but(&self) -> Option<crate::id::ExecutionId> {
        self.question.asking.map(|asking| asking.execution)
    }

    fn cooldown(&mut self, server: &Server) -> Result<cooldown::Facts, StoreError> {
        let cooldown = self.question.prepared.cooldown();
        let but = self.but();
        let last_start = match self.question.trigger {
            Some(trigger) if !cooldown.is_zero() => {
                counts::last_start(self.db, self.question.runbook, trigger, &server.name, but)?
            }
            _ => None,
        };
        Ok(cooldown::Facts { cooldown, last_start })
    }

    fn recently_remediated(&mut self, server: &Server) -> Result<recently_remediated::Facts, StoreError> {
        let guard = self.guard(|guard| guard.recently_remediated);
        let window = guard.or(self.policy.config.limits.recently_remediated).unwrap_or_default();
        let but = self.but();
        let last_completion = if window.is_zero() {
            None
        } else {
            counts::last_completion(self.db, self.question.runbook, &server.name, but)?
        };
        Ok(recently_remediated::Facts { window, last_completion })
    }

    fn attempts(&mut self, server: &Server) -> Result<attempts::Facts, StoreError> {
        let bound = self.guard(|guard| guard.attempts).or(self.policy.config.limits.attempts);
        let (Some(bound), Some(trigger)) = (bound, self.question.trigger) else {
            return Ok(attempts::Facts::default());
        };
        let (since, but) = (self.now.minus(bound.window), self.but());
        let ends = counts::fruitless_since(self.db, self.question.runbook, trigger, &server.name, since, but)?;
        let failed_at = ends.into_iter().map(|end| end.completed_at).collect();
        Ok(attempts::Facts { limit: bound.count, window: bound.window, failed_at })
    }

    fn rate_limit(&mut self) -> Result<rate_limit::Facts, StoreError> {
        let mut limits = Vec::new();
        if let Some(limit) = self.guard(|guard| guard.rate_limit) {
            let server = self.question.prepared.server.as_deref();
            let scope = match (limit.scope, server) {
                (RateScope::Runbook, _) => {
                    Some((rate_limit::LimitScope::Runbook, Scope::Runbook(self.question.runbook)))
                }
                (RateScope::Server, Some(server)) => {
                    let scope = Scope::RunbookOnServer(self.question.runbook, &server.name);
                    Some((rate_limit::LimitScope::Server, scope))
                }
                (RateScope::Server, None) => None,
            };
            if let Some((shown, counted)) = scope {
                limits.push(self.limit(shown, counted, limit.count, limit.window)?);
            }
        }
        if let Some(per_hour) = self.policy.config.limits.executions_per_hour {
            let hour = Duration::from_secs(3_600);
            limits.push(self.limit(rate_limit::LimitScope::Global, Scope::Global, per_hour, hour)?);
        }
        Ok(rate_limit::Facts { limits })
    }

    fn limit(
        &mut self,
        scope: rate_limit::LimitScope,
        counted: Scope<'_>,
        count: u32,
        window: Duration,
    ) -> Result<rate_limit::Limit, StoreError> {
        let starts = counts::starts_since(self.db, counted, self.now.minus(window), self.question.asking)?;
        let reserved = u32::try_from(starts.reserved).unwrap_or(u32::MAX);
        Ok(rate_limit::Limit { scope, count, window, starts: starts.started, reserved })
    }

    fn circuit_breaker(&mut self) -> Result<circuit_breaker::Facts, StoreError> {
        let runbook = self.question.runbook;
        let spec = breaker_spec(self.policy, runbook);
        if !self.glance.has_breaker {
            // Closed, and then nobody asks for a probe.
            return Ok(circuit_breaker::Facts { spec, breaker: Breaker::default(), in_flight: None });
        }
        let breaker = breakers::get(self.db, runbook)?.as_ref().map(rows::breaker).unwrap_or_default();
        let but = self.but();
        let in_flight = match breaker.at(&spec, self.now).state {
            BreakerState::HalfOpen => counts::probe_in_flight(self.db, runbook, but)?,
            BreakerState::Closed | BreakerState::Open => None,
        };
        Ok(circuit_breaker::Facts { spec, breaker, in_flight })
    }

    fn duplicate(&mut self) -> Result<duplicate::Facts, StoreError> {
        let episode = self.question.incident.and_then(Incident::episode);
        let (Some(episode), Some(trigger)) = (episode, self.question.trigger) else {
            return Ok(duplicate::Facts::default());
        };
        if !self.glance.has_execution {
            return Ok(duplicate::Facts::default());
        }
        let found = executions::of_trigger(self.db, episode.id, self.question.runbook, trigger)?;
        let other = found.filter(|row| Some(row.id) != self.but());
        Ok(duplicate::Facts { execution: other.map(|row| (row.id, row.status)) })
    }

    fn target_lock(&mut self, server: &Server) -> Result<target_lock::Facts, StoreError> {
        if !self.glance.is_target_locked {
            return Ok(target_lock::Facts::default());
        }
        let Some(lock) =
            target_locks::holder(self.db, &server.name)?.filter(|lock| Some(lock.execution_id) != self.but())
        else {
            return Ok(target_lock::Facts::default());
        };
        let holder = executions::get(self.db, lock.execution_id)?;
        let needs_release = match lock.reason {
            LockReason::Running => false,
            LockReason::Stuck | LockReason::Interrupted => true,
        };
        let (execution, runbook, since) = (holder.id, holder.runbook, lock.taken_at);
        Ok(target_lock::Facts { holder: Some(target_lock::Holder { execution, runbook, since, needs_release }) })
    }

    fn blast_radius(&mut self, server: &Server) -> Result<blast_radius::Facts, StoreError> {
        let bound = self.guard(|guard| guard.blast_radius).or(self.policy.config.limits.blast_radius);
        let Some(bound) = bound else { return Ok(blast_radius::Facts::default()) };
        let (group, since) = (server.group.as_deref(), self.now.minus(bound.window));
        let touched = counts::targets_since(self.db, self.question.runbook, group, since, self.question.asking)?;
        Ok(blast_radius::Facts {
            min: bound.min,
            percent: bound.percent,
            window: bound.window,
            group_size: u32::try_from(self.policy.servers.group_size(group)).unwrap_or(u32::MAX),
            touched: touched.into_iter().collect(),
        })
    }

    fn too_young(&mut self) -> Result<Known<too_young::Facts>, StoreError> {
        let Some(incident) = self.question.incident else { return Ok(Err(no_alert())) };
        let trigger = self.question.prepared.trigger.as_ref();
        let for_trigger = trigger.and_then(|trigger| trigger.min_firing_for).unwrap_or_default();
        let for_runbook = self.guard(|guard| guard.min_firing_for).unwrap_or_default();
        let firing_since = firing_since(incident);
        let wanted = trigger.and_then(|trigger| trigger.min_occurrences);
        let min_occurrences = match wanted {
            None => None,
            Some(wanted) => {
                // By the bodies' time, as all that is said of episodes.
                let since = firing_since.minus(wanted.within);
                let fingerprint = &incident.alert.fingerprint;
                let seen = episodes::occurrences(self.db, &incident.source, fingerprint, since)?;
                // An imagined alert is one more than those that are stored.
                let seen = if incident.stored.is_none() { seen + 1 } else { seen };
                let seen = u32::try_from(seen).unwrap_or(u32::MAX);
                Some(too_young::Occurrences { wanted: wanted.count, within: wanted.within, seen })
            }
        };
        Ok(Ok(too_young::Facts { firing_since, min_firing_for: for_trigger.max(for_runbook), min_occurrences }))
    }

    fn still_firing(&self) -> Known<still_firing::Facts> {
        let Some(incident) = self.question.incident else { return Err(no_alert()) };
        let ended_at = match incident.episode() {
            Some(episode) => episode.ended_at,
            None => incident.alert.ends_at,
        };
        Ok(still_firing::Facts {
            must_fire: self.question.prepared.must_fire(),
            ended_at,
            firing_since: firing_since(incident),
            max_alert_age: self.guard(|guard| guard.max_alert_age),
            queued_for: self.question.queued_for,
            max_queue_age: self.question.prepared.max_queue_age(self.policy),
        })
    }

    fn mode(&self) -> Known<mode::Facts> {
        let changed = &self.glance.mode;
        let is_observing = match changed.as_ref().map(|value| value.as_str().and_then(|word| word.parse().ok())) {
            None => self.policy.config.global.mode == EngineMode::Observe,
            Some(Some(mode)) => matches!(mode, EngineMode::Observe),
            Some(None) => {
                let problem = "`mode` of the system configuration is neither `enforce` nor `observe`".to_owned();
                return Err(Missing::Unknown(problem));
            }
        };
        let active = self.question.prepared.active.as_ref();
        Ok(mode::Facts {
            is_observing,
            // Without a runbook another gate refuses; the careful word stands in.
            runbook: active.map_or(Mode::Manual, |active| active.runbook.mode),
            requires_approval: active.is_none_or(|active| active.runbook.requires_approval),
        })
    }
}

fn firing_since(incident: &Incident) -> Timestamp {
    incident.episode().map_or(incident.alert.starts_at, |episode| episode.earliest_starts_at)
}

fn no_alert() -> Missing {
    Missing::Unknown("the alert that it was made for is not known".to_owned())
}
