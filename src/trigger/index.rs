//! All triggers of all runbooks, arranged so that an alert meets only those that could match it.
//!
//! Each trigger is filed under its rarest needle (a text that one of its conditions needs): equal texts in a hash map,
//! contained ones in one automaton per label. An alert then costs about the same whatever the number of triggers; only
//! triggers without any needle (`*`, negations alone) are asked one by one.

use std::collections::HashMap;
use std::hash::Hash;

use aho_corasick::AhoCorasick;
use chrono_tz::Tz;

use crate::alert::Alert;
use crate::clock::Timestamp;

use super::condition::Subject;
use super::needle::{Needle, needles};
use super::{Selectable, Trigger};

/// Contained needles found in one text before repeats are dropped: a long text may hold one a thousand times.
const FOUND_MAX: usize = 1_024;

/// The compiled index; made once per reload.
#[derive(Debug)]
pub struct Index {
    /// By priority, runbook, position: the order in which they win.
    entries: Vec<Selectable>,
    source: Field,
    labels: HashMap<String, Field>,
    annotations: HashMap<String, Field>,
    /// Places of those without a needle.
    unfiled: Vec<usize>,
    timezone: Tz,
}

/// What is filed under one text of an alert.
#[derive(Debug, Default)]
struct Field {
    exact: HashMap<String, Vec<usize>>,
    contains: Option<Contains>,
}

#[derive(Debug)]
struct Contains {
    automaton: AhoCorasick,
    /// Places of each needle.
    places: Vec<Vec<usize>>,
}

