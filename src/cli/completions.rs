//! `douse completions`: a script that teaches a shell our commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::{Exit, Failure};
use super::{Cli, output};

/// Print a completion script
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell to complete in
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "douse", &mut script);
        output::write(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Ok)
    }
}
