//! The forms in which a secret could be printed: as it is, each of its lines, in base64, URL-encoded, JSON-escaped, in hex, as
//! a list of bytes. What a command does to a secret otherwise (reversing it, printing it letter by letter) cannot be known.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::audit::canonical::hex;

/// Shorter ones are not looked for: they would make holes everywhere and hide nothing.
pub(super) const CHARS_MIN: usize = 4;

/// Longer ones are not looked for byte by byte: what finds the lines of hundreds of private keys would take up hundreds of MiB.
const BYTEWISE_BYTES_MAX: usize = 64;

/// All forms of `value`, as a whole and line by line.
pub(super) fn of(value: &str) -> Vec<String> {
    let whole = value.trim();
    let lines = whole.lines().map(str::trim).filter(|line| *line != whole);
    let mut forms = Vec::new();
    for secret in [value, whole].into_iter().chain(lines).filter(|text| text.chars().count() >= CHARS_MIN) {
        forms.push(secret.to_owned());
        forms.push(url_encoded(secret, "%20"));
        forms.push(url_encoded(secret, "+"));
        forms.push(json_escaped(secret));
        if secret.len() <= BYTEWISE_BYTES_MAX {
            forms.push(hex(secret.as_bytes()));
            forms.push(secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", "));
        }
        for skipped in 0..3 {
            forms.extend(base64_inside(secret.as_bytes(), skipped));
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The characters of `secret`'s base64 that do not depend on what stands before it, when that is `skipped` bytes of a
/// group of three; once up to where they depend on what follows, once for a secret that ends the text; in both alphabets.
fn base64_inside(secret: &[u8], skipped: usize) -> Vec<String> {
    let inner = secret.get((3 - skipped) % 3..).unwrap_or_default();
    let (whole, rest) = inner.split_at(inner.len() - inner.len() % 3);
    let mut encoded = vec![STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)];
    if !rest.is_empty() {
        encoded.extend([STANDARD.encode(inner), STANDARD_NO_PAD.encode(inner), URL_SAFE_NO_PAD.encode(inner)]);
    }
    encoded.into_iter().filter(|form| form.len() >= 2 * CHARS_MIN).collect()
}

/// Percent-encoding of everything but unreserved characters (RFC 3986, section 2.3).
fn url_encoded(text: &str, space: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else if byte == b' ' {
            encoded.push_str(space);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// As it stands between the quotes of a JSON text.
fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}
