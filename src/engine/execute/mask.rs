//! Takes the secrets of a run out of what its commands printed.
//!
//! A secret is masked as it is, in base64, and URL-encoded, also where the text was cut in its middle. What a command
//! does to a secret otherwise (reversing it, printing it letter by letter) cannot be known.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What stands where a secret stood.
pub(crate) const MASKED: &str = "<secret>";
/// Shorter ones are not masked: they would make holes everywhere and hide nothing.
const CHARS_MIN: usize = 4;
/// More are not looked for: a text would be searched for seconds.
const FORMS_MAX: usize = 4_000;

/// The forms in which the secrets of one run could be printed.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    /// Longest first, so that a form that contains another is taken as a whole.
    forms: Vec<String>,
    /// There are too many to look for: nothing is shown any more.
    is_blind: bool,
}

impl Mask {
    /// Masks these values.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut mask = Self::default();
        mask.hide(secrets);
        mask
    }

    /// Masks these values from now on, too: as a whole, and each of their lines.
    pub(crate) fn hide<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) {
        for value in values {
            let whole = value.trim();
            let lines = whole.lines().map(str::trim).filter(|line| *line != whole);
            for secret in [value, whole].into_iter().chain(lines).filter(|text| text.chars().count() >= CHARS_MIN) {
                if self.forms.len() >= FORMS_MAX {
                    self.is_blind = true;
                    return;
                }
                self.forms.push(secret.to_owned());
                self.forms.push(url_encoded(secret));
                for skipped in 0..3 {
                    self.forms.extend(base64_inside(secret.as_bytes(), skipped));
                }
            }
        }
        self.forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        self.forms.dedup();
    }

    /// The text without secrets.
    pub(crate) fn apply(&self, text: &str) -> String {
        if self.is_blind && !text.is_empty() {
            return MASKED.to_owned();
        }
        self.forms.iter().fold(text.to_owned(), |text, form| text.replace(form.as_str(), MASKED))
    }

    /// The same for the part before a cut: a secret may have been cut in its middle.
    pub(crate) fn apply_to_head(&self, text: &str) -> String {
        let text = self.apply(text);
        let begun = |form: &String| form.char_indices().map(|(at, _)| at).rev().find(|at| text.ends_with(&form[..*at]));
        let longest = self.forms.iter().filter_map(begun).max().filter(|length| *length >= CHARS_MIN);
        match longest {
            Some(length) => format!("{}{MASKED}", &text[..text.len() - length]),
            None => text,
        }
    }

    /// The same for the part after a cut.
    pub(crate) fn apply_to_tail(&self, text: &str) -> String {
        let text = self.apply(text);
        let ended = |form: &String| {
            form.char_indices()
                .skip(1)
                .map(|(at, _)| at)
                .find(|at| text.starts_with(&form[*at..]))
                .map(|at| form.len() - at)
        };
        let longest = self.forms.iter().filter_map(ended).max().filter(|length| *length >= CHARS_MIN);
        match longest {
            Some(length) => format!("{MASKED}{}", &text[length..]),
            None => text,
        }
    }
}

/// The characters of `secret`'s base64 that do not depend on what stands before it, when that is `skipped` bytes of a
/// group of three; once up to where they depend on what follows, once for a secret that ends the text; in both alphabets.
fn base64_inside(secret: &[u8], skipped: usize) -> Vec<String> {
    let inner = &secret[secret.len().min((3 - skipped) % 3)..];
    let whole = &inner[..inner.len() - inner.len() % 3];
    let mut encoded = vec![STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)];
    if whole.len() < inner.len() {
        encoded.extend([STANDARD.encode(inner), STANDARD_NO_PAD.encode(inner), URL_SAFE_NO_PAD.encode(inner)]);
    }
    encoded.into_iter().filter(|form| form.len() >= 2 * CHARS_MIN).collect()
}

/// Percent-encoding of everything but unreserved characters (RFC 3986, section 2.3).
fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_is_masked_plain_in_base64_and_url_encoded() {
        let secret = "p4ss/word with space";
        let mask = Mask::new([secret]);
        for text in
            [secret.to_owned(), url_encoded(secret), STANDARD.encode(secret), STANDARD.encode(format!("user:{secret}"))]
        {
            let masked = mask.apply(&format!("token={text};"));
            assert!(masked.contains(MASKED), "{text} → {masked}");
        }
    }

    #[test]
    fn a_secret_that_was_cut_is_masked_on_both_sides() {
        let mask = Mask::new(["correct horse battery"]);
        assert_eq!(mask.apply_to_head("password: correct hor"), format!("password: {MASKED}"));
        assert_eq!(mask.apply_to_tail("se battery staple"), format!("{MASKED} staple"));
    }

    #[test]
    fn a_short_secret_makes_no_holes() {
        assert_eq!(Mask::new(["on"]).apply("on and on"), "on and on");
    }

    #[test]
    fn what_is_hidden_later_is_masked_as_a_whole_and_line_by_line() {
        let mut mask = Mask::new(["hunter2"]);
        mask.hide(["token\r\n  second line\n", "on"]);
        assert_eq!(mask.apply("hunter2, token, second line, on"), format!("{MASKED}, {MASKED}, {MASKED}, on"));
        assert_eq!(mask.apply(&STANDARD.encode("second line")), MASKED);
        assert_eq!(mask.apply(&STANDARD.encode("second line;")), format!("{MASKED}7"));
    }

    #[test]
    fn too_many_values_to_look_for_hide_everything() {
        let mut mask = Mask::default();
        let lines: Vec<String> = (0..FORMS_MAX).map(|number| format!("line {number}")).collect();
        mask.hide([lines.join("\n").as_str()]);
        assert_eq!(mask.apply("anything"), MASKED);
        assert_eq!(mask.apply_to_head("anything"), MASKED);
        assert_eq!(mask.apply_to_tail(""), "");
    }

    #[test]
    fn each_line_of_a_key_is_masked_alone() {
        assert_eq!(Mask::new(["-----BEGIN\nabcdef\n-----END"]).apply("x abcdef y"), format!("x {MASKED} y"));
    }

    proptest! {
        #[test]
        fn a_secret_is_in_no_masked_text(secret in "[ -~]{4,40}", before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            prop_assume!(!MASKED.contains(secret.as_str()));
            let masked = Mask::new([secret.as_str()]).apply(&format!("{before}{secret}{after}"));
            prop_assert!(masked.contains(MASKED));
        }

        #[test]
        fn cutting_anywhere_leaves_at_most_a_short_piece(secret in "[a-z]{12,30}", at in 0..30_usize) {
            let at = at.min(secret.len());
            let mask = Mask::new([secret.as_str()]);
            let (head, tail) = secret.split_at(at);
            prop_assert!(mask.apply_to_head(head).len() <= MASKED.len());
            prop_assert!(mask.apply_to_tail(tail).len() <= MASKED.len());
        }
    }
}
