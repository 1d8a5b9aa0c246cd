//! Alertmanager's identity of a label set: FNV-1a 64 over the sorted labels.
//!
//! Only computed for alerts whose body has none; what a sender gave is stored as sent. Called from `wire`.

use super::Labels;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
/// Ends each name and each value; no byte of UTF-8 can be this.
const SEPARATOR: u8 = 0xff;

/// The fingerprint of `labels` as 16 hex digits: what `LabelSet.Fingerprint` of `prometheus/common` gives.
pub fn fingerprint(labels: &Labels) -> String {
    let mut hash = OFFSET;
    for (name, value) in labels {
        for part in [name, value] {
            for byte in part.bytes().chain([SEPARATOR]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
            }
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_what_alertmanager_computed() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        for (pairs, expected) in [
            (&[("alertname", "FutureStart")][..], "3ae10dec5e477379"),
            (&[("node", "db1"), ("alertname", "AmtoolEnd")], "da1349820d7fb68c"),
            (&[("alertname", "Weird"), ("instance", "{x=\"y\"}"), ("weird", "a\"b")], "19f96eff2a822c0e"),
        ] {
            assert_eq!(fingerprint(&labels(pairs)), expected, "{pairs:?}");
        }
    }
}
