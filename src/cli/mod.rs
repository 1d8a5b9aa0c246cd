//! The command line: one file per command.
//!
//! A command is a clap struct with `run(self) -> Result<Exit, Failure>`, a line in [`Command`] and one in
//! [`Command::run`]. Server commands read a configuration; client commands flatten [`client::ClientArgs`] and talk HTTP,
//! so that they can do nothing that the API does not allow. Data goes to standard output by [`output::OutputArgs`],
//! everything else to standard error.

mod alerts;
mod approvals;
mod audit;
mod blackouts;
mod breakers;
mod check;
pub mod client;
mod completions;
mod db;
pub mod demo;
mod executions;
pub mod exit;
mod explain;
mod follow;
mod healthcheck;
mod holds;
mod import;
mod init;
mod keys;
mod login;
pub mod output;
mod password;
mod pause;
mod plan;
mod run;
mod runbooks;
mod saved;
mod scan_keys;
mod schema;
mod secret_args;
mod serve;
mod servers;
mod time;
mod tokens;
mod users;

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

/// In the order of the help: start, write, look, act, the rest.
#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::Serve),
    Init(init::Init),
    Check(check::Check),
    Explain(explain::Explain),
    Plan(plan::PlanCommand),
    Run(run::Run),
    Approvals(approvals::Approvals),
    Executions(executions::Executions),
    Alerts(alerts::Alerts),
    Runbooks(runbooks::Runbooks),
    Servers(servers::Servers),
    Keys(keys::Keys),
    Blackouts(blackouts::Blackouts),
    Breakers(breakers::Breakers),
    Audit(audit::Audit),
    Holds(holds::Holds),
    Db(db::Database),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Login(login::Login),
    Logout(login::Logout),
    Users(users::Users),
    Tokens(tokens::Tokens),
    Demo(demo::Demo),
    Schema(schema::Schema),
    Completions(completions::Completions),
    Healthcheck(healthcheck::Healthcheck),
}

impl Command {
    async fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Serve(command) => command.run().await,
            Self::Init(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Explain(command) => command.run().await,
            Self::Plan(command) => command.run(),
            Self::Run(command) => command.run().await,
            Self::Approvals(command) => command.run().await,
            Self::Executions(command) => command.run().await,
            Self::Alerts(command) => command.run().await,
            Self::Runbooks(command) => command.run().await,
            Self::Servers(command) => command.run().await,
            Self::Keys(command) => command.run().await,
            Self::Blackouts(command) => command.run().await,
            Self::Breakers(command) => command.run().await,
            Self::Audit(command) => command.run().await,
            Self::Holds(command) => command.run().await,
            Self::Db(command) => command.run().await,
            Self::Pause(command) => command.run().await,
            Self::Resume(command) => command.run().await,
            Self::Login(command) => command.run().await,
            Self::Logout(command) => command.run().await,
            Self::Users(command) => command.run().await,
            Self::Tokens(command) => command.run().await,
            Self::Demo(command) => command.run().await,
            Self::Schema(command) => command.run(),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::Cli::command().debug_assert();
    }
}
