//! What later steps may ask of those that ended before, from the database: after a restart, and for the undos of another
//! execution (`rollback_of`).
//!
//! What is not stored as it was printed is unknown then, never empty: a template that asks for it fails.

use std::collections::BTreeMap;

use crate::engine::record;
use crate::execution::{Phase, StepStatus};
use crate::id::ExecutionId;
use crate::runbook::ready::{self, StepResult};
use crate::store::attempts::{self, OutputRow};
use crate::store::{AttemptEnding, Db, StoreError, Stream, steps};

use super::output::Printed;
use crate::secrets::mask::MASKED;

/// The results of the steps that are over, by step id.
pub(super) fn results(db: &mut Db, id: ExecutionId) -> Result<BTreeMap<String, StepResult>, StoreError> {
    let loaded = record::load(db, id)?;
    let of = loaded.details.rollback_of.unwrap_or(id);
    let outputs = attempts::outputs_of(db, of)?;
    let last: BTreeMap<_, _> = attempts::of_execution(db, of)?.into_iter().map(|row| (row.step_run_id, row)).collect();
    let mut results = BTreeMap::new();
    for row in steps::of_execution(db, of)? {
        let planned = loaded.plan.steps.iter().find(|step| step.id == row.step_id);
        let is_over = row.status != StepStatus::Pending && row.status != StepStatus::Running;
        let (Phase::Main, Some(planned), true) = (row.phase, planned, is_over) else { continue };
        let attempt = last.get(&row.id);
        let was_lost = attempt.is_some_and(|attempt| attempt.ending == Some(AttemptEnding::Lost));
        let read = |stream| {
            let output = attempt.and_then(|attempt| {
                outputs.iter().find(|output| output.attempt_id == attempt.id && output.stream == stream)
            });
            text(output, row.sensitive, was_lost)
        };
        let (stdout, stderr) = (read(Stream::Stdout), read(Stream::Stderr));
        let mut unknown = None;
        let mut values = BTreeMap::new();
        if row.status == StepStatus::Completed && !planned.outputs.is_empty() {
            match &stdout {
                Ok(stdout) => values = ready::outputs(&planned.outputs, stdout).unwrap_or_default(),
                Err(why) => unknown = Some(*why),
            }
        }
        let mut captured = |text: Result<String, &'static str>| match text {
            _ if !planned.capture_output => Some(String::new()),
            Ok(text) => Some(text),
            Err(why) => {
                unknown = Some(why);
                None
            }
        };
        let (stdout, stderr) = (captured(stdout), captured(stderr));
        let unknown = unknown.map(str::to_owned);
        let result =
            StepResult { status: row.status, exit_code: row.exit_code, stdout, stderr, outputs: values, unknown };
        results.insert(row.step_id, result);
    }
    Ok(results)
}

/// What a stream printed, or why that is not known. Only what printed something has a row; a text that was cut is as it
/// was for the steps that ran right after it, with the mark in it.
fn text(output: Option<&OutputRow>, is_sensitive: bool, was_lost: bool) -> Result<String, &'static str> {
    match output {
        _ if was_lost => Err("the connection was lost while it ran"),
        None => Ok(String::new()),
        Some(_) if is_sensitive => Err("it is sensitive, so that only a hash of it was stored"),
        Some(output) => match Printed::stored(output).text() {
            text if text.contains(MASKED) => Err("there was a secret in it, which is masked where it is stored"),
            text => Ok(text),
        },
    }
}
