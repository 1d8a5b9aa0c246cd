//! Explaining: what would be done about an alert now, without writing anything.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Policy;
use crate::execution::Origin;
use crate::gate::explain::{Explanation, TriggerExplanation};
use crate::store::{Db, StoreError};
use crate::trigger::Standing;
use crate::trigger::explain::explain_all;

use super::ask::ask;
use super::prepare::{Incident, Wanted};

/// Every trigger, whether it matches and why not, and for those that do every gate's answer. Only reads.
pub fn explain(db: &mut Db, policy: &Policy, incident: &Incident, now: Timestamp) -> Result<Explanation, StoreError> {
    // A trigger's window is asked once, when the episode starts.
    let at = incident.episode().map_or(now, |episode| episode.created_at);
    let none = BTreeMap::new();
    let mut triggers = Vec::new();
    for explained in explain_all(&policy.triggers, &incident.source, &incident.alert, at) {
        let (runbook, trigger) = (&explained.entry.runbook, explained.entry.trigger.name());
        let mut told = TriggerExplanation {
            runbook: runbook.clone(),
            trigger: trigger.to_owned(),
            matches: false,
            why_not: Vec::new(),
            server: None,
            gates: Vec::new(),
        };
        match &explained.standing {
            Standing::NotMatched => {
                let unmet = explained.findings.iter().filter(|finding| !finding.matched);
                told.why_not = unmet.map(|finding| finding.message.clone()).collect();
            }
            Standing::Shadowed { runbook, trigger } => {
                let winner =
                    format!("trigger `{trigger}` of `{runbook}` comes first and does not say `continue: true`");
                told.why_not = vec![winner];
            }
            Standing::Selected => {
                let wanted = Wanted {
                    runbook,
                    trigger: Some(trigger),
                    incident: Some(incident),
                    server: None,
                    parameters: &none,
                };
                let asked = ask(db, policy, Origin::Alert, &wanted, Duration::ZERO, now)?;
                told.matches = true;
                told.server = asked.prepared.server.as_ref().map(|server| server.name.clone());
                told.gates = asked.evaluation.verdicts;
            }
        }
        triggers.push(told);
    }
    Ok(Explanation { alert: headline(incident, now), triggers })
}

fn headline(incident: &Incident, now: Timestamp) -> String {
    let alert = &incident.alert;
    let named = |text: &str, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { shown(text) };
    let since = crate::gate::phrase::ago(alert.starts_at, now);
    let severity = if alert.severity().is_empty() { String::new() } else { format!(" ({})", shown(alert.severity())) };
    format!(
        "{}{severity} on {}, {}, started {since}",
        named(alert.name(), "an alert without a name"),
        named(alert.instance(), "no instance"),
        alert.status.as_str(),
    )
}

/// Bounded and printable: the value comes from outside.
fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
