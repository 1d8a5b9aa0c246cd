//! Every way in which every gate objects, one entry each.

use douse::gate::blackout::Effect;
use douse::gate::{Gate, Reason};
use douse::store::DecisionVerdict;
use serde_json::{Map, Value, json};

/// What is expected of a gate that objects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Want {
    Approve,
    Hold,
    Refuse,
}

impl Want {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
        }
    }

    /// The decision in which this is the worst objection.
    pub fn decision(self) -> DecisionVerdict {
        match self {
            Self::Approve => DecisionVerdict::Approval,
            Self::Hold => DecisionVerdict::Held,
            Self::Refuse => DecisionVerdict::Refused,
        }
    }
}

/// What was run before the alert came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Past {
    /// The trigger ran on the server a minute ago, and completed.
    Completed,
    /// It ran on the group's other server a minute ago.
    Neighbour,
    /// It ran on the server 15 minutes ago, and failed.
    Failed,
    /// Another runbook runs on the server, for two minutes now.
    Running,
}

/// What a person did before the alert came.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    PauseRunbook,
    /// For an hour.
    PauseServer,
    PauseGroup,
    DisableRunbook,
    Maintenance,
    /// From an hour ago to in an hour.
    Blackout(Effect),
    OpenBreaker,
}

/// What happened between the delivery and the decision.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// Another engine made an execution for the same episode and trigger.
    Execution,
    /// The alert resolved.
    Resolved,
}

/// One way in which one gate objects.
#[derive(Clone, Copy)]
pub struct Case {
    pub gate: Gate,
    pub name: &'static str,
    pub want: Want,
    pub reason: Reason,
    /// Gates that refuse as a consequence.
    pub also: &'static [Gate],
    /// When a hold ends by itself, in minutes from the decision.
    pub minutes: Option<u32>,
    /// What the message must say; `{server}` and `{runbook}` are the scope's.
    pub words: &'static [&'static str],
    pub past: &'static [Past],
    /// What the runbook says differently since its file was read again.
    pub runbook: fn(&mut Value),
    /// What it said differently from the beginning.
    pub always: fn(&mut Value),
    pub labels: fn(&mut Map<String, Value>),
    pub act: Option<Act>,
    pub then: Option<Then>,
}

