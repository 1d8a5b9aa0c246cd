//! What `hold.sh` says between the command's bytes, taken out of a stream.
//!
//! A line `douse:ATTEMPT:WORD:…` with a line break before it, both of which are no output. Pure.

use super::announce::{Stage, prefix};
use crate::id::AttemptId;

/// Longest such line, bytes.
const LINE_BYTES_MAX: usize = 4096;

/// One thing that was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// The attempt is claimed, and it is looked after.
    Found,
    /// The command has ended; what it left behind may still print.
    Exit,
    /// The command itself has printed all of a stream that comes before.
    Done,
    /// The last word of a stream. On stdout it tells all, on stderr nothing.
    End(Option<Report>),
}

/// What became of an attempt, as its host tells it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// `exit`, `rebooted`, `gone`, `void`, `unknown`, `absent`, `claimed`, `nowhere`, `groups`, `over`; empty while it runs.
    pub state: String,
    /// The exit code; of `groups`, the login user's group.
    pub first: Option<i32>,
    /// 1 when the command was started; of `groups`, the command's own group.
    pub second: Option<i32>,
    /// Bytes of stdout and stderr that the host did not keep.
    pub dropped: (u64, u64),
    /// For a person.
    pub text: String,
}

/// Takes what is said out of one stream.
pub struct Listener {
    prefix: Vec<u8>,
    held: Vec<u8>,
}

impl Listener {
    /// For a stream of this attempt.
    pub fn new(attempt: AttemptId) -> Self {
        let prefix = prefix(attempt, Stage::Hello);
        let prefix = prefix.trim_end_matches(':').trim_end_matches("hello");
        Self { prefix: format!("\n{prefix}").into_bytes(), held: Vec::new() }
    }

    /// Takes the next bytes; returns those that are the command's, and what was said among them.
    pub fn push(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<Said>) {
        self.held.extend_from_slice(bytes);
        let (mut output, mut said) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(found) = find(self.held.get(at..).unwrap_or_default(), &self.prefix) {
            let start = at + found;
            output.extend_from_slice(self.held.get(at..start).unwrap_or_default());
            let rest = self.held.get(start + self.prefix.len()..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'\n');
            match end.and_then(|end| Said::read(rest.get(..end)?)) {
                Some(word) => {
                    let is_last = matches!(word, Said::End(_));
                    said.push(word);
                    at = start + self.prefix.len() + end.unwrap_or_default() + 1;
                    if is_last {
                        // Nothing of the command comes after it.
                        at = self.held.len();
                    }
                }
                // The rest of the line has not come yet.
                None if end.is_none() && rest.len() < LINE_BYTES_MAX => {
                    at = start;
                    break;
                }
                // Only looks like it: `sudo`'s shell announces itself in the same way.
                None => {
                    output.push(b'\n');
                    at = start + 1;
                }
            }
        }
        let rest = self.held.get(at..).unwrap_or_default();
        // A line may begin at the end of these bytes.
        let keep = if rest.starts_with(&self.prefix) { rest.len() } else { overlap(rest, &self.prefix) };
        output.extend_from_slice(rest.get(..rest.len() - keep).unwrap_or_default());
        let from = self.held.len() - keep;
        self.held.drain(..from);
        (output, said)
    }

    /// What was held back for a line that never came.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

impl Said {
    fn read(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (word, rest) = line.split_once(':')?;
        match word {
            "found" => Some(Self::Found),
            "exit" => Some(Self::Exit),
            "done" => Some(Self::Done),
            "end" => Some(Self::End(Report::read(rest))),
            _ => None,
        }
    }
}

impl Report {
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ':');
        let state = fields.next()?.to_owned();
        let mut number = || fields.next().map(str::trim).map(str::to_owned);
        let (first, second) = (number()?.parse().ok(), number()?.parse().ok());
        let dropped = (number()?.parse().unwrap_or(0), number()?.parse().unwrap_or(0));
        let text = fields.next()?.to_owned();
        Some(Self { state, first, second, dropped, text })
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

/// Length of the longest end of `bytes` that `pattern` begins with.
fn overlap(bytes: &[u8], pattern: &[u8]) -> usize {
    let longest = bytes.len().min(pattern.len().saturating_sub(1));
    (1..=longest).rev().find(|&length| bytes.ends_with(pattern.get(..length).unwrap_or_default())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listen(attempt: AttemptId, chunks: &[&[u8]]) -> (Vec<u8>, Vec<Said>) {
        let mut listener = Listener::new(attempt);
        let (mut output, mut said) = (Vec::new(), Vec::new());
        for chunk in chunks {
            let (bytes, words) = listener.push(chunk);
            output.extend(bytes);
            said.extend(words);
        }
        output.extend(listener.rest());
        (output, said)
    }

    #[test]
    fn what_is_said_is_taken_out_however_the_stream_is_cut() {
        let attempt = AttemptId::new();
        let stream = format!(
            "\ndouse:{attempt}:found:\na\n\n\ndouse:{attempt}:become:12\nb\ndouse:{attempt}:exit:\nc\0\n\ndouse:{attempt}:done:\n\ndouse:{attempt}:end:exit:7:1:5:6:\n"
        );
        let report = Report { state: "exit".into(), first: Some(7), second: Some(1), dropped: (5, 6), text: "".into() };
        for size in 1..=stream.len() {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let (output, said) = listen(attempt, &chunks);
            let expected = format!("a\n\n\ndouse:{attempt}:become:12\nbc\0\n");
            assert_eq!(String::from_utf8_lossy(&output), expected, "chunks of {size}");
            assert_eq!(said, [Said::Found, Said::Exit, Said::Done, Said::End(Some(report.clone()))]);
        }
    }

    proptest! {
        #[test]
        fn bytes_that_say_nothing_pass_unchanged(
            chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\n\ndouse:x\0\xff".to_vec()), 0..30), 0..20),
        ) {
            let (output, said) = listen(AttemptId::new(), &chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!((output, said), (chunks.concat(), Vec::new()));
        }
    }
}
