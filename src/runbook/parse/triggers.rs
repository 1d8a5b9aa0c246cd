//! The triggers of a file, compiled.

use std::collections::BTreeSet;
use std::time::Duration;

use super::raw::{RawAlertStatus, RawTrigger};
use super::{Part, Places};
use crate::alert::AlertStatus;
use crate::trigger::spec::PRIORITY_DEFAULT;
use crate::trigger::{Entry, Occurrences, PatternError, Trigger, TriggerSpec};

pub(super) fn triggers(raw: Vec<RawTrigger>, places: &mut Places<'_>) -> Vec<Trigger> {
    let mut seen = BTreeSet::new();
    let mut triggers = Vec::with_capacity(raw.len());
    for (number, raw) in raw.into_iter().enumerate() {
        let spec = spec(raw, number);
        if !seen.insert(spec.name.clone()) {
            let path = [Part::Key("triggers"), Part::Item(number), Part::Key("name")];
            places.error("E110", &path, format!("there are two triggers called `{}`", spec.name), "rename one");
        }
        match Trigger::compile(spec) {
            Ok(trigger) => triggers.push(trigger),
            Err(errors) => errors.iter().for_each(|error| refuse(error, number, places)),
        }
    }
    triggers
}

fn spec(raw: RawTrigger, number: usize) -> TriggerSpec {
    TriggerSpec {
        name: raw.name.unwrap_or_else(|| format!("trigger {}", number + 1)),
        priority: raw.priority.unwrap_or(PRIORITY_DEFAULT),
        alert_name_pattern: raw.alert_name_pattern,
        severity_pattern: raw.severity_pattern,
        source_pattern: raw.source_pattern,
        instance_pattern: raw.instance_pattern,
        job_pattern: raw.job_pattern,
        labels_match: raw.labels_match.unwrap_or_default(),
        annotations_match: raw.annotations_match.unwrap_or_default(),
        matchers: raw.matchers.unwrap_or_default(),
        status: match raw.status {
            Some(RawAlertStatus::Resolved) => AlertStatus::Resolved,
            Some(RawAlertStatus::Firing) | None => AlertStatus::Firing,
        },
        time_window_start: raw.time_window_start.map(|time| time.0),
        time_window_end: raw.time_window_end.map(|time| time.0),
        time_window_days: raw.time_window_days.unwrap_or_default(),
        timezone: raw.timezone,
        enabled: raw.enabled.unwrap_or(true),
        cooldown: raw.cooldown_seconds.map(Duration::from_secs),
        continue_matching: raw.continues.unwrap_or(false),
        min_firing_for: raw.min_firing_for.map(|span| span.duration()),
        min_occurrences: raw
            .min_occurrences
            .map(|occurrences| Occurrences { count: occurrences.count, within: occurrences.within.duration() }),
    }
}

fn refuse(error: &PatternError, number: usize, places: &mut Places<'_>) {
    let mut path = vec![Part::Key("triggers"), Part::Item(number), Part::Key(error.key)];
    match &error.entry {
        Some(Entry::Name(name)) => path.push(Part::Key(name)),
        Some(Entry::Number(entry)) => path.push(Part::Item(*entry)),
        None => {}
    }
    let before = places.problems.len();
    places.error("E111", &path, error.message.clone(), error.hint.as_deref().unwrap_or_default());
    if let (Some(problem), Some(position)) = (places.problems.get_mut(before), error.position) {
        problem.column += position + usize::from(is_quoted(places.document, &path));
    }
}

fn is_quoted(document: &super::Node, path: &[Part<'_>]) -> bool {
    super::find(document, path).scalar().is_some_and(|scalar| scalar.style == super::yaml::Style::Quoted)
}
