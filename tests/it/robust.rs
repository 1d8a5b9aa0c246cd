//! What strangers and authors may write is read without a panic and without running away: webhooks, YAML, templates, patterns,
//! cron. Each begins with what is right and breaks it in many places, with the words of its own language.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use douse::alert::wire::{self, Entry};
use douse::gate::blackout::State;
use douse::gate::blackout::cron::CronSchedule;
use douse::gate::blackout::spec::BlackoutSpec;
use douse::limits;
use douse::problem::Severity;
use douse::runbook::template::{self, Context, Form};
use douse::runbook::{check, parse};
use douse::trigger::pattern::Pattern;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support::fixture;

/// Nothing of this size may take so long, not even on a busy machine without optimisation.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum Edit {
    Put(Vec<u8>),
    Cut(usize),
    Repeat(usize, usize),
    Turn(u8),
}

/// One of `seeds`, broken in up to twelve places; `words` are put in, and so is any byte.
fn broken(seeds: Vec<Vec<u8>>, words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let edit = prop_oneof![
        4 => select(words).prop_map(|word| Edit::Put(word.as_bytes().to_vec())),
        2 => vec(any::<u8>(), 1..6).prop_map(Edit::Put),
        2 => (1_usize..40).prop_map(Edit::Cut),
        1 => ((1_usize..30), (2_usize..200)).prop_map(|(length, times)| Edit::Repeat(length, times)),
        2 => any::<u8>().prop_map(Edit::Turn),
    ];
    (select(seeds), vec((any::<Index>(), edit), 0..12)).prop_map(|(mut bytes, edits)| {
        for (at, edit) in edits {
            let at = at.index(bytes.len() + 1);
            let upto = |length: usize| (at + length).min(bytes.len());
            match edit {
                Edit::Put(new) => drop(bytes.splice(at..at, new)),
                Edit::Cut(length) => drop(bytes.drain(at..upto(length))),
                Edit::Repeat(length, times) => {
                    let part = bytes[at..upto(length)].repeat(times);
                    drop(bytes.splice(at..at, part));
                }
                Edit::Turn(by) => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= by;
                    }
                }
            }
        }
        bytes
    })
}

