//! One condition of a trigger: a text of the alert, and what it has to be.

use crate::alert::Alert;

use super::pattern::{Flaw, Pattern};
use super::spec::TriggerSpec;
use super::{Entry, PatternError, error, matcher};

/// What an alert is asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Subject {
    /// The name of the source that delivered it.
    Source,
    Label(String),
    Annotation(String),
}

/// One comparison.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// The key in the file.
    pub(super) key: &'static str,
    pub(super) subject: Subject,
    pub(super) pattern: Pattern,
    pub(super) negated: bool,
    /// As its author wrote it.
    pub(super) wanted: String,
}

impl Condition {
    pub(super) fn matches(&self, source: &str, alert: &Alert) -> bool {
        self.pattern.matches(self.subject.value(source, alert)) != self.negated
    }
}

impl Subject {
    /// The text; an absent one is empty, as in Prometheus.
    pub(super) fn value<'a>(&self, source: &'a str, alert: &'a Alert) -> &'a str {
        match self {
            Self::Source => source,
            Self::Label(name) => alert.label(name),
            Self::Annotation(name) => alert.annotations.get(name).map_or("", String::as_str),
        }
    }
}

/// All conditions of `spec` but its window and status; what is wrong goes to `errors`.
pub(super) fn compile(spec: &TriggerSpec, errors: &mut Vec<PatternError>) -> Vec<Condition> {
    let label = |name: &str| Subject::Label(name.to_owned());
    let mut conditions = Vec::new();
    let mut add = |key, subject, entry, text: &str| match Pattern::parse(text) {
        Ok(pattern) => conditions.push(Condition { key, subject, pattern, negated: false, wanted: text.to_owned() }),
        Err(flaw) => errors.push(error(key, entry, flaw)),
    };
    for (key, subject, text) in [
        ("alert_name_pattern", label("alertname"), &spec.alert_name_pattern),
        ("severity_pattern", label("severity"), &spec.severity_pattern),
        ("source_pattern", Subject::Source, &spec.source_pattern),
        ("instance_pattern", label("instance"), &spec.instance_pattern),
        ("job_pattern", label("job"), &spec.job_pattern),
    ] {
        if let Some(text) = text {
            add(key, subject, None, text);
        }
    }
    for (name, text) in &spec.labels_match {
        add("labels_match", label(name), Some(Entry::Name(name.clone())), text);
    }
    for (name, text) in &spec.annotations_match {
        add("annotations_match", Subject::Annotation(name.clone()), Some(Entry::Name(name.clone())), text);
    }
    for (number, text) in spec.matchers.iter().enumerate() {
        match matchers(text) {
            Ok(found) => conditions.extend(found),
            Err(flaw) => errors.push(error("matchers", Some(Entry::Number(number)), flaw)),
        }
    }
    conditions
}

fn matchers(text: &str) -> Result<impl Iterator<Item = Condition>, Flaw> {
    let found = matcher::parse(text)?;
    Ok(found.into_iter().map(|matcher| Condition {
        key: "matchers",
        subject: Subject::Label(matcher.name),
        pattern: matcher.pattern,
        negated: matcher.negated,
        wanted: matcher.text,
    }))
}
