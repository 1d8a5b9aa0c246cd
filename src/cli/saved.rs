//! Where `douse login` keeps a session: one file for each engine, for the user alone.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use super::exit::Failure;

/// The file for the engine at `base`; `None` where there is no home.
fn path(base: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").filter(|home| !home.is_empty())?).join(".local/state"),
    };
    // Never sent to another engine than the one that gave it: each address has a file of its own.
    let name: String = base.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect();
    Some(folder.join("douse/logins").join(name))
}

/// The session at `base`, if one is kept.
pub(super) fn read(base: &str) -> Option<String> {
    let text = fs::read_to_string(path(base)?).ok()?;
    // The first line repeats the address, for two addresses whose files are called alike.
    let (of, token) = text.split_once('\n')?;
    (of == base).then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Keeps the session at `base`.
pub(super) fn write(base: &str, token: &str) -> Result<PathBuf, Failure> {
    let path = path(base).ok_or_else(|| Failure::error("there is no folder to keep the log-in in: set HOME"))?;
    let at = |error: std::io::Error| Failure::error(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(at)?;
    }
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // A file that is there keeps its mode; a new one never had another.
    let _none_or_old = fs::remove_file(&fresh);
    let mut file = options.open(&fresh).map_err(at)?;
    file.write_all(format!("{base}\n{token}\n").as_bytes()).map_err(at)?;
    fs::rename(&fresh, &path).map_err(at)?;
    Ok(path)
}

/// Forgets the session at `base`.
pub(super) fn forget(base: &str) {
    if let Some(path) = path(base) {
        let _none = fs::remove_file(path);
    }
}
