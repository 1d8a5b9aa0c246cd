//! Comments that silence warnings: `# douse:ignore W202 W209 the service is stateless`.

use std::collections::BTreeMap;

use crate::problem::Problem;

const MARK: &str = "# douse:ignore ";

/// Codes by the line that they are silenced on.
pub(super) struct Silenced<'a> {
    lines: BTreeMap<usize, Vec<&'a str>>,
}

impl<'a> Silenced<'a> {
    /// A comment at the end of a line counts for that line, one on a line of its own for the next line that is none. A
    /// reason must be given.
    pub(super) fn of(text: &'a str) -> Self {
        let mut lines: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        let mut waiting = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let codes = line.find(MARK).and_then(|at| line.get(at + MARK.len()..)).map(codes).unwrap_or_default();
            let is_comment = line.trim_start().starts_with('#');
            if is_comment {
                waiting.extend(codes);
                continue;
            }
            let silenced: Vec<&str> = waiting.drain(..).chain(codes).collect();
            if !silenced.is_empty() {
                lines.insert(number + 1, silenced);
            }
        }
        Self { lines }
    }

    pub(super) fn is_silenced(&self, problem: &Problem) -> bool {
        self.lines.get(&problem.line).is_some_and(|codes| codes.contains(&problem.code))
    }
}

fn codes(text: &str) -> Vec<&str> {
    let is_code = |word: &&str| {
        word.len() == 4 && word.starts_with('W') && word.chars().skip(1).all(|char| char.is_ascii_digit())
    };
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let codes: Vec<&str> = words.iter().copied().take_while(is_code).collect();
    if codes.len() == words.len() { Vec::new() } else { codes }
}
