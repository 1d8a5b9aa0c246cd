//! Credentials on the command line: by the names of local files, or on standard input, never as arguments, which every user
//! of a machine can see.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::exit::Failure;

/// What a server is logged in to with; each is read here, sent to the engine, and kept there sealed
#[derive(Args, Debug, Default)]
pub struct SecretArgs {
    /// A private key of this machine; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// File with the key's passphrase; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub passphrase_from: Option<PathBuf>,
    /// OpenSSH certificate of the key (`id_ed25519-cert.pub`)
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// File with the password; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub password_from: Option<PathBuf>,
    /// File with sudo's password; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub become_password_from: Option<PathBuf>,
}

impl SecretArgs {
    /// Puts them into a body.
    pub fn put(&self, body: &mut Map<String, Value>) -> Result<(), Failure> {
        let given = [
            ("private_key", &self.private_key),
            ("passphrase", &self.passphrase_from),
            ("certificate", &self.certificate),
            ("password", &self.password_from),
            ("become_password", &self.become_password_from),
        ];
        let stdin = given.iter().filter(|(_, path)| path.as_deref() == Some(Path::new("-"))).count();
        if stdin > 1 {
            return Err(Failure::usage("standard input (`-`) can hold one secret only".to_owned()));
        }
        for (name, path) in given {
            let Some(path) = path else { continue };
            let text = read(path)?;
            // A key keeps its last line break, without which some tools refuse it.
            let text = if name == "private_key" { text } else { text.trim_end_matches(['\r', '\n']).to_owned() };
            body.insert(name.to_owned(), text.into());
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::error(format!("{} cannot be read: {error}", path.display())))?;
    Ok(text)
}
