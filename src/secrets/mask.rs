//! Takes secrets out of what commands printed: those of the run, those that the process knows, and what looks like one; also
//! where the text was cut in the middle of one.

use std::sync::{Arc, OnceLock};

use super::forms::{self, CHARS_MIN};
use super::redact::{self, Finder};

/// What stands where a secret stood.
pub(crate) const MASKED: &str = "<secret>";
/// More are not looked for: a text would be searched for seconds.
const FORMS_MAX: usize = 8_000;

/// The forms in which the secrets of one run could be printed.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    forms: Vec<String>,
    /// Made from the forms when it is needed.
    finder: OnceLock<Arc<Finder>>,
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

    /// Shows nothing: what to look for is not known any more.
    pub(crate) fn blind() -> Self {
        Self { is_blind: true, ..Self::default() }
    }

    /// Masks these values from now on, too: as a whole, and each of their lines.
    pub(crate) fn hide<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) {
        self.finder = OnceLock::new();
        for value in values {
            // Before they are made: a value of a million lines has as many forms.
            if self.is_blind || value.lines().count() > FORMS_MAX / 10 || self.forms.len() >= FORMS_MAX {
                self.is_blind = true;
                return;
            }
            self.forms.extend(forms::of(value));
        }
    }

    /// The text without secrets.
    pub(crate) fn apply(&self, text: &str) -> String {
        if self.is_blind && !text.is_empty() {
            return MASKED.to_owned();
        }
        let own = self.finder().apply(text);
        redact::text(&own).into_owned()
    }

    fn finder(&self) -> &Finder {
        self.finder.get_or_init(|| Arc::new(Finder::new(self.forms.clone())))
    }

    /// All that is looked for: the run's and the process's.
    fn longest(&self, length: impl Fn(&String) -> Option<usize>) -> Option<usize> {
        let known = redact::finder();
        let forms = self.finder().forms.iter().chain(&known.forms);
        forms.filter_map(length).max().filter(|length| *length >= CHARS_MIN)
    }

    /// The same for the part before a cut: a secret may have been cut in its middle.
    pub(crate) fn apply_to_head(&self, text: &str) -> String {
        let text = self.apply(text);
        let begun = |form: &String| form.char_indices().map(|(at, _)| at).rev().find(|at| text.ends_with(&form[..*at]));
        match self.longest(begun) {
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
        match self.longest(ended) {
            Some(length) => format!("{MASKED}{}", &text[length..]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_is_masked_plain_in_base64_and_url_encoded() {
        let secret = "p4ss/word with space";
        let mask = Mask::new([secret]);
        let url = "p4ss%2Fword%20with%20space".to_owned();
        for text in [secret.to_owned(), url, STANDARD.encode(secret), STANDARD.encode(format!("user:{secret}"))] {
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
