//! Tests of parsing: the seed's format, problems and their places.

use super::*;

const SEED: &str = include_str!("../../../runbooks/restart-service.yml");

#[test]
fn seed_example_parses() {
    let parsed = parse("x.yml", SEED);
    assert_eq!(parsed.problems, []);
    let runbook = parsed.runbook.unwrap();
    assert_eq!(runbook.name, "restart-service");
}
