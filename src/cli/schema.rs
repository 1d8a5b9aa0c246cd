//! `douse schema`: the JSON Schema of a runbook file, for editors.

use clap::Args;

use super::exit::{Exit, Failure};
use super::output;
use crate::runbook::parse;

/// Print the JSON Schema of runbook files, for editors
#[derive(Args, Debug)]
pub struct Schema {}

impl Schema {
    pub fn run(self) -> Result<Exit, Failure> {
        let schema =
            serde_json::to_string_pretty(&parse::schema()).map_err(|error| Failure::error(error.to_string()))?;
        output::line(&schema)?;
        Ok(Exit::Ok)
    }
}
