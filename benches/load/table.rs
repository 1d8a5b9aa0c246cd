//! The table: a row for each subject, Douse beside the limit, medians of the rounds, and whether the target is met.

/// How a number is shown.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    PerSecond,
    Milliseconds,
    Microseconds,
    Mebibytes,
    Count,
}

/// What a row should show.
#[derive(Clone, Copy)]
pub enum Target {
    None,
    /// Douse reaches this share of the limit.
    Share(f64),
    /// Douse takes at most this many times as long as the limit.
    Times(f64),
    /// Not more than this, whatever the limit is.
    AtMost(f64),
}

/// One side of one round.
#[derive(Clone, Copy)]
pub struct Measure {
    pub value: f64,
    /// Median and 99th percentile of the single times, ms.
    pub spread: Option<(f64, f64)>,
}

impl Measure {
    pub fn value(value: f64) -> Self {
        Self { value, spread: None }
    }

    /// The median of times, and their spread. Sorts them.
    pub fn times(times: &mut [f64]) -> Self {
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (percentile(times, 50), percentile(times, 99));
        Self { value: p50, spread: Some((p50, p99)) }
    }
}

/// Of sorted numbers; 0 of none.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or(0.0)
}

struct Row {
    section: String,
    subject: String,
    unit: Unit,
    target: Target,
    douse: Vec<Measure>,
    limit: Vec<Measure>,
}

/// All that was measured so far.
#[derive(Default)]
pub struct Table {
    section: String,
    rows: Vec<Row>,
}

impl Table {
    /// What follows belongs to that section.
    pub fn begin(&mut self, section: &str) {
        section.clone_into(&mut self.section);
    }

    pub fn douse(&mut self, subject: &str, unit: Unit, target: Target, measure: Measure) {
        let row = self.row(subject, unit, target);
        row.douse.push(measure);
        eprintln!("  {subject}: {}", shown(unit, measure.value));
    }

    pub fn limit(&mut self, subject: &str, unit: Unit, target: Target, measure: Measure) {
        let row = self.row(subject, unit, target);
        row.limit.push(measure);
        eprintln!("  {subject}: {} (limit)", shown(unit, measure.value));
    }

    fn row(&mut self, subject: &str, unit: Unit, target: Target) -> &mut Row {
        let found = self.rows.iter().position(|row| row.section == self.section && row.subject == subject);
        let place = found.unwrap_or_else(|| {
            self.rows.push(Row {
                section: self.section.clone(),
                subject: subject.to_owned(),
                unit,
                target,
                douse: Vec::new(),
                limit: Vec::new(),
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[place];
        // It may depend on the disk, which was measured again.
        row.target = target;
        row
    }

    /// As Markdown.
    pub fn print(&self) {
        println!("| | Douse | p50 / p99, ms | limit | p50 / p99, ms | Douse : limit | target | |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |");
        let mut section = "";
        for row in &self.rows {
            if section != row.section {
                section = &row.section;
                println!("| **{section}** | | | | | | | |");
            }
            let (douse, limit) = (median(&row.douse), median(&row.limit));
            let value = |side: Option<Measure>| side.map_or(String::new(), |side| shown(row.unit, side.value));
            let spread = |side: Option<Measure>| {
                let spread = side.and_then(|side| side.spread);
                spread.map_or(String::new(), |(p50, p99)| format!("{p50:.2} / {p99:.2}"))
            };
            let ratio = douse.zip(limit).filter(|(_, limit)| limit.value > 0.0).map(|(d, l)| d.value / l.value);
            let (target, is_met) = row.judge(douse, ratio);
            println!(
                "| {} | {} | {} | {} | {} | {} | {target} | {} |",
                row.subject,
                value(douse),
                spread(douse),
                value(limit),
                spread(limit),
                ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
                is_met.map_or("", |is_met| if is_met { "ok" } else { "**OVER**" }),
            );
        }
    }
}

impl Row {
    fn judge(&self, douse: Option<Measure>, ratio: Option<f64>) -> (String, Option<bool>) {
        match self.target {
            Target::None => (String::new(), None),
            Target::Share(share) => (format!("≥ {share} × limit"), ratio.map(|ratio| ratio >= share)),
            Target::Times(times) => (format!("≤ {times} × limit"), ratio.map(|ratio| ratio <= times)),
            Target::AtMost(most) => (format!("≤ {}", shown(self.unit, most)), douse.map(|douse| douse.value <= most)),
        }
    }
}

/// Of each number for itself.
fn median(rounds: &[Measure]) -> Option<Measure> {
    if rounds.is_empty() {
        return None;
    }
    let middle = |pick: &dyn Fn(&Measure) -> f64| {
        let mut numbers: Vec<f64> = rounds.iter().map(pick).collect();
        numbers.sort_by(f64::total_cmp);
        numbers[numbers.len() / 2]
    };
    let spread = rounds.iter().all(|round| round.spread.is_some()).then(|| {
        let of = |round: &Measure| round.spread.unwrap_or_default();
        (middle(&|round| of(round).0), middle(&|round| of(round).1))
    });
    Some(Measure { value: middle(&|round| round.value), spread })
}

fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::PerSecond => format!("{value:.0} /s"),
        Unit::Milliseconds => format!("{value:.2} ms"),
        Unit::Microseconds => format!("{value:.2} µs"),
        Unit::Mebibytes => format!("{value:.1} MiB"),
        Unit::Count => format!("{value:.0}"),
    }
}
