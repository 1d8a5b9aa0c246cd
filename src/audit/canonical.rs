//! Canonical JSON (RFC 8785) and the hash of a payload over it.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256, hex, of `payload` as RFC 8785 canonical JSON: the same payload in another key order has the same hash.
///
/// Canonical JSON rounds integers above 2^53: keep ids as strings.
pub fn payload_hash(payload: &Value) -> Result<String, serde_json::Error> {
    Ok(sha256_hex(&serde_json_canonicalizer::to_vec(payload)?))
}

/// SHA-256 of `bytes`, hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// `bytes` as hex, in lower case. Nothing of them is left elsewhere in memory.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn key_order_does_not_change_the_hash() {
        let one = json!({"stepId": "restart", "actionType": "RESTART_SERVICE", "status": "SUCCEEDED"});
        let two = json!({"status": "SUCCEEDED", "stepId": "restart", "actionType": "RESTART_SERVICE"});
        assert_eq!(payload_hash(&one).unwrap(), payload_hash(&two).unwrap());
    }

    #[test]
    fn another_value_changes_the_hash() {
        assert_ne!(payload_hash(&json!({"a": 1})).unwrap(), payload_hash(&json!({"a": 2})).unwrap());
    }

    #[test]
    fn sha256_of_nothing_is_the_known_one() {
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
