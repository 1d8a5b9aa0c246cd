//! A table, one server a row: the first row names the columns, as the API names its fields.

use zeroize::Zeroizing;

use super::{Candidate, Import};

/// The columns that are known.
pub const COLUMNS: [&str; 20] = [
    "name",
    "hostname",
    "port",
    "username",
    "os_type",
    "protocol",
    "key_file",
    "certificate_file",
    "passphrase",
    "password",
    "become_password",
    "host_key",
    "tags",
    "group",
    "environment",
    "bastion",
    "domain",
    "winrm_transport",
    "winrm_use_ssl",
    "winrm_cert_validation",
];

/// Reads `rows`, of which the first one names the columns; several tags or host keys in one cell are parted by `;`.
pub fn import(rows: &[Vec<String>]) -> Result<Import, String> {
    let (header, rows) = rows.split_first().ok_or("the file is empty")?;
    let header: Vec<String> = header.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    if !header.iter().any(|name| name == "name") {
        return Err(format!(
            "the first line must name the columns, `name` among them; known are {}",
            COLUMNS.join(", ")
        ));
    }
    let mut import = Import::default();
    for name in header.iter().filter(|name| !COLUMNS.contains(&name.as_str())) {
        import.note_all(format!("the column `{}` is not known, and was left", name.escape_debug()));
    }
    for (number, row) in (2..).zip(rows) {
        let cell = |column: &str| {
            let value = header.iter().zip(row).find(|(name, _)| *name == column).map(|(_, value)| value.trim());
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let list = |column: &str| {
            let cell = cell(column).unwrap_or_default();
            cell.split(';').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let Some(name) = cell("name") else {
            import.note_all(format!("row {number} has no name, and was left"));
            continue;
        };
        let secret = |column: &str| cell(column).map(Zeroizing::new);
        let truth =
            |column: &str| cell(column).map(|text| matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "1"));
        import.servers.push(Candidate {
            name,
            hostname: cell("hostname"),
            port: cell("port"),
            username: cell("username"),
            os_type: cell("os_type"),
            protocol: cell("protocol"),
            tags: list("tags").into_iter().collect(),
            group: cell("group"),
            environment: cell("environment"),
            bastion: cell("bastion"),
            host_keys: list("host_key"),
            key_file: cell("key_file"),
            certificate_file: cell("certificate_file"),
            known_hosts: Vec::new(),
            known_as: None,
            passphrase: secret("passphrase"),
            password: secret("password"),
            become_password: secret("become_password"),
            winrm_transport: cell("winrm_transport"),
            winrm_use_ssl: truth("winrm_use_ssl"),
            winrm_cert_validation: truth("winrm_cert_validation"),
            domain: cell("domain"),
        });
    }
    Ok(import)
}
