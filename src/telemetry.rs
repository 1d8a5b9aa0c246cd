//! What Douse tells about itself: the log and the metrics.
//!
//! Every metric's name stands in one table, [`Metrics::new`]; the rest of the program calls typed methods and never names a
//! metric. There is no server label anywhere, to bound the number of series.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

use crate::audit::EventKind;
use crate::clock::Timestamp;
use crate::engine::receive::Taken;
use crate::execution::{RollbackState, Status};
use crate::secrets::redact::Redacting;
use crate::store::DecisionVerdict;
use crate::transport::RefusalKind;
use crate::words::words;

words! {
    /// How the log is written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// Starts logging to standard error, without secrets. `level` is a word (`info`) or a filter (`info,douse::transport=debug`).
pub fn start_log(level: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        format!("--log.level: `{level}`: {error}; write error, warn, info, debug or trace, or MODULE=LEVEL,…")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Redacting(std::io::stderr()));
    let started = match format {
        LogFormat::Text => {
            let is_coloured =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            log.with_ansi(is_coloured).with_target(false).try_init()
        }
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error.to_string())
}

type Seconds = Gauge<f64, AtomicU64>;
type Number = Gauge<i64, AtomicI64>;

/// Every metric that exists.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    alerts_received: Family<SourceStatus, Counter>,
    webhook_duration: Histogram,
    last_webhook: Family<OfSource, Seconds>,
    decisions: Family<DecisionReason, Counter>,
    executions: Family<Ended, Counter>,
    execution_duration: Histogram,
    executions_in_flight: Number,
    approvals_pending: Number,
    time_to_remediate: Histogram,
    rollbacks: Family<RunbookResult, Counter>,
    breaker_open: Family<OfRunbook, Number>,
    blackouts_active: Number,
    paused: Number,
    ssh_connect: Histogram,
    ssh_errors: Family<Reason, Counter>,
    attempts_unheld: Counter,
    attempts_reattached: Counter,
    reload_successful: Number,
    audit_records: Family<OfEvent, Counter>,
    audit_duration: Histogram,
    audit_errors: Counter,
    audit_chain_valid: Number,
    anchor_errors: Counter,
    replicas: Number,
    replicas_differing: Number,
    keeps_house: Number,
    clock_doubted: Number,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The table of all metrics. Counters get `_total` when they are written.
    pub fn new() -> Self {
        let mut r = Registry::with_prefix("douse");
        Self {
            alerts_received: family(&mut r, "alerts_received", "Alerts in webhooks, by what became of them"),
            webhook_duration: histogram(
                &mut r,
                "webhook_duration_seconds",
                "From a webhook's first byte to its answer",
                FAST,
            ),
            last_webhook: family(&mut r, "last_webhook_timestamp_seconds", "When a source last delivered"),
            decisions: family(&mut r, "decisions", "Decisions, by verdict and the reason of the gate that decided"),
            executions: family(&mut r, "executions", "Executions that ended"),
            execution_duration: histogram(&mut r, "execution_duration_seconds", "From the first step to the end", SLOW),
            executions_in_flight: gauge(&mut r, "executions_in_flight", "Executions that run now"),
            approvals_pending: gauge(&mut r, "approvals_pending", "Executions that wait for a person"),
            time_to_remediate: histogram(
                &mut r,
                "time_to_remediate_seconds",
                "From the alert's start to the completed run",
                SLOW,
            ),
            rollbacks: family(&mut r, "rollbacks", "Rollbacks that ended"),
            breaker_open: family(&mut r, "circuit_breaker_open", "1 while the runbook's breaker refuses"),
            blackouts_active: gauge(&mut r, "blackouts_active", "Blackouts that are active now"),
            paused: gauge(&mut r, "paused", "Pauses that are on now; the kill switch"),
            ssh_connect: histogram(&mut r, "ssh_connect_seconds", "TCP, key exchange and authentication", FAST),
            ssh_errors: family(&mut r, "ssh_errors", "Connections and sessions that failed"),
            attempts_unheld: counter(
                &mut r,
                "attempts_unheld",
                "Attempts that their host has no place to hold: they cannot be found again",
            ),
            attempts_reattached: counter(
                &mut r,
                "attempts_reattached",
                "Attempts that were looked for after a restart",
            ),
            reload_successful: gauge(&mut r, "config_last_reload_successful", "1 if the last reload was taken"),
            audit_records: family(&mut r, "audit_records", "Audit events written"),
            audit_duration: histogram(&mut r, "audit_record_duration_seconds", "Time to write one audit event", FAST),
            audit_errors: counter(&mut r, "audit_record_errors", "Audit events that could not be written"),
            audit_chain_valid: gauge(
                &mut r,
                "audit_chain_valid",
                "0 since the audit chain was found changed, until a verification finds it whole",
            ),
            anchor_errors: counter(&mut r, "audit_anchor_errors", "Anchors of the audit chain that were not taken"),
            replicas: gauge(&mut r, "replicas", "Replicas on this database, this one included"),
            replicas_differing: gauge(
                &mut r,
                "replicas_differing",
                "Other replicas that have another policy in force than this one",
            ),
            keeps_house: gauge(&mut r, "housekeeping", "1 if this replica does the housekeeping for all"),
            clock_doubted: gauge(
                &mut r,
                "clock_doubted",
                "1 while this machine's clock is doubted: nothing runs by itself",
            ),
            registry: r,
        }
    }

    /// One alert of a webhook was `stored`, `duplicate` or `quarantined`.
    pub fn alert_received(&self, source: &str, status: &'static str) {
        self.alerts_received.get_or_create(&SourceStatus { source: source.to_owned(), status }).inc();
    }

    /// A webhook was answered.
    pub fn webhook_answered(&self, took: Duration) {
        self.webhook_duration.observe(took.as_secs_f64());
    }

    /// `source` last delivered then.
    pub fn delivered(&self, source: &str, then: Timestamp) {
        self.last_webhook.get_or_create(&OfSource { source: source.to_owned() }).set(unix_seconds(then));
    }

    /// Shows what can be foreseen, at 0 until it happens: of sources, of runbooks with their modes, and of neither.
    pub fn foresee<'a>(
        &self,
        sources: impl Iterator<Item = &'a str>,
        runbooks: impl Iterator<Item = (&'a str, &'static str)>,
    ) {
        for source in sources {
            for taken in Taken::ALL {
                let labels = SourceStatus { source: source.to_owned(), status: taken.as_str() };
                drop(self.alerts_received.get_or_create(&labels));
            }
        }
        let decided = |runbook: &str, decision: DecisionVerdict| {
            let labels =
                DecisionReason { runbook: runbook.to_owned(), decision: decision.as_str(), reason: String::new() };
            drop(self.decisions.get_or_create(&labels));
        };
        decided("", DecisionVerdict::NoMatch);
        for (name, mode) in runbooks {
            let runbook = name.to_owned();
            decided(name, DecisionVerdict::Allowed);
            for status in Status::ALL.iter().filter(|status| status.is_final()) {
                let labels = Ended { runbook: runbook.clone(), status: status.as_str(), mode };
                drop(self.executions.get_or_create(&labels));
            }
            for result in [RollbackState::Done, RollbackState::Stuck] {
                let labels = RunbookResult { runbook: runbook.clone(), result: result.as_str() };
                drop(self.rollbacks.get_or_create(&labels));
            }
            drop(self.breaker_open.get_or_create(&OfRunbook { runbook }));
        }
        for reason in RefusalKind::ALL {
            drop(self.ssh_errors.get_or_create(&Reason { reason: reason.as_str() }));
        }
        for event in EventKind::ALL {
            drop(self.audit_records.get_or_create(&OfEvent { event: event.as_str() }));
        }
    }

    /// A decision was made; `reason` is the deciding gate's, empty when nothing objected.
    pub fn decided(&self, runbook: &str, decision: &'static str, reason: &str) {
        let labels = DecisionReason { runbook: runbook.to_owned(), decision, reason: reason.to_owned() };
        self.decisions.get_or_create(&labels).inc();
    }

    /// An execution began to run.
    pub fn execution_started(&self) {
        self.executions_in_flight.inc();
    }

    /// A running execution ended.
    pub fn execution_ended(&self, runbook: &str, status: Status, mode: &'static str, took: Duration) {
        self.executions_in_flight.dec();
        self.execution_duration.observe(took.as_secs_f64());
        self.execution_closed(runbook, status, mode);
    }

    /// A running execution was left before its end: interrupted, put back, or the engine stops.
    pub fn execution_left(&self) {
        self.executions_in_flight.dec();
    }

    /// An execution ended that never ran: rejected, expired, cancelled.
    pub fn execution_closed(&self, runbook: &str, status: Status, mode: &'static str) {
        let labels = Ended { runbook: runbook.to_owned(), status: status.as_str(), mode };
        self.executions.get_or_create(&labels).inc();
    }

    /// A run for an alert completed this long after the alert began.
    pub fn remediated(&self, took: Duration) {
        self.time_to_remediate.observe(took.as_secs_f64());
    }

    /// A rollback ended, `done` or `stuck`.
    pub fn rolled_back(&self, runbook: &str, result: RollbackState) {
        let labels = RunbookResult { runbook: runbook.to_owned(), result: result.as_str() };
        self.rollbacks.get_or_create(&labels).inc();
    }

    /// A runbook's breaker opened or closed.
    pub fn breaker(&self, runbook: &str, is_open: bool) {
        self.breaker_open.get_or_create(&OfRunbook { runbook: runbook.to_owned() }).set(i64::from(is_open));
    }

    /// Whether a runbook's breaker is open, as far as this process was told.
    pub fn is_breaker_open(&self, runbook: &str) -> bool {
        self.breaker_open.get_or_create(&OfRunbook { runbook: runbook.to_owned() }).get() != 0
    }

    /// What the housekeeping counted in the database.
    pub fn counted(&self, counts: Counts) {
        self.approvals_pending.set(counts.approvals_pending);
        self.blackouts_active.set(counts.blackouts_active);
        self.paused.set(counts.paused);
    }

    /// A connection to a host stands.
    pub fn ssh_connected(&self, took: Duration) {
        self.ssh_connect.observe(took.as_secs_f64());
    }

    /// A host could not be reached or used.
    pub fn ssh_failed(&self, reason: &'static str) {
        self.ssh_errors.get_or_create(&Reason { reason }).inc();
    }

    /// A host has no place to hold an attempt.
    pub fn attempt_unheld(&self) {
        self.attempts_unheld.inc();
    }

    /// An attempt that another engine had started is looked for.
    pub fn attempt_reattached(&self) {
        self.attempts_reattached.inc();
    }

    /// A reload was taken or refused.
    pub fn reloaded(&self, is_successful: bool) {
        self.reload_successful.set(i64::from(is_successful));
    }

    /// An audit event was written.
    pub fn audit_written(&self, kind: EventKind, took: Duration) {
        self.audit_records.get_or_create(&OfEvent { event: kind.as_str() }).inc();
        self.audit_duration.observe(took.as_secs_f64());
    }

    /// An audit event could not be written, so what it tells of did not happen.
    pub fn audit_failed(&self) {
        self.audit_errors.inc();
    }

    /// Whether the audit chain is as it was written, as far as this replica knows.
    pub fn audit_chain(&self, is_valid: bool) {
        self.audit_chain_valid.set(i64::from(is_valid));
    }

    /// A place took no anchor of the audit chain.
    pub fn anchor_failed(&self) {
        self.anchor_errors.inc();
    }

    /// How many replicas there are, how many have another policy than this one, and whether this one keeps house.
    pub fn replicas(&self, all: usize, differing: usize, keeps_house: bool) {
        self.replicas.set(i64::try_from(all).unwrap_or(i64::MAX));
        self.replicas_differing.set(i64::try_from(differing).unwrap_or(i64::MAX));
        self.keeps_house.set(i64::from(keeps_house));
    }

    /// Whether the clock is doubted.
    pub fn clock_doubted(&self, is_doubted: bool) {
        self.clock_doubted.set(i64::from(is_doubted));
    }

    /// All metrics as OpenMetrics text.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Numbers that are counted rather than followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub approvals_pending: i64,
    pub blackouts_active: i64,
    pub paused: i64,
}