impl Index {
    /// Files the triggers of `runbooks` (name, triggers in the file's order); windows without a zone are in `timezone`.
    pub fn new<'a>(runbooks: impl IntoIterator<Item = (&'a str, &'a [Trigger])>, timezone: Tz) -> Self {
        let mut entries: Vec<Selectable> = Vec::new();
        for (runbook, triggers) in runbooks {
            entries.extend(triggers.iter().enumerate().map(|(position, trigger)| Selectable {
                runbook: runbook.to_owned(),
                position,
                trigger: trigger.clone(),
            }));
        }
        entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let mut index = Self {
            source: Field::default(),
            labels: HashMap::new(),
            annotations: HashMap::new(),
            unfiled: Vec::new(),
            timezone,
            entries,
        };
        index.file();
        index
    }

    /// The triggers that `alert` of `source` selects at `at`, best first: the first that matches, and those after it as
    /// long as each says `continue`.
    pub fn select(&self, source: &str, alert: &Alert, at: Timestamp) -> Vec<&Selectable> {
        let mut selected = Vec::new();
        for place in self.candidates(source, alert) {
            let entry = &self.entries[place];
            if entry.trigger.matches(source, alert, at, self.timezone) {
                selected.push(entry);
                if !entry.trigger.spec.continue_matching {
                    break;
                }
            }
        }
        selected
    }

    /// All triggers in the order in which they win, disabled ones too.
    pub fn entries(&self) -> &[Selectable] {
        &self.entries
    }

    /// The zone of windows that name none.
    pub fn timezone(&self) -> Tz {
        self.timezone
    }

    fn candidates(&self, source: &str, alert: &Alert) -> Vec<usize> {
        let mut places = self.unfiled.clone();
        self.source.find(source, &mut places);
        for (fields, texts) in [(&self.labels, &alert.labels), (&self.annotations, &alert.annotations)] {
            if fields.is_empty() {
                continue;
            }
            for (name, value) in texts {
                if let Some(field) = fields.get(name) {
                    field.find(value, &mut places);
                }
            }
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    fn file(&mut self) {
        let choices: Vec<Vec<(Subject, Needle)>> = self.entries.iter().map(|entry| keys(&entry.trigger)).collect();
        let mut crowd = Crowd::default();
        choices.iter().flatten().for_each(|(subject, needle)| crowd.add(subject, needle));
        let mut contained: HashMap<Subject, HashMap<Vec<u8>, Vec<usize>>> = HashMap::new();
        for (place, choices) in choices.iter().enumerate() {
            if !self.entries[place].trigger.spec.enabled {
                continue;
            }
            let best = choices.iter().min_by_key(|(subject, needle)| crowd.cost(subject, needle));
            match best {
                None => self.unfiled.push(place),
                Some((subject, Needle::Exact(texts))) => {
                    let field = self.field(subject);
                    texts.iter().for_each(|text| field.exact.entry(text.clone()).or_default().push(place));
                }
                Some((subject, Needle::Contains(texts))) => {
                    let field = contained.entry(subject.clone()).or_default();
                    texts.iter().for_each(|text| field.entry(text.clone()).or_default().push(place));
                }
            }
        }
        for (subject, needles) in contained {
            let (texts, places): (Vec<Vec<u8>>, Vec<Vec<usize>>) = needles.into_iter().unzip();
            match AhoCorasick::new(&texts) {
                Ok(automaton) => self.field(&subject).contains = Some(Contains { automaton, places }),
                // Larger than an automaton can be: slower, and as right as before.
                Err(_) => self.unfiled.extend(places.into_iter().flatten()),
            }
        }
    }

    fn field(&mut self, subject: &Subject) -> &mut Field {
        match subject {
            Subject::Source => &mut self.source,
            Subject::Label(name) => self.labels.entry(name.clone()).or_default(),
            Subject::Annotation(name) => self.annotations.entry(name.clone()).or_default(),
        }
    }
}

impl Field {
    fn find(&self, value: &str, places: &mut Vec<usize>) {
        if let Some(found) = self.exact.get(value) {
            places.extend_from_slice(found);
        }
        let Some(contains) = &self.contains else { return };
        let mut found: Vec<usize> = Vec::new();
        for hit in contains.automaton.find_overlapping_iter(value) {
            found.push(hit.pattern().as_usize());
            if found.len() >= FOUND_MAX {
                found.sort_unstable();
                found.dedup();
            }
        }
        for needle in found {
            places.extend_from_slice(&contains.places[needle]);
        }
    }
}

fn keys(trigger: &Trigger) -> Vec<(Subject, Needle)> {
    let positive = trigger.conditions.iter().filter(|condition| !condition.negated);
    let keys = positive.flat_map(|condition| {
        needles(&condition.pattern).into_iter().map(|needle| (condition.subject.clone(), needle))
    });
    keys.collect()
}

/// How many triggers could be filed under each text.
#[derive(Default)]
struct Crowd {
    exact: HashMap<(Subject, String), usize>,
    contains: HashMap<(Subject, Vec<u8>), usize>,
}

impl Crowd {
    fn add(&mut self, subject: &Subject, needle: &Needle) {
        match needle {
            Needle::Exact(texts) => count(&mut self.exact, subject, texts),
            Needle::Contains(texts) => count(&mut self.contains, subject, texts),
        }
    }

    /// Fewer neighbours first; then equality; then the longer text, which is found by accident less often.
    fn cost(&self, subject: &Subject, needle: &Needle) -> (usize, bool, std::cmp::Reverse<usize>) {
        match needle {
            Needle::Exact(texts) => (neighbours(&self.exact, subject, texts), false, std::cmp::Reverse(0)),
            Needle::Contains(texts) => {
                let shortest = texts.iter().map(Vec::len).min().unwrap_or(0);
                (neighbours(&self.contains, subject, texts), true, std::cmp::Reverse(shortest))
            }
        }
    }
}

fn count<T: Hash + Eq + Clone>(crowd: &mut HashMap<(Subject, T), usize>, subject: &Subject, texts: &[T]) {
    for text in texts {
        *crowd.entry((subject.clone(), text.clone())).or_default() += 1;
    }
}

fn neighbours<T: Hash + Eq + Clone>(crowd: &HashMap<(Subject, T), usize>, subject: &Subject, texts: &[T]) -> usize {
    // An alert meets those of one text, or of a few: not those of all.
    texts.iter().filter_map(|text| crowd.get(&(subject.clone(), text.clone()))).copied().max().unwrap_or(0)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
