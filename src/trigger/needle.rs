//! What a text must at least contain or be, for a pattern to match it: the keys of the index.
//!
//! Necessary, never sufficient: the index asks the whole trigger afterwards. A missed key would lose a match, so in doubt
//! there is none.

use regex_syntax::hir::literal::{Extractor, Seq};
use regex_syntax::hir::{Hir, HirKind};

use super::pattern::{Form, Pattern};

/// Most texts in one needle; a pattern with more alternatives is indexed by something else.
const TEXTS_MAX: usize = 64;

/// A necessary property of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Needle {
    /// It is one of these, none of them empty.
    Exact(Vec<String>),
    /// It contains one of these, none of them empty.
    Contains(Vec<Vec<u8>>),
}

/// Every needle of `pattern`; each alone is a valid key. Empty when an absent text may match.
pub(super) fn needles(pattern: &Pattern) -> Vec<Needle> {
    match pattern.form() {
        Form::Literal(text) if text.is_empty() => Vec::new(),
        Form::Literal(text) => vec![Needle::Exact(vec![text.clone()])],
        Form::Wildcard(parts) => {
            let parts = parts.iter().filter(|part| !part.is_empty());
            parts.map(|part| Needle::Contains(vec![part.clone().into_bytes()])).collect()
        }
        Form::Regex(_, hir) => exact(hir).map_or_else(|| contained(hir), |needle| vec![needle]),
    }
}

fn literals(hir: &Hir) -> Option<Vec<(Vec<u8>, bool)>> {
    let seq: Seq = Extractor::new().limit_total(TEXTS_MAX).extract(hir);
    let literals = seq.literals()?;
    let usable = !literals.is_empty() && literals.iter().all(|literal| !literal.is_empty());
    usable.then(|| literals.iter().map(|literal| (literal.as_bytes().to_vec(), literal.is_exact())).collect())
}

/// When the regex can only match a few texts, these.
fn exact(hir: &Hir) -> Option<Needle> {
    let texts = literals(hir)?.into_iter().map(|(text, is_exact)| String::from_utf8(text).ok().filter(|_| is_exact));
    texts.collect::<Option<Vec<String>>>().map(Needle::Exact)
}

/// What each part that cannot be left out begins with.
fn contained(hir: &Hir) -> Vec<Needle> {
    match hir.kind() {
        HirKind::Capture(capture) => contained(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => contained(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().flat_map(contained).chain(begins(hir)).collect(),
        _ => begins(hir).into_iter().collect(),
    }
}

fn begins(hir: &Hir) -> Option<Needle> {
    literals(hir).map(|texts| Needle::Contains(texts.into_iter().map(|(text, _)| text).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_says_what_a_text_needs() {
        let exact = |texts: &[&str]| Needle::Exact(texts.iter().map(|text| (*text).to_owned()).collect());
        let contains = |texts: &[&str]| Needle::Contains(texts.iter().map(|text| text.as_bytes().to_vec()).collect());
        for (pattern, expected) in [
            ("Disk", vec![exact(&["Disk"])]),
            ("", vec![]),
            ("*", vec![]),
            ("{,a}", vec![]),
            ("{a,b}c", vec![exact(&["ac", "bc"])]),
            ("Disk*Full", vec![contains(&["Disk"]), contains(&["Full"])]),
            ("/a|b/", vec![exact(&["a", "b"])]),
            ("/x?/", vec![]),
            ("/.*Disk.*/", vec![contains(&["Disk"])]),
            ("/.+(Disk|Mem).*/", vec![contains(&["Disk", "Mem"])]),
        ] {
            assert_eq!(needles(&Pattern::parse(pattern).unwrap()), expected, "{pattern}");
        }
    }
}
