//! The command line: one file per command.
//!
//! A command is a clap struct with `run(self) -> Result<Exit, Failure>`, a line in [`Command`] and one in
//! [`Command::run`]. Server commands read a configuration; client commands flatten [`client::ClientArgs`] and talk HTTP,
//! so that they can do nothing that the API does not allow. Data goes to standard output by [`output::OutputArgs`],
//! everything else to standard error.

pub mod client;
mod completions;
pub mod exit;
mod healthcheck;
mod init;
pub mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Exit, Failure};

/// Alerts fire; Douse puts them out.
#[derive(Parser, Debug)]
#[command(name = "douse", version, about, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Init(init::Init),
    Completions(completions::Completions),
    Healthcheck(healthcheck::Healthcheck),
}

impl Command {
    async fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Init(command) => command.run(),
            Self::Completions(command) => command.run(),
            Self::Healthcheck(command) => command.run().await,
        }
    }
}

/// Reads the command line, runs the command, and says how it ended.
pub async fn main() -> ExitCode {
    match Cli::parse().command.run().await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::note(&output::visible(&format!("error: {failure}")));
            failure.exit.into()
        }
    }
}