fn case(gate: Gate, name: &'static str, want: Want, reason: Reason, words: &'static [&'static str]) -> Case {
    Case {
        gate,
        name,
        want,
        reason,
        also: &[],
        minutes: None,
        words,
        past: &[],
        runbook: |_| (),
        always: |_| (),
        labels: |_| (),
        act: None,
        then: None,
    }
}

/// Every gate's ways; of each gate the first one is what [`super::pairs`] combines.
pub fn cases() -> Vec<Case> {
    use Gate as G;
    use Reason as R;
    use Want::{Approve, Hold, Refuse};
    vec![
        Case {
            act: Some(Act::PauseRunbook),
            ..case(
                G::KillSwitch,
                "runbook paused",
                Hold,
                R::Paused,
                &["{runbook}", "until somebody resumes", "ann", "storm"],
            )
        },
        Case {
            act: Some(Act::PauseServer),
            minutes: Some(60),
            ..case(G::KillSwitch, "server paused for an hour", Hold, R::Paused, &["{server}", "until 13:00:00Z"])
        },
        Case {
            act: Some(Act::PauseGroup),
            ..case(G::KillSwitch, "group paused", Hold, R::Paused, &["server group {group}"])
        },
        Case {
            runbook: |file| file["status"] = json!("disabled"),
            ..case(G::RunbookStatus, "disabled in its file", Refuse, R::RunbookDisabled, &["{runbook}", "disabled"])
        },
        Case {
            runbook: |file| file["status"] = json!("draft"),
            ..case(G::RunbookStatus, "draft", Refuse, R::RunbookDraft, &["{runbook}", "draft"])
        },
        Case {
            act: Some(Act::DisableRunbook),
            ..case(G::RunbookStatus, "disabled by an operator", Refuse, R::RunbookDisabled, &["{runbook}", "operator"])
        },
        Case {
            labels: |labels| drop(labels.insert("service".to_owned(), json!("NGINX"))),
            also: &[G::Plan],
            ..case(G::Parameters, "rejected by its pattern", Refuse, R::ParamRejected, &["`service`", "[a-z]+"])
        },
        Case {
            runbook: |file| file["allowed_servers"] = json!(["web1"]),
            ..case(G::Target, "not allowed", Refuse, R::TargetNotAllowed, &["{server}", "allowed_servers", "web1"])
        },
        Case {
            labels: |labels| drop(labels.insert("instance".to_owned(), json!("nowhere:9100"))),
            ..case(G::Target, "unknown", Refuse, R::UnknownTarget, &["nowhere"])
        },
        Case {
            labels: |labels| drop(labels.insert("instance".to_owned(), json!("10.9.9.9"))),
            ..case(G::Target, "ambiguous", Refuse, R::AmbiguousTarget, &["10.9.9.9", "twin1", "twin2"])
        },
        Case {
            labels: |labels| drop(labels.insert("unit".to_owned(), json!("nginx; reboot"))),
            ..case(G::Plan, "unsafe value", Refuse, R::UnsafeValue, &["“Fix”", "`alert.labels.unit`"])
        },
        Case {
            labels: |labels| drop(labels.remove("unit")),
            ..case(G::Plan, "undefined name", Refuse, R::TemplateError, &["“Fix”", "`unit`"])
        },
        Case {
            act: Some(Act::Maintenance),
            ..case(
                G::Maintenance,
                "under maintenance",
                Approve,
                R::Maintenance,
                &["douse servers maintenance off {server}"],
            )
        },
        Case {
            act: Some(Act::Blackout(Effect::Hold)),
            minutes: Some(60),
            ..case(G::Blackout, "that holds", Hold, R::Blackout, &["“freeze {runbook}”", "until 13:00:00Z"])
        },
        Case {
            act: Some(Act::Blackout(Effect::Refuse)),
            ..case(G::Blackout, "that refuses", Refuse, R::Blackout, &["“freeze {runbook}”", "refused"])
        },
        Case {
            act: Some(Act::Blackout(Effect::Approve)),
            ..case(G::Blackout, "that asks", Approve, R::Blackout, &["“freeze {runbook}”", "a person's yes"])
        },
        Case {
            past: &[Past::Completed],
            runbook: |file| file["triggers"][0]["cooldown_seconds"] = json!(600),
            minutes: Some(9),
            ..case(
                G::Cooldown,
                "of the trigger",
                Hold,
                R::Cooldown,
                &["{runbook}", "{server}", "1 min ago", "12:09:00Z"],
            )
        },
        Case {
            past: &[Past::Failed],
            runbook: |file| file["guard"]["cooldown_seconds"] = json!(1_200),
            minutes: Some(5),
            ..case(G::Cooldown, "after a failure", Hold, R::Cooldown, &["15 min ago", "12:05:00Z"])
        },
        Case {
            past: &[Past::Completed],
            runbook: |file| file["guard"]["recently_remediated"] = json!("5m"),
            minutes: Some(4),
            ..case(G::RecentlyRemediated, "a minute ago", Hold, R::RecentlyRemediated, &["{server}", "12:04:00Z"])
        },
        Case {
            past: &[Past::Failed],
            runbook: |file| file["guard"]["attempts"] = json!({"count": 1, "window": "1h"}),
            ..case(G::Attempts, "failed before", Approve, R::TooManyAttempts, &["{server}", "a person should look"])
        },
        Case {
            past: &[Past::Completed],
            runbook: |file| file["guard"]["rate_limit"] = json!({"count": 1, "window": "30m"}),
            minutes: Some(29),
            ..case(G::RateLimit, "of the runbook", Hold, R::RateLimited, &["{runbook}", "1 time", "12:29:00Z"])
        },
        Case {
            past: &[Past::Completed],
            runbook: |file| file["guard"]["rate_limit"] = json!({"count": 1, "window": "20m", "scope": "server"}),
            minutes: Some(19),
            ..case(G::RateLimit, "of the server", Hold, R::RateLimited, &["{runbook}", "{server}", "12:19:00Z"])
        },
        Case {
            past: &[Past::Failed],
            always: |file| {
                file["guard"]["circuit_breaker"] = json!({"failure_threshold": 1, "reset_timeout_seconds": 1_800});
            },
            minutes: Some(15),
            ..case(
                G::CircuitBreaker,
                "opened by a failure",
                Hold,
                R::CircuitOpen,
                &["12:15:00Z", "douse breakers close {runbook}"],
            )
        },
        Case {
            act: Some(Act::OpenBreaker),
            ..case(
                G::CircuitBreaker,
                "opened by a person",
                Hold,
                R::CircuitOpen,
                &["a person", "douse breakers close {runbook}"],
            )
        },
        Case {
            then: Some(Then::Execution),
            ..case(G::Duplicate, "there is one", Refuse, R::Duplicate, &["for this episode", "already"])
        },
        Case {
            past: &[Past::Running],
            ..case(G::TargetLock, "another run", Hold, R::ResourceBusy, &["{server} is busy", "`holder`", "2 min"])
        },
        Case {
            past: &[Past::Neighbour],
            runbook: |file| file["guard"]["blast_radius"] = json!({"min": 1, "percent": 50, "window": "10m"}),
            ..case(
                G::BlastRadius,
                "the second of two",
                Approve,
                R::BlastRadius,
                &["2 of 2", "group {group}", "a person's yes"],
            )
        },
        Case {
            runbook: |file| file["triggers"][0]["min_firing_for"] = json!("10m"),
            minutes: Some(8),
            ..case(G::TooYoung, "fires too short", Hold, R::TooYoung, &["2 min", "10 min", "12:08:00Z"])
        },
        Case {
            runbook: |file| file["triggers"][0]["min_occurrences"] = json!({"count": 3, "within": "1h"}),
            ..case(G::TooYoung, "fired too few times", Refuse, R::TooFew, &["1 time", "at least 3"])
        },
        Case {
            then: Some(Then::Resolved),
            ..case(G::StillFiring, "resolved", Refuse, R::Resolved, &["ended at 11:59:30Z", "nothing left to do"])
        },
        Case {
            runbook: |file| file["guard"]["max_alert_age"] = json!("1m"),
            ..case(G::StillFiring, "too old", Refuse, R::Stale, &["2 min", "too old"])
        },
        Case {
            runbook: |file| file["mode"] = json!("semi_auto"),
            ..case(G::Mode, "asks first", Approve, R::ApprovalRequired, &["{runbook}", "asks before it runs"])
        },
        Case {
            runbook: |file| file["requires_approval"] = json!(true),
            ..case(
                G::Mode,
                "requires an approval",
                Approve,
                R::ApprovalRequired,
                &["{runbook}", "requires an approval"],
            )
        },
        Case {
            runbook: |file| file["mode"] = json!("manual"),
            ..case(G::Mode, "manual", Refuse, R::ManualOnly, &["douse run {runbook}"])
        },
        Case {
            runbook: |file| file["mode"] = json!("observe"),
            ..case(G::Mode, "observe", Refuse, R::Observed, &["{runbook}", "only observes"])
        },
    ]
}
