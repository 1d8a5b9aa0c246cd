//! A runbook after parsing and checking: no text that still has to be interpreted, except templates.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::trigger::Trigger;
use crate::words::words;

/// One runbook: the meaning of one file.
#[derive(Clone, Debug)]
pub struct Runbook {
    /// Identity; unique over all files.
    pub name: String,
    pub description: String,
    pub category: String,
    pub mode: Mode,
    pub status: RunbookStatus,
    pub target_os: OsType,
    /// The number that the author wrote; the database keeps its own.
    pub version: Option<u32>,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    pub links: Vec<String>,
    pub risk: Risk,
    pub timeout: Duration,
    /// Tries to reach the host before the first step.
    pub max_retries: u32,
    pub retry_delay: Option<Duration>,
    /// Effective: the key, or `risk: high` without an explicit `false`.
    pub requires_approval: bool,
    pub approval: Approval,
    pub allowed_servers: AllowedServers,
    /// Name → template, in the file's order.
    pub environment_vars: Vec<(String, String)>,
    /// Free configuration of the seed's format; kept, shown, not interpreted.
    pub config: serde_json::Value,
    pub parameters: Vec<Parameter>,
    pub target: TargetSpec,
    pub guard: Guard,
    pub rollback: RollbackPolicy,
    pub on_interrupted: OnInterrupted,
    /// Name → template.
    pub outputs: Vec<(String, String)>,
    /// In `step_order`, never empty.
    pub steps: Vec<Step>,
    pub triggers: Vec<Trigger>,
    /// The whole file as written.
    pub source: String,
    /// SHA-256 of `source`, hex: what names a version's content.
    pub content_hash: String,
}

impl Runbook {
    /// A run of it may be given values that are kept in memory alone.
    pub fn has_secrets(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.kind == ParameterKind::Secret)
    }
}

words! {
    /// What a matched trigger may do without a person.
    Mode {
        /// Runs by itself.
        Auto = "auto",
        /// Asks first.
        SemiAuto = "semi_auto",
        /// Only a person starts it.
        Manual = "manual",
        /// Decides and records, never runs.
        Observe = "observe",
    }
}

words! {
    /// Whether a runbook may run at all.
    RunbookStatus {
        /// It may.
        Active = "active",
        /// An author or operator switched it off.
        Disabled = "disabled",
        /// Not finished yet.
        Draft = "draft",
    }
}

words! {
    /// Operating system of a server.
    OsType {
        /// POSIX shell.
        Linux = "linux",
        /// PowerShell.
        Windows = "windows",
    }
}

words! {
    /// How dangerous the author holds a runbook to be; `high` asks for approval unless the file says otherwise.
    Risk {
        /// Reads, or changes what repairs itself.
        Low = "low",
        /// Changes what can be undone.
        Medium = "medium",
        /// Can lose data or service.
        High = "high",
    }
}

/// Who may approve, and for how long a request stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    pub roles: Vec<String>,
    pub allow_self: bool,
    /// So many different people have to say yes.
    pub min_approvals: u32,
    pub expires_after: Duration,
    pub message: Option<String>,
}

/// Servers on which a runbook may act; everything empty means any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllowedServers {
    pub names: Vec<String>,
    pub tags: Vec<String>,
    pub groups: Vec<String>,
}

/// A value that a run takes.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: String,
    pub kind: ParameterKind,
    pub default: Option<serde_json::Value>,
    pub required: bool,
    /// Anchored regex.
    pub pattern: Option<regex::Regex>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub options: Vec<String>,
    pub from_label: Option<String>,
    pub from_annotation: Option<String>,
    pub description: String,
}

words! {
    /// Type of a parameter.
    ParameterKind {
        /// Any text without NUL.
        String = "string",
        /// A whole number of 64 bits.
        Int = "int",
        /// A number.
        Float = "float",
        /// True or false.
        Bool = "bool",
        /// `90s`, `5m`, `1h30m`.
        Duration = "duration",
        /// One of `options`.
        Enum = "enum",
        /// The name of a server in the inventory.
        Server = "server",
        /// A list of texts.
        List = "list",
        /// Masked everywhere.
        Secret = "secret",
    }
}

/// Which server a run acts on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TargetSpec {
    /// Template; default: the host part of `instance`.
    pub from: Option<String>,
    pub tags: Vec<String>,
    pub os_type: Option<OsType>,
    pub environment: Option<String>,
    pub group: Option<String>,
}

/// The runbook's own bounds; `None` takes the configuration's.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Guard {
    pub require_still_firing: Option<bool>,
    pub min_firing_for: Option<Duration>,
    pub max_alert_age: Option<Duration>,
    pub cooldown: Option<Duration>,
    pub rate_limit: Option<RateLimit>,
    pub circuit_breaker: Option<CircuitBreakerSpec>,
    /// Zero count switches it off.
    pub attempts: Option<CountWindow>,
    /// Zero switches it off.
    pub recently_remediated: Option<Duration>,
    pub blast_radius: Option<BlastRadiusSpec>,
    pub max_queue_age: Option<Duration>,
    pub ignores_blackouts: bool,
}