/// Buckets for what takes milliseconds to seconds.
const FAST: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets for what takes seconds to hours.
const SLOW: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];

fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    Family<L, M>: prometheus_client::registry::Metric + Clone + Default,
{
    let metric = Family::<L, M>::default();
    registry.register(name, help, metric.clone());
    metric
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Number {
    let metric = Number::default();
    registry.register(name, help, metric.clone());
    metric
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let metric = Counter::default();
    registry.register(name, help, metric.clone());
    metric
}

fn histogram(registry: &mut Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let metric = Histogram::new(buckets.iter().copied());
    registry.register(name, help, metric.clone());
    metric
}

fn unix_seconds(time: Timestamp) -> f64 {
    Duration::from_micros(u64::try_from(time.utc().timestamp_micros()).unwrap_or(0)).as_secs_f64()
}

macro_rules! labels {
    ($($name:ident { $($field:ident: $kind:ty),+ })+) => { $(
        #[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
        struct $name { $($field: $kind),+ }
    )+ };
}

labels! {
    SourceStatus { source: String, status: &'static str }
    OfSource { source: String }
    DecisionReason { runbook: String, decision: &'static str, reason: String }
    Ended { runbook: String, status: &'static str, mode: &'static str }
    RunbookResult { runbook: String, result: &'static str }
    OfRunbook { runbook: String }
    Reason { reason: &'static str }
    OfEvent { event: &'static str }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_rendered_under_its_documented_name() {
        let metrics = Metrics::new();
        metrics.alert_received("main", "stored");
        metrics.webhook_answered(Duration::from_millis(3));
        metrics.delivered("main", "2026-03-03T10:00:00Z".parse().unwrap());
        metrics.decided("restart", "held", "cooldown");
        metrics.execution_started();
        metrics.execution_ended("restart", Status::Completed, "auto", Duration::from_secs(2));
        metrics.remediated(Duration::from_secs(60));
        metrics.rolled_back("restart", RollbackState::Stuck);
        metrics.breaker("restart", true);
        metrics.counted(Counts { approvals_pending: 1, blackouts_active: 2, paused: 3 });
        metrics.ssh_connected(Duration::from_millis(70));
        metrics.ssh_failed("host_key_changed");
        metrics.reloaded(true);
        metrics.audit_written(EventKind::Decided, Duration::from_micros(50));
        metrics.audit_failed();
        metrics.audit_chain(true);
        metrics.anchor_failed();
        metrics.replicas(3, 1, true);
        metrics.clock_doubted(true);
        let text = metrics.render().unwrap();
        for line in [
            r#"douse_alerts_received_total{source="main",status="stored"} 1"#,
            "douse_webhook_duration_seconds_count 1",
            r#"douse_last_webhook_timestamp_seconds{source="main"} 1772532000.0"#,
            r#"douse_decisions_total{runbook="restart",decision="held",reason="cooldown"} 1"#,
            r#"douse_executions_total{runbook="restart",status="completed",mode="auto"} 1"#,
            "douse_execution_duration_seconds_sum 2.0",
            "douse_executions_in_flight 0",
            "douse_approvals_pending 1",
            "douse_time_to_remediate_seconds_count 1",
            r#"douse_rollbacks_total{runbook="restart",result="stuck"} 1"#,
            r#"douse_circuit_breaker_open{runbook="restart"} 1"#,
            "douse_blackouts_active 2",
            "douse_paused 3",
            "douse_ssh_connect_seconds_count 1",
            r#"douse_ssh_errors_total{reason="host_key_changed"} 1"#,
            "douse_config_last_reload_successful 1",
            r#"douse_audit_records_total{event="DECIDED"} 1"#,
            "douse_audit_record_duration_seconds_count 1",
            "douse_audit_record_errors_total 1",
            "douse_audit_chain_valid 1",
            "douse_audit_anchor_errors_total 1",
            "douse_replicas 3",
            "douse_replicas_differing 1",
            "douse_housekeeping 1",
            "douse_clock_doubted 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(!text.contains("server="), "a server label would have no bound");
    }
}
