//! `douse init`: a folder to begin with, that passes `douse check`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Exit, Failure};
use super::output;
use crate::audit::canonical::sha256_hex;
use crate::secrets::keyring;

/// Write a configuration, a runbook and a list of servers to begin with
#[derive(Args, Debug)]
pub struct Init {
    /// Folder to write into; made if it is missing
    #[arg(default_value = ".")]
    dir: PathBuf,
}

const FILES: &[(&str, &str)] = &[
    ("douse.yml", include_str!("douse.yml")),
    ("servers.yml", include_str!("servers.yml")),
    ("runbooks/restart-service.yml", include_str!("restart-service.yml")),
    (".gitignore", "data/\nsecrets/\n"),
];

/// Made fresh for each folder.
const TOKENS: &[&str] = &["secrets/admin.token", "secrets/webhook.token"];

/// The key of the audit chain, made fresh, too.
const AUDIT_KEY: &str = "secrets/audit.key";

impl Init {
    /// Writes all files or, when one of them is there already, none.
    pub fn run(self) -> Result<Exit, Failure> {
        let names = FILES.iter().map(|(name, _)| *name).chain(TOKENS.iter().copied()).chain([AUDIT_KEY]);
        let there: Vec<_> = names.filter(|name| self.dir.join(name).exists()).collect();
        if !there.is_empty() {
            let message = format!("{}: there already: {}", self.dir.display(), there.join(", "));
            return Err(
                Failure::error(message).hint("nothing was written; name another folder, as in `douse init DIR`")
            );
        }
        for (name, text) in FILES {
            write(&self.dir.join(name), text, 0o644)?;
        }
        for name in TOKENS {
            write(&self.dir.join(name), &format!("{}\n", token()), 0o600)?;
        }
        write(&self.dir.join(AUDIT_KEY), &keyring::generate("1").map_err(Failure::error)?, 0o600)?;
        let dir = self.dir.display();
        output::note(&format!(
            "Wrote {dir}/douse.yml, servers.yml, runbooks/restart-service.yml, and two tokens and the audit log's key in \
             {dir}/secrets.\n\
             Next:\n  \
             douse check {dir}\n  \
             douse serve --config.file={dir}/douse.yml\n  \
             douse alerts list --token-file {dir}/secrets/admin.token"
        ));
        Ok(Exit::Ok)
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let at = |error: std::io::Error| Failure::error(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(at)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(at)
}

/// 256 bits in hex, from the random part (74 bits) of several ids.
pub(super) fn token() -> String {
    let seed: String = (0..4).map(|_| crate::id::AuditEventId::new().to_string()).collect();
    sha256_hex(seed.as_bytes())
}