/// The same as text, for readers that are given text.
fn broken_text(seeds: Vec<Vec<u8>>, words: &'static [&'static str]) -> impl Strategy<Value = String> {
    broken(seeds, words).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// All files of a folder with that ending, up to a size that many cases can afford.
fn files(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.filter(|path| path.extension().is_some_and(|found| found == ending));
    let read: Vec<_> = found.map(|path| fs::read(path).unwrap()).filter(|bytes| bytes.len() < 20_000).collect();
    assert!(read.len() > 2, "{}", folder.display());
    read
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Runs it, and fails if it runs away.
fn timed<T>(act: impl FnOnce() -> T) -> Result<T, TestCaseError> {
    let begun = Instant::now();
    let found = act();
    prop_assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    Ok(found)
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "1e999",
    "-0",
    "99999999999999999999",
    "\"alerts\":",
    "\"labels\":{}",
    "\"status\":\"firing\"",
    "\"startsAt\":\"0001-01-01T00:00:00Z\"",
    "\"version\":\"4\"",
    "\"truncatedAlerts\":-1",
    "\"fingerprint\":\"\"",
    "9999-12-31T23:59:60Z",
    "+24:00",
    "[[[[[[[[[[[[[[[[",
];

const YAML: &[&str] = &[
    "\n",
    "  ",
    "\t",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "!!str ",
    "? ",
    "|\n",
    ">-\n",
    "---\n",
    "...\n",
    "\"",
    "'",
    "#",
    "%YAML 1.1\n",
    "~",
    "yes",
    "0o17",
    "1e400",
    ".inf",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "&b [*a,*a,*a,*a,*a,*a,*a,*a,*a]",
    "name: ",
    "steps:\n",
    "command: ",
    "{{ x }}",
    "timeout: -1s",
    "priority: 99999999999",
];

const TEMPLATE: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "|",
    "shq",
    "tojson",
    "join(',')",
    "for x in range(100000)",
    "endfor",
    "if",
    "else",
    "endif",
    "set x =",
    "macro m()",
    "endmacro",
    "call",
    "include 'x'",
    "extends",
    "raw",
    "endraw",
    "loop",
    "self",
    "x",
    "x.y.z",
    "x[0]",
    "x['a']",
    "\"",
    "'",
    "`",
    "$(",
    "${",
    "\\",
    "<<EOF\n",
    "\nEOF\n",
    "#",
    "~",
    "**",
    "//",
    "[1:2:0]",
    "is defined",
    "not",
    "and",
    "recursive",
    "namespace()",
    "'a' * 100000",
    "safe",
    "escape",
    "e",
];

const PATTERN: &[&str] = &[
    "*",
    "?",
    "[",
    "]",
    "{",
    "}",
    ",",
    "/",
    "\\",
    "!",
    "^",
    "$",
    "(",
    ")",
    "(?i)",
    "(?:",
    "|",
    "+",
    "{1000}",
    "{1000}{1000}",
    "\\pL",
    "\\b",
    "[[:alpha:]]",
    "a-z",
    "z-a",
    ".",
    "\u{0}",
    "\u{10ffff}",
    "(((((((((((((((",
];

const CRON: &[&str] = &[
    "*",
    "/",
    "-",
    ",",
    "?",
    "L",
    "W",
    "#",
    " ",
    "0",
    "7",
    "59",
    "60",
    "31",
    "2",
    "MON",
    "sun",
    "@daily",
    "*/0",
    "1-0",
    "*/1",
    "4294967296",
    "-1",
    "\n",
    "\t",
    "Feb",
    "30 2",
    "29 2",
    "2099",
    "1970",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_webhook_makes_its_reader_fall_and_what_it_takes_is_within_bounds(
        body in broken(files(&fixture("payloads"), "json"), JSON)
    ) {
        let alerts = timed(|| (wire::parse(&body), wire::parse_api(&body)))?;
        for delivery in [alerts.0, alerts.1].into_iter().flatten() {
            prop_assert!(delivery.entries.len() <= limits::WEBHOOK_ALERTS_MAX);
            for entry in &delivery.entries {
                let Entry::Alert { alert, .. } = entry else { continue };
                prop_assert!(alert.labels.len() <= limits::ALERT_LABELS_MAX);
                prop_assert!(alert.fingerprint.chars().count() <= limits::FINGERPRINT_CHARS_MAX);
                for (name, value) in &alert.labels {
                    prop_assert!(name.len() <= limits::LABEL_BYTES_MAX && value.len() <= limits::LABEL_BYTES_MAX);
                    prop_assert!(!name.contains('\0') && !value.contains('\0'));
                }
            }
        }
    }

    #[test]
    fn no_runbook_makes_its_reader_fall_and_it_is_right_or_has_an_error(
        text in broken_text(files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks"), "yml"), YAML)
    ) {
        let parsed = timed(|| parse::parse("broken.yml", &text))?;
        let has_error = parsed.problems.iter().any(|problem| problem.severity == Severity::Error);
        prop_assert_eq!(parsed.runbook.is_none(), has_error);
        timed(|| check::read("broken.yml", &text))?;
    }

    #[test]
    fn no_template_makes_its_engine_fall_or_run_away(
        source in broken_text(texts(&[
            "systemctl restart {{ x }}", "{% for a in list %}{{ a | shq }}{% endfor %}", "echo \"{{ x | shq }}\" '{{ y | shq }}'",
            "{% if x is defined and x == 'a' %}{{ x }}{% else %}b{% endif %}", "{{ list | join(',') }} {{ map | tojson | shq }}",
        ]), TEMPLATE)
    ) {
        let context = Context::new(&serde_json::json!({"x": "a", "y": "$(id) '\"`", "list": ["1", "2"], "map": {"k": "v"}}));
        for form in [Form::Shell, Form::PowerShell, Form::OtherScript, Form::Plain] {
            if let Ok(text) = timed(|| template::render(&source, form, &context))? {
                prop_assert!(text.len() <= limits::RENDERED_BYTES_MAX.max(source.len()));
            }
            timed(|| template::misplaced_quoting(&source, form))?;
        }
        timed(|| template::evaluate(&source, &context))?.ok();
        timed(|| (template::syntax_error(&source), template::condition_syntax_error(&source), template::printed(&source)))?;
    }

    #[test]
    fn no_pattern_makes_its_reader_fall_and_matching_takes_no_time(
        text in broken_text(texts(&["web*", "/^(a|b)+$/", "{a,b}[c-d]?", "/(x+x+)+y/", "\\*"]), PATTERN),
        value in "[a-zé*\\[\\]{},/]{0,300}",
    ) {
        if let Ok(pattern) = timed(|| Pattern::parse(&text))? {
            timed(|| pattern.matches(&value))?;
            prop_assert_eq!(pattern.as_str(), text.as_str());
        }
        if let Ok(pattern) = timed(|| Pattern::regex(&text))? {
            timed(|| pattern.matches(&value))?;
        }
    }

    #[test]
    fn no_cron_expression_makes_its_reader_fall_and_what_it_finds_lies_where_it_was_asked(
        text in broken_text(texts(&["0 2 * * *", "*/5 0-6 1,15 * *", "30 1 * * SUN", "0 0 29 2 *", "0 30 2 31 12 ?"]), CRON),
        zone in select(vec![Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::Pacific__Apia]),
        now in 0_i64..4_102_444_800,
        days in 0_i64..400,
    ) {
        if let Ok(schedule) = timed(|| text.parse::<CronSchedule>())? {
            let now: DateTime<Utc> = DateTime::from_timestamp(now, 0).unwrap();
            let earliest = now - chrono::Duration::days(days);
            if let Some(start) = timed(|| schedule.latest_start(zone, earliest, now))? {
                prop_assert!(start > earliest && start <= now, "{} is not in ({}, {}]", start, earliest, now);
            }
        }
    }

    #[test]
    fn no_blackout_makes_its_reader_fall_and_what_cannot_be_read_counts_as_on(
        text in broken_text(texts(&[
            "{\"name\": \"a\", \"weekly\": {\"days\": [\"sunday\"], \"start\": \"02:00\", \"end\": \"04:00\"}, \"timezone\": \"Europe/Berlin\"}",
            "{\"name\": \"a\", \"cron\": {\"expression\": \"0 2 * * *\", \"duration\": \"2h\"}}",
            "{\"name\": \"a\", \"once\": {\"start\": \"2026-12-24 18:00\", \"end\": \"2026-12-26T00:00:00Z\"}}",
            "{\"name\": \"a\", \"monthly\": {\"days\": [31], \"start\": \"22:00\", \"end\": \"24:00\"}}",
        ]), JSON),
        now in 0_i64..4_102_444_800,
    ) {
        let Ok(spec) = serde_json::from_str::<BlackoutSpec>(&text) else { return Ok(()) };
        let now = douse::clock::Timestamp::new(DateTime::from_timestamp(now, 0).unwrap());
        let is_readable = timed(|| spec.parse(Tz::UTC))?.is_ok();
        let state = timed(|| spec.parse_or_unreadable(Tz::UTC).state(now))?;
        prop_assert!(is_readable || spec.enabled == Some(false) || state != State::Off, "{:?}", state);
    }
}
