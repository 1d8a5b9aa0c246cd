//! Explaining a decision in words: which triggers matched or why not, and every gate's answer.
//!
//! Pure text. `engine/gating` fills an [`Explanation`]; the API returns it, `douse explain` prints [`render`] of it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::{Evaluation, GateVerdict, Verdict};

/// What would be done about an alert, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// One line that names the alert.
    pub alert: String,
    /// Every trigger, in the order in which they are tried.
    pub triggers: Vec<TriggerExplanation>,
}

/// One trigger's part.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TriggerExplanation {
    pub runbook: String,
    pub trigger: String,
    /// All its patterns match, and no trigger before it ended the search.
    pub matches: bool,
    /// Why it does not.
    pub why_not: Vec<String>,
    pub server: Option<String>,
    /// Every gate's answer, for one that matches.
    pub gates: Vec<GateVerdict>,
}

impl TriggerExplanation {
    /// The worst of the gates' answers; `None` for a trigger that does not match.
    pub fn evaluation(&self) -> Option<Evaluation> {
        self.matches.then(|| Evaluation::of(self.gates.clone()))
    }
}

impl Explanation {
    /// A gate stands in the way of each trigger that matches, or none matches.
    pub fn is_blocked(&self) -> bool {
        !self.triggers.iter().filter_map(TriggerExplanation::evaluation).any(|evaluation| evaluation.is_going_ahead())
    }
}

/// The whole explanation as text.
pub fn render(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", explanation.alert);
    let (matching, others): (Vec<_>, Vec<_>) = explanation.triggers.iter().partition(|trigger| trigger.matches);
    if matching.is_empty() {
        text.push_str("\nNo trigger matches, so nothing would run.\n");
    }
    for trigger in matching {
        render_matching(&mut text, trigger);
    }
    if !others.is_empty() {
        text.push_str("\nTriggers that do not match:\n");
        for TriggerExplanation { runbook, trigger, why_not, .. } in others {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {runbook} / {trigger}: {}", why_not.join("; "));
        }
    }
    text
}

/// The gates' answers as text, one line each; objections are marked.
pub fn render_gates(gates: &[GateVerdict]) -> String {
    let mut text = String::new();
    let width = gates.iter().map(|gate| gate.gate.as_str().len()).max().unwrap_or(0);
    for GateVerdict { gate, verdict, message, .. } in gates {
        let mark = if *verdict == Verdict::Allow { ' ' } else { '!' };
        let _ = writeln!(text, "  {mark} {gate:width$}  {:7}  {message}", verdict.as_str());
    }
    text
}

fn render_matching(text: &mut String, trigger: &TriggerExplanation) {
    let evaluation = Evaluation::of(trigger.gates.clone());
    let server = trigger.server.as_deref().map_or(String::new(), |server| format!(" on {server}"));
    let _ = writeln!(text, "\nTrigger “{}” matches → runbook `{}`{server}", trigger.trigger, trigger.runbook);
    let _ = writeln!(text, "  {}", conclusion(&evaluation));
    text.push_str(&render_gates(&trigger.gates));
}

fn conclusion(evaluation: &Evaluation) -> String {
    let objections = evaluation.objections().count();
    let others = if objections > 1 { format!(" ({} objections in all)", objections) } else { String::new() };
    match (evaluation.outcome, evaluation.leading()) {
        (Verdict::Allow, _) | (_, None) => "It would run: no gate objects.".to_owned(),
        (Verdict::Approve, Some(leading)) => format!("It would wait for a person's yes: {}{others}.", leading.message),
        (Verdict::Hold(Some(until)), Some(leading)) => {
            format!("It would wait, and be asked again at {}: {}{others}.", clock(until), leading.message)
        }
        (Verdict::Hold(None), Some(leading)) => {
            format!("It would wait until something is released: {}{others}.", leading.message)
        }
        (Verdict::Refuse, Some(leading)) => format!("It would not run: {}{others}.", leading.message),
    }
}

fn clock(time: crate::clock::Timestamp) -> String {
    time.utc().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
