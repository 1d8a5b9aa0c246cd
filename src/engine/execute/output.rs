//! What a command printed, as it is kept: lossy text, head and tail with a visible mark, secrets masked.
//!
//! Pure. The transport has bounded the bytes already; here they become text that may be stored and used by later
//! steps. `sensitive` output is never stored: only its hash and its size are.

use crate::audit::canonical::sha256_hex;
use crate::secrets::mask::Mask;
use crate::store::attempts::OutputRow;
use crate::transport::Captured;

/// One stream of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Printed {
    /// Without a tail, all of it.
    pub head: String,
    /// Empty unless something between was left out.
    pub tail: String,
    /// Bytes that came, kept or not.
    pub total: u64,
    pub is_cut: bool,
    /// Of the bytes kept, before masking.
    pub sha256: String,
}

impl Printed {
    /// The text of `captured` as it came: for what later steps do with it, never to be stored.
    pub(crate) fn unmasked(captured: &Captured) -> Self {
        Self::shown(captured, [&|text| text.to_owned(); 3])
    }

    /// The text of `captured` with every one of `secrets` masked.
    pub(crate) fn of(captured: &Captured, mask: &Mask) -> Self {
        let (whole, head, tail) = (
            |text: &str| mask.apply(text),
            |text: &str| mask.apply_to_head(text),
            |text: &str| mask.apply_to_tail(text),
        );
        Self::shown(captured, [&whole, &head, &tail])
    }

    /// `whole` shows what was not cut, `head` what was before a cut, `tail` what came after it.
    fn shown(captured: &Captured, [whole, head, tail]: [&dyn Fn(&str) -> String; 3]) -> Self {
        let kept = (captured.head.len() + captured.tail.len()) as u64;
        let is_cut = captured.total > kept;
        let bytes = [captured.head.as_slice(), captured.tail.as_slice()].concat();
        let sha256 = sha256_hex(&bytes);
        if !is_cut {
            let head = whole(&text(&bytes));
            return Self { head, tail: String::new(), total: captured.total, is_cut, sha256 };
        }
        let head = head(&text(&captured.head));
        let tail = tail(&text(&captured.tail));
        Self { head, tail, total: captured.total, is_cut, sha256 }
    }

    /// As it was stored.
    pub fn stored(row: &OutputRow) -> Self {
        Self {
            head: row.head.clone(),
            tail: row.tail.clone(),
            total: u64::try_from(row.total_bytes).unwrap_or(0),
            is_cut: row.truncated,
            sha256: row.sha256.clone(),
        }
    }

    /// One text, with a mark where something was left out.
    pub fn text(&self) -> String {
        if !self.is_cut {
            return self.head.clone();
        }
        let kept = (self.head.len() + self.tail.len()) as u64;
        let left_out = self.total.saturating_sub(kept);
        format!("{}\n[… about {left_out} of {} bytes left out …]\n{}", self.head, self.total, self.tail)
    }

    /// The same without its text: what is kept of a sensitive step.
    pub fn hidden(self) -> Self {
        Self { head: String::new(), tail: String::new(), ..self }
    }
}

/// Lossy: invalid bytes and NUL, which no database text can hold, become `U+FFFD`.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(head: &[u8], tail: &[u8], total: u64) -> Captured {
        Captured { head: head.to_vec(), tail: tail.to_vec(), total }
    }

    #[test]
    fn what_was_not_cut_is_one_text_even_if_a_character_lies_across_the_border() {
        let printed = Printed::of(&captured(&[b'a', 0xc3], &[0xa9, b'b'], 4), &Mask::default());
        assert_eq!(printed.text(), "aéb");
        assert!(!printed.is_cut);
    }

    #[test]
    fn what_was_cut_shows_where_and_how_much() {
        let printed = Printed::of(&captured(b"begin", b"end", 1_000_008), &Mask::default());
        assert_eq!(printed.text(), "begin\n[… about 1000000 of 1000008 bytes left out …]\nend");
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let printed = Printed::of(&captured(b"a\xff\0b", b"", 4), &Mask::default());
        assert_eq!(printed.text(), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn sensitive_output_leaves_only_its_hash_and_size() {
        let printed = Printed::of(&captured(b"hunter2", b"", 7), &Mask::default()).hidden();
        assert_eq!((printed.text().as_str(), printed.total), ("", 7));
        assert_eq!(printed.sha256, sha256_hex(b"hunter2"));
    }
}
