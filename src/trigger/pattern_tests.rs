//! Tests of `pattern`.

use proptest::prelude::*;

use super::*;

#[test]
fn a_pattern_matches_the_whole_text_and_nothing_else() {
    for (pattern, yes, no) in [
        ("ServiceDown", &["ServiceDown"][..], &["", "servicedown", "ServiceDown2", "xServiceDown"][..]),
        ("ServiceDown*", &["ServiceDown", "ServiceDownNow", "ServiceDown/a\nb"], &["Service", "xServiceDown"]),
        ("*", &["", "a", "a/b", "a\nb"], &[]),
        ("**", &["", "a/b"], &[]),
        ("a**b", &["ab", "a/x/b"], &["a", "b"]),
        ("*Disk*Full*", &["DiskFull", "xDisk Fully"], &["FullDisk", "Disk"]),
        ("a*a", &["aa", "aba"], &["a", ""]),
        ("?", &["é", "x", "\n"], &["", "xx"]),
        ("web[0-9]", &["web1"], &["web", "webx", "web10"]),
        ("[!a-c]x", &["dx", "éx"], &["ax", "x"]),
        ("[^a]x", &["bx"], &["ax"]),
        ("[]a]", &["]", "a"], &["b"]),
        ("[a-]", &["a", "-"], &["b"]),
        (r"[\]]", &["]"], &[r"\"]),
        ("{web,db}-{1,2}", &["web-1", "db-2"], &["web-3", "cache-1", "{web,db}-1"]),
        ("{a,b{c,d}}", &["a", "bc", "bd"], &["b", "abc"]),
        ("x{,y}", &["x", "xy"], &["xyy"]),
        (r"\*\?\[\{\\", &[r"*?[{\"], &["ab"]),
        ("a,b", &["a,b"], &["a", "b"]),
        ("Haproxy>80%", &["Haproxy>80%"], &["Haproxy"]),
        ("Cassandra(criteo)*", &["Cassandra(criteo)x"], &["Cassandracriteo"]),
        ("a.b", &["a.b"], &["axb"]),
        ("", &[""], &["a"]),
        ("/a|b/", &["a", "b"], &["ab", "xa", "bx"]),
        ("/.*/", &["", "a\nb"], &[]),
        ("/(?i)service.*/", &["SERVICEx"], &["xservice"]),
        ("//", &[""], &["a"]),
        ("/", &["/"], &[""]),
        ("/boot", &["/boot"], &["boot"]),
        (r"\/boot/", &["/boot/"], &["boot"]),
    ] {
        let compiled = Pattern::parse(pattern).unwrap();
        assert_eq!(compiled.as_str(), pattern);
        for text in yes {
            assert!(compiled.matches(text), "{pattern:?} should match {text:?}");
        }
        for text in no {
            assert!(!compiled.matches(text), "{pattern:?} should not match {text:?}");
        }
    }
}

#[test]
fn a_bad_pattern_says_where_and_what_to_do() {
    let long = "x".repeat(PATTERN_CHARS_MAX + 1);
    for (pattern, position, words) in [
        ("web[0-9", Some(3), "not closed"),
        ("é[", Some(1), "not closed"),
        ("a{b", Some(1), "not closed"),
        ("a{b,{c}", Some(1), "not closed"),
        ("ab}", Some(2), "closes nothing"),
        ("[z-a]", Some(1), "runs backwards"),
        (r"ab\", Some(2), "nothing follows"),
        ("{{{{{{{{{a}}}}}}}}}", Some(8), "nested"),
        ("/a(b/", Some(2), "unclosed group"),
        ("/a)|(b/", Some(2), "unopened group"),
        ("/*abc/", Some(1), "repetition"),
        ("/a(?!b)/", Some(2), "look-around"),
        (r"/(a)\1/", Some(4), "backreferences"),
        ("/a{1000}{1000}{1000}/", None, "bytes when compiled"),
        (&long, None, "at most 4096"),
    ] {
        let flaw = Pattern::parse(pattern).unwrap_err();
        assert_eq!(flaw.position, position, "{pattern}: {flaw:?}");
        assert!(flaw.message.contains(words), "{pattern}: {flaw:?}");
    }
}

#[test]
fn a_nested_repetition_takes_linear_time() {
    let pattern = Pattern::parse("/(a+)+$/").unwrap();
    let started = crate::clock::Clock::System.instant();
    assert!(!pattern.matches(&format!("{}b", "a".repeat(15_000))));
    assert!(started.elapsed().as_secs() < 5);
}

/// The slow and obvious way to match a glob.
fn naive(glob: &[char], text: &[char]) -> bool {
    match (glob, text) {
        ([], []) => true,
        (['*', glob @ ..], _) => {
            naive(glob, text) || (!text.is_empty() && naive(&['*'], &[]) && naive_rest(glob, text))
        }
        (['?', glob @ ..], [_, text @ ..]) => naive(glob, text),
        ([a, glob @ ..], [b, text @ ..]) => a == b && naive(glob, text),
        _ => false,
    }
}

fn naive_rest(glob: &[char], text: &[char]) -> bool {
    (1..=text.len()).any(|at| naive(glob, &text[at..]))
}

proptest! {
    #[test]
    fn globs_match_what_the_obvious_matcher_matches(glob in "[ab*?é]{0,7}", text in "[abé]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = naive(&chars(&glob), &chars(&text));
        prop_assert_eq!(Pattern::parse(&glob).unwrap().matches(&text), expected);
        // The same by way of a regex: braces force the translation.
        let forced = format!("{{{glob},{glob}}}");
        prop_assert_eq!(Pattern::parse(&forced).unwrap().matches(&text), expected);
    }

    #[test]
    fn no_text_makes_the_parser_fail_badly(text in "\\PC{0,40}") {
        let length = text.chars().count();
        if let Err(flaw) = Pattern::parse(&text) {
            prop_assert!(flaw.position.is_none_or(|position| position <= length), "{flaw:?}");
        }
    }

    #[test]
    fn an_escaped_text_matches_itself(text in "[\\PC]{0,20}") {
        let escaped: String = text.chars().flat_map(|char| ['\\', char]).collect();
        prop_assert!(Pattern::parse(&escaped).unwrap().matches(&text));
    }
}

#[test]
fn a_regex_that_is_nested_too_deep_is_refused_before_the_stack_is_full() {
    for (open, close) in
        [("(", ")"), ("(?:a|", ")"), ("(?:xy", "z)+"), ("", "?"), ("[a&&", "]"), ("(?:b(c", ")*){2}"), ("[", "]")]
    {
        let nested = |depth: usize| format!("{}x{}", open.repeat(depth), close.repeat(depth));
        let refused = (1..600).find(|depth| Pattern::regex(&nested(*depth)).is_err()).unwrap();
        assert!(refused > 10, "{open}{close}: {refused}");
        let flaw = Pattern::regex(&nested(250)).unwrap_err();
        assert!(
            flaw.message.contains("nested") || flaw.message.contains("bytes when compiled"),
            "{open}{close}: {flaw:?}"
        );
        for depth in refused - 1..refused + 300 {
            let _ =
                Pattern::parse(&format!("/{}/", nested(depth))).map(|pattern| super::super::needle::needles(&pattern));
        }
    }
}
