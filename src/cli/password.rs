//! Passwords on the command line: typed where nobody sees them, or read from a file; never an argument.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use super::time;
use crate::config::Secret;

/// Where a password comes from.
#[derive(Args, Clone, Debug)]
pub struct PasswordArgs {
    /// Read the password from this file (`-`: standard input) instead of asking for it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// A password that exists.
    pub fn read(&self, question: &str) -> Result<Secret, Failure> {
        match &self.password_file {
            Some(file) => of_file(file),
            None => ask(question),
        }
    }

    /// A new one, typed twice.
    pub fn choose(&self) -> Result<Secret, Failure> {
        if let Some(file) = &self.password_file {
            return of_file(file);
        }
        let (one, two) = (ask("New password: ")?, ask("Once more: ")?);
        if one == two { Ok(one) } else { Err(Failure::error("the two are not the same")) }
    }
}

/// The first line of a file.
pub fn of_file(file: &std::path::Path) -> Result<Secret, Failure> {
    let text = time::read_text(file)?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret::new(line.to_owned())),
        None => Err(Failure::error(format!("{}: there is nothing in its first line", file.display()))),
    }
}

fn ask(question: &str) -> Result<Secret, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask for a password")
            .hint("name a file that holds it: --password-file FILE, or - for standard input"));
    }
    let typed = rpassword::prompt_password(question);
    typed.map(Secret::new).map_err(|error| Failure::error(format!("the password cannot be read: {error}")))
}
