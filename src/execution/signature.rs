//! What an error is like, without what makes each one different: numbers, ids, times, hosts.
//!
//! Pure. `engine::statistics` counts failures by it, so that a hundred failures of one kind are one line.

use std::sync::LazyLock;

use regex::Regex;

/// Longest signature, characters: what differs after that is told as the same.
const SIGNATURE_CHARS_MAX: usize = 200;

/// In this order: what is part of something larger comes after that.
static PARTS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let parts = [
        (r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", "<id>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "<time>"),
        (r"\b[a-z][a-z0-9+.-]*://[^\s'`)]*[^\s'`):;,.]", "<url>"),
        (r"\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b", "<host>"),
        (r"\[[0-9a-fA-F:]{3,}\](:\d+)?", "<host>"),
        (
            r"\b[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*\.(com|net|org|io|de|local|internal|lan|svc|example|test|invalid)(:\d+)?\b",
            "<host>",
        ),
        (r"\b[0-9a-fA-F]{12,}\b", "<id>"),
        (r"\d+", "<n>"),
    ];
    // Written here and tested: a part that would not compile is missing, and a test fails.
    parts.into_iter().filter_map(|(pattern, name)| Some((Regex::new(pattern).ok()?, name))).collect()
});

/// The signature of an error message. `hosts` are names that stand for a machine (the execution's server).
pub fn signature(message: &str, hosts: &[&str]) -> String {
    let mut text = message.trim().to_owned();
    for host in hosts.iter().filter(|host| !host.is_empty()) {
        // With the domain behind it, if one is.
        let name = format!(r"(?-u:\b){}(?-u:\b)(\.[a-zA-Z0-9_-]*[a-zA-Z0-9_])*", regex::escape(host));
        if let Ok(word) = Regex::new(&name) {
            text = word.replace_all(&text, "<host>").into_owned();
        }
    }
    for (part, name) in PARTS.iter() {
        text = part.replace_all(&text, *name).into_owned();
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(SIGNATURE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_each_error_different_is_taken_out() {
        for (message, expected) in [
            ("step 2 `Restart` ended with exit code 3", "step <n> `Restart` ended with exit code <n>"),
            ("web1 (10.0.0.11:22): connection refused", "<host> (<host>): connection refused"),
            ("web1.example.com: no route to host", "<host>: no route to host"),
            ("host web1 is down since 2026-03-03T10:00:00.123Z", "host <host> is down since <time>"),
            ("at 10:11:12 job 0198c1d2-0000-7000-8000-000000000001 failed", "at <time> job <id> failed"),
            ("GET http://10.0.0.1:9090/api?x=1: 503", "GET <url>: <n>"),
            ("commit deadbeefcafe01 not found", "commit <id> not found"),
            ("[fe80::1]:22 timed out\n\n  after 10s", "<host> timed out after <n>s"),
            ("", ""),
        ] {
            assert_eq!(signature(message, &["web1"]), expected);
        }
        assert_eq!(PARTS.len(), 9, "every part compiles");
        assert_eq!(signature(&"é".repeat(1_000), &[]).chars().count(), SIGNATURE_CHARS_MAX);
    }

    #[test]
    fn errors_that_differ_in_nothing_else_have_one_signature() {
        let of = |n: u32| signature(&format!("web{n}: unit nginx-{n}.service failed (pid {n})"), &[&format!("web{n}")]);
        assert_eq!(of(1), of(4_711));
    }
}