impl Runbook {
    /// How far back its gates look: records that are younger decide what it may do.
    pub fn looks_back(&self) -> Duration {
        let guard = &self.guard;
        let own = [
            guard.cooldown,
            guard.rate_limit.map(|limit| limit.window),
            guard.attempts.map(|bound| bound.window),
            guard.recently_remediated,
            guard.blast_radius.map(|bound| bound.window),
            guard.max_queue_age,
        ];
        let triggers = self.triggers.iter().map(|trigger| &trigger.spec);
        let triggers = triggers.flat_map(|spec| [spec.cooldown, spec.min_occurrences.map(|wanted| wanted.within)]);
        own.into_iter().chain(triggers).flatten().max().unwrap_or_default()
    }
}

/// `count` in `window`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CountWindow {
    pub count: u32,
    pub window: Duration,
}

/// At most `count` executions of the runbook in `window`, counted over all targets or each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    pub count: u32,
    pub window: Duration,
    pub scope: RateScope,
}

words! {
    /// Over what a rate limit counts.
    RateScope {
        /// The runbook's executions on all servers (the seed's meaning).
        Runbook = "runbook",
        /// The runbook's executions on this server.
        Server = "server",
    }
}

/// Thresholds of a circuit breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CircuitBreakerSpec {
    pub failure_threshold: u32,
    pub success_threshold: u32,
    pub reset_timeout: Duration,
}

/// More than max(`min`, `percent` % rounded up) distinct targets of a group in `window` need a yes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlastRadiusSpec {
    pub min: u32,
    pub percent: u32,
    pub window: Duration,
}

/// What is undone, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RollbackPolicy {
    /// `strategy: none` switches it off.
    pub enabled: bool,
    pub after_failure: bool,
    pub after_timeout: bool,
    pub after_cancel: bool,
    pub include_failed: bool,
    /// Go on with the next undo when one fails; the end is still `stuck`.
    pub continue_on_error: bool,
}

words! {
    /// What follows when it is unknown what became of a step.
    OnInterrupted {
        /// The run waits for a person, and holds its target.
        Hold = "hold",
        /// The run has failed, and is undone: that step as well, as if it had failed.
        Rollback = "rollback",
        /// The run has failed; nothing is undone.
        Fail = "fail",
    }
}

impl OnInterrupted {
    /// What runbooks and plans have that do not say it.
    pub const fn careful() -> Self {
        Self::Hold
    }

    /// It need not be said.
    pub fn is_careful(&self) -> bool {
        *self == Self::careful()
    }
}

/// One entry of a runbook.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name in templates: the file's `id`, or made from the name (lower case, `_`).
    pub id: String,
    pub name: String,
    pub description: String,
    pub order: u32,
    pub action: Action,
    pub expected_exit_codes: Vec<i32>,
    pub timeout: Duration,
    pub continue_on_failure: bool,
    /// Template expression (`condition`, `when`).
    pub when: Option<String>,
    pub undo: Option<Undo>,
    pub retry: Retry,
    pub capture_output: bool,
    pub sensitive: bool,
    pub idempotent: bool,
    /// It ends well when its host was started anew.
    pub expect_disconnect: bool,
    pub become_user: Option<String>,
    pub env: Vec<(String, String)>,
    pub workdir: Option<String>,
    pub outputs: BTreeMap<String, OutputSpec>,
    pub output_bytes_max: usize,
}

/// What a step or an undo does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Shell text, a template.
    Command(String),
    /// Program and arguments, each a template; never parsed by a shell.
    Argv(Vec<String>),
    /// Several lines for an interpreter, a template.
    Script { text: String, interpreter: Option<String> },
}

/// The reverse action of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undo {
    pub action: Action,
    pub when: Option<String>,
    pub become_user: Option<String>,
    pub timeout: Duration,
}

/// Tries of a step after its first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// Tries in all, at least 1.
    pub attempts: u32,
    pub delay: Duration,
    /// Each delay is the one before times this over 1000; 1000 = constant.
    pub backoff_milli: u32,
    pub max_delay: Duration,
    /// Empty = any unexpected exit code.
    pub on_exit_codes: Vec<i32>,
}

/// How a value is read from a step's standard output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputSpec {
    /// The whole text, trimmed.
    Text,
    /// A path (`a.b.0`) into JSON.
    Json { path: Option<String> },
    /// First capture group, or the whole match; checked when the file was read.
    Regex { pattern: String },
    /// `key=value` lines.
    KeyValue { key: String },
}
