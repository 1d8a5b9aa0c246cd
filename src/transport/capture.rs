//! A stream's bytes, bounded: the first ones and the last ones.
//!
//! Pure. Fed by `ssh/session`; secrets are masked later, on the text.

use std::collections::VecDeque;

use super::Captured;

/// Collects one stream.
#[derive(Debug)]
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_bytes_max: usize,
    tail_bytes_max: usize,
    total: u64,
}

impl Capture {
    /// Keeps at most `bytes_max` bytes, half as head and half as tail.
    pub fn new(bytes_max: usize) -> Self {
        let tail_bytes_max = bytes_max / 2;
        let head_bytes_max = bytes_max - tail_bytes_max;
        Self { head: Vec::new(), tail: VecDeque::new(), head_bytes_max, tail_bytes_max, total: 0 }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.head_bytes_max - self.head.len();
        let (head, rest) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.tail_bytes_max)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.tail_bytes_max);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    /// All bytes that came so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The text of what is kept so far.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.head.iter().chain(&self.tail).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What was kept.
    pub fn finish(self) -> Captured {
        Captured { head: self.head, tail: self.tail.into(), total: self.total }
    }
}

impl Captured {
    /// Adds a line of Douse's own at the end; if there is no room in `bytes_max`, what is before it makes room.
    pub fn note(&mut self, line: &str, bytes_max: usize) {
        let last = self.tail.last().or(self.head.last());
        let begin = if last.is_some_and(|byte| *byte != b'\n') { "\n" } else { "" };
        let mut note = format!("{begin}{line}\n").into_bytes();
        note.truncate(bytes_max);
        let room = bytes_max - note.len();
        // The oldest of the tail goes first: there it was cut already, or would have been.
        self.head.truncate(room.min(bytes_max - bytes_max / 2));
        let excess = (self.head.len() + self.tail.len()).saturating_sub(room).min(self.tail.len());
        self.tail.drain(..excess);
        self.total += note.len() as u64;
        self.tail.extend(note);
    }

    /// Bytes that came and were not kept.
    pub fn left_out(&self) -> u64 {
        self.total.saturating_sub((self.head.len() + self.tail.len()) as u64)
    }

    /// The text, with a visible mark where bytes were left out; what is not UTF-8 becomes `U+FFFD`.
    pub fn text(&self) -> String {
        let left_out = self.left_out();
        if left_out == 0 {
            let bytes = [self.head.as_slice(), self.tail.as_slice()].concat();
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        // A character that the cut went through is left out too, or it would look like a broken byte of the output.
        let head = match std::str::from_utf8(&self.head) {
            Err(error) if error.error_len().is_none() => &self.head[..error.valid_up_to()],
            _ => &self.head,
        };
        let torn = self.tail.iter().take(3).take_while(|&&byte| byte & 0xC0 == 0x80).count();
        let tail = &self.tail[torn..];
        let left_out = left_out + (self.head.len() - head.len() + torn) as u64;
        format!("{}\n[… {left_out} bytes left out …]\n{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn capture(bytes_max: usize, chunks: &[&[u8]]) -> Captured {
        let mut capture = Capture::new(bytes_max);
        chunks.iter().for_each(|chunk| capture.push(chunk));
        capture.finish()
    }

    #[test]
    fn a_note_is_the_last_line_and_stays_within_the_bound() {
        let note = |bytes_max: usize, chunks: &[&[u8]]| {
            let mut captured = capture(bytes_max, chunks);
            captured.note("late", bytes_max);
            assert!(captured.head.len() + captured.tail.len() <= bytes_max);
            captured.text()
        };
        assert_eq!(note(20, &[b"abc"]), "abc\nlate\n");
        assert_eq!(note(20, &[b"abc\n"]), "abc\nlate\n");
        assert_eq!(note(20, &[]), "late\n");
        assert_eq!(note(10, &[b"abcdefghij"]), "abcd\n[… 6 bytes left out …]\n\nlate\n");
        assert_eq!(note(3, &[b"abcdefghij"]), "\n[… 10 bytes left out …]\n\nla");
    }

    #[test]
    fn what_fits_is_kept_whole_and_a_cut_is_visible() {
        assert_eq!(capture(10, &[b"abc", b"defgh", b"ij"]).text(), "abcdefghij");
        let cut = capture(4, &[b"abc", b"defgh", b"ij"]);
        assert_eq!((cut.head.as_slice(), cut.tail.as_slice(), cut.total), (&b"ab"[..], &b"ij"[..], 10));
        assert_eq!(cut.text(), "ab\n[… 6 bytes left out …]\nij");
        assert_eq!(capture(0, &[b"abc"]).text(), "\n[… 3 bytes left out …]\n");
    }

    #[test]
    fn a_character_is_never_cut_in_two() {
        assert_eq!(capture(8, &["ääxxxxxxää".as_bytes()]).text(), "ää\n[… 6 bytes left out …]\nää");
        assert_eq!(capture(6, &["ääxxxxxxää".as_bytes()]).text(), "ä\n[… 10 bytes left out …]\nä");
    }

    proptest! {
        #[test]
        fn head_and_tail_are_the_ends_of_the_stream(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20), bytes_max in 0_usize..200,
        ) {
            let whole = chunks.concat();
            let kept = capture(bytes_max, &chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(kept.total, whole.len() as u64);
            prop_assert!(kept.head.len() + kept.tail.len() <= bytes_max);
            prop_assert!(whole.starts_with(&kept.head) && whole.ends_with(&kept.tail));
            if whole.len() <= bytes_max {
                prop_assert_eq!([kept.head, kept.tail].concat(), whole);
            }
        }
    }
}
