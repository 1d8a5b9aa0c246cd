//! `encryption`: where the master keys come from. They are read here and never shown.
//!
//! A file has to be its owner's alone, and must not lie beside the database: whoever copies the data folder shall not get the
//! key along with it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::reader::{At, MapReader, Reading};
use super::tree::Place;
use super::{Encryption, Storage};
use crate::secrets::Keyring;

/// Largest key file, bytes: hundreds of keys.
const FILE_BYTES_MAX: u64 = 64 * 1024;

pub(super) fn read<'r>(reading: &'r Reading<'r>, top: &mut MapReader<'r, '_>, storage: &Storage) -> Option<Encryption> {
    top.map("encryption", |map| {
        let lost_keys: Vec<String> = map.text_or_list("lost_keys").into_iter().map(|id| id.value).collect();
        let given = [map.text("master_key"), map.text("master_key_file"), map.text("master_key_credential")];
        let found: Vec<&At<String>> = given.iter().flatten().collect();
        match found.as_slice() {
            [] => {
                map.missing("master_key_file");
                return None;
            }
            [_] => {}
            [_, second, ..] => {
                let message = "`encryption` takes one of master_key_file, master_key_credential and master_key";
                reading.problem(second.place.problem("E103", message));
                return None;
            }
        }
        let [value, file, credential] = given;
        let (text, at, source) = match (value, file, credential) {
            (Some(value), ..) => {
                let source = format!("the variable {}", value.place.file);
                (written(reading, &value)?, value, source)
            }
            (None, Some(file), _) => {
                let path = reading.path(&file);
                if !reading.reads_secrets && !path.exists() {
                    return Some(Encryption { keys: None, source: path.display().to_string(), lost_keys });
                }
                check_file(reading, &file, &path, storage)?;
                (contents(reading, &file.place, &path)?, file, path.display().to_string())
            }
            (None, None, credential) => {
                let credential = credential?;
                let source = format!("the credential {}", credential.value);
                let Some(folder) = &reading.credentials_directory else {
                    if reading.reads_secrets {
                        let message = "`encryption.master_key_credential`: CREDENTIALS_DIRECTORY is not set";
                        let hint = format!("start Douse by systemd, with LoadCredential={}:/path", credential.value);
                        reading.problem(credential.place.problem("E130", message).hint(hint));
                    }
                    return Some(Encryption { keys: None, source, lost_keys });
                };
                if credential.value.contains('/') || credential.value.starts_with('.') {
                    let message = format!("`{}` is not the name of a credential", credential.value.escape_debug());
                    reading.problem(credential.place.problem("E103", message));
                    return None;
                }
                (contents(reading, &credential.place, &folder.join(&credential.value))?, credential, source)
            }
        };
        match Keyring::parse(&text) {
            Ok(keys) => Some(Encryption { keys: Some(Arc::new(keys)), source, lost_keys }),
            Err(problem) => {
                let hint = "`douse keys generate FILE` makes a file with one key";
                reading
                    .problem(at.place.problem("E130", format!("{source} holds no master keys: {problem}")).hint(hint));
                None
            }
        }
    })
    .flatten()
}

/// A key in the configuration itself would be copied with it; from the environment it may come.
fn written(reading: &Reading<'_>, value: &At<String>) -> Option<Zeroizing<String>> {
    if value.place.is_variable() {
        return Some(Zeroizing::new(value.value.clone()));
    }
    let problem = value.place.problem("E103", "a master key may not stand in the configuration");
    reading.problem(problem.hint(
        "put it into a file of mode 0600 and name that as `master_key_file`, or set DOUSE_ENCRYPTION__MASTER_KEY",
    ));
    None
}

fn check_file(reading: &Reading<'_>, file: &At<String>, path: &Path, storage: &Storage) -> Option<()> {
    let refuse = |message: String, hint: &str| {
        reading.problem(file.place.problem("E130", format!("`encryption.master_key_file`: {message}")).hint(hint));
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            refuse(format!("{} cannot be read: {error}", path.display()), "`douse keys generate FILE` makes one");
            return None;
        }
    };
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        refuse(format!("{} is no file of keys", path.display()), "it holds lines `id:hex`");
        return None;
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        refuse(format!("{} can be read by others (mode {mode:04o})", path.display()), "chmod 0600 it");
        return None;
    }
    let data = storage.url.expose().strip_prefix("sqlite://").and_then(|path| Path::new(path).parent());
    let data = data.and_then(|folder| std::fs::canonicalize(folder).ok());
    let real = std::fs::canonicalize(path).ok();
    if let (Some(data), Some(real)) = (data, real)
        && real.starts_with(&data)
    {
        refuse(
            format!("{} lies in the data folder {}", path.display(), data.display()),
            "keep the key elsewhere: whoever copies the data would have it, too",
        );
        return None;
    }
    Some(())
}

fn contents(reading: &Reading<'_>, place: &Place, path: &Path) -> Option<Zeroizing<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(error) => {
            let message = format!("the master keys cannot be read from {}: {error}", path.display());
            reading.problem(place.problem("E130", message));
            None
        }
    }
}
