//! `douse servers import`: hosts of Ansible, ssh or a table become servers, with a report of what could not be carried.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::client::{Client, segment};
use super::exit::{Exit, Failure};
use super::output::{Column, OutputArgs, column, note, text};
use crate::inventory::import::ansible::{self, VariablesFile};
use crate::inventory::import::{Candidate, Import as Found, ssh, table};

/// Add the hosts of another tool's inventory
#[derive(Args, Debug)]
pub(super) struct Import {
    #[command(subcommand)]
    from: Source,
    /// Show what would become of each host, and change nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// Read the keys and passwords that the file names, too, and have the engine keep them sealed
    #[arg(long, global = true)]
    with_secrets: bool,
    /// Change servers that exist already; otherwise they stay as they are
    #[arg(long, global = true)]
    update: bool,
    /// Where ssh keeps the keys of hosts: those of the imported ones are pinned
    #[arg(long, global = true, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Source {
    /// INI or YAML, with `group_vars` and `host_vars` beside it
    AnsibleInventory { file: PathBuf },
    /// OpenSSH's client configuration, as `ssh -G` understands it
    SshConfig {
        file: PathBuf,
        /// These hosts instead of those that the file names
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
    },
    /// A table whose first line names the columns
    Csv { file: PathBuf },
}

const COLUMNS: &[Column] = &[
    column("name", |i| text(i, "name")),
    column("address", |i| text(i, "address")),
    column("login", |i| text(i, "login")),
    column("result", |i| text(i, "result")),
    column("not carried", |i| {
        let notes = i["notes"].as_array().map(Vec::as_slice).unwrap_or_default();
        notes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
    }),
];

impl Import {
    pub(super) async fn run(self, client: &Client, output: &OutputArgs) -> Result<Exit, Failure> {
        let found = self.read().map_err(Failure::error)?;
        for left in found.notes.iter().filter(|note| note.server.is_none()) {
            note(&format!("not carried: {}", left.message));
        }
        let known: BTreeSet<String> = if self.dry_run {
            BTreeSet::new()
        } else {
            let servers = client.list("servers", &[], usize::MAX).await?;
            servers.iter().map(|server| text(server, "name").to_ascii_lowercase()).collect()
        };
        let (mut items, mut is_whole) = (Vec::new(), true);
        for candidate in found.in_order() {
            let mut notes: Vec<String> = found.notes_of(&candidate.name).map(str::to_owned).collect();
            let body = self.body(candidate, &mut notes);
            let result = if self.dry_run {
                "would be added".to_owned()
            } else {
                let exists = known.contains(&candidate.name.to_ascii_lowercase());
                match self.send(client, candidate, &body, exists).await? {
                    Ok(done) => done.to_owned(),
                    Err(refusal) => {
                        is_whole = false;
                        format!("refused: {refusal}")
                    }
                }
            };
            let address = format!("{}:{}", text(&body, "hostname"), text(&body, "port"));
            items.push(json!({
                "name": candidate.name, "address": address.trim_end_matches(':'), "login": text(&body, "auth_type"), "result": result,
                "notes": notes,
            }));
        }
        output.list(&items, "name", COLUMNS)?;
        Ok(if is_whole { Exit::Ok } else { Exit::Error })
    }

    async fn send(
        &self,
        client: &Client,
        candidate: &Candidate,
        body: &Value,
        exists: bool,
    ) -> Result<Result<&'static str, String>, Failure> {
        let (method, path, done) = match (exists, self.update) {
            (false, _) => (Method::POST, "/api/v1/servers".to_owned(), "added"),
            (true, true) => (Method::PUT, format!("/api/v1/servers/{}", segment(&candidate.name)), "updated"),
            (true, false) => return Ok(Ok("exists already")),
        };
        let answer = client.send(method, &path, &[], Some(body), &[]).await?;
        match answer.status {
            // Of one host; the others may be well.
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT => {
                let told = answer.body.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason");
                Ok(Err(told.to_owned()))
            }
            _ => client.accept(answer).map(|_| Ok(done)),
        }
    }

    fn read(&self) -> Result<Found, String> {
        match &self.from {
            Source::AnsibleInventory { file } => {
                let text = contents(file)?;
                let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
                let is_yaml = matches!(extension, "yml" | "yaml" | "json");
                ansible::import(&text, is_yaml, &beside(file))
                    .map_err(|problem| format!("{}: {problem}", file.display()))
            }
            Source::SshConfig { file, hosts } => self.ssh_config(file, hosts),
            Source::Csv { file } => {
                let mut reader = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .from_path(file)
                    .map_err(|error| format!("{}: {error}", file.display()))?;
                let rows: Result<Vec<Vec<String>>, _> =
                    reader.records().map(|row| row.map(|row| row.iter().map(str::to_owned).collect())).collect();
                let rows = rows.map_err(|error| format!("{}: {error}", file.display()))?;
                table::import(&rows).map_err(|problem| format!("{}: {problem}", file.display()))
            }
        }
    }

    fn ssh_config(&self, file: &Path, hosts: &[String]) -> Result<Found, String> {
        let (named, left) = ssh::names(&contents(file)?);
        let mut found = Found::default();
        let named = if hosts.is_empty() {
            found
                .notes
                .extend(left.into_iter().map(|message| crate::inventory::import::Note { server: None, message }));
            named
        } else {
            hosts.to_vec()
        };
        for name in &named {
            if name.starts_with('-') {
                return Err(format!("`{name}` is not the name of a host"));
            }
            let asked = Command::new("ssh").arg("-G").arg("-F").arg(file).arg("--").arg(name).output();
            let answer = asked.map_err(|error| format!("ssh cannot be run: {error}; install openssh-client"))?;
            if !answer.status.success() {
                let said = String::from_utf8_lossy(&answer.stderr);
                return Err(format!("ssh -G -F {} {name}: {}", file.display(), said.trim()));
            }
            let answer = String::from_utf8_lossy(&answer.stdout);
            ssh::add(&mut found, name, &answer, |path| home(path).exists());
        }
        Ok(found)
    }

    /// What is sent for one host.
    fn body(&self, candidate: &Candidate, notes: &mut Vec<String>) -> Value {
        let mut body = Map::new();
        let hostname = candidate.hostname.clone().unwrap_or_else(|| candidate.name.clone());
        let mut secrets = Map::new();
        let is_key = candidate.key_file.is_some();
        let wanted: Vec<&str> = [
            ("private key", is_key),
            ("password", candidate.password.is_some()),
            ("password for sudo", candidate.become_password.is_some()),
        ]
        .into_iter()
        .filter_map(|(what, is_there)| is_there.then_some(what))
        .collect();
        if self.with_secrets {
            put_file("private_key", candidate.key_file.as_deref(), &mut secrets, notes);
            if secrets.contains_key("private_key") {
                put_file("certificate", candidate.certificate_file.as_deref(), &mut secrets, notes);
            }
            let others = [
                ("passphrase", &candidate.passphrase),
                ("password", &candidate.password),
                ("become_password", &candidate.become_password),
            ];
            for (name, secret) in others {
                let is_used = match name {
                    "passphrase" => secrets.contains_key("private_key"),
                    "password" => !secrets.contains_key("private_key"),
                    _ => true,
                };
                if let (Some(secret), true) = (secret, is_used) {
                    secrets.insert(name.to_owned(), secret.as_str().into());
                }
            }
        } else if !wanted.is_empty() {
            notes.push(format!("its {} was not sent: --with-secrets does", wanted.join(" and ")));
        }
        // Without one, what an existing server has stays; a new one uses the agent.
        let auth_type = match (secrets.contains_key("private_key"), secrets.contains_key("password")) {
            (true, _) => Some("key"),
            (false, true) => Some("password"),
            (false, false) => None,
        };
        body.insert("name".into(), candidate.name.clone().into());
        body.insert("hostname".into(), hostname.clone().into());
        body.extend(auth_type.map(|auth_type| ("auth_type".to_owned(), auth_type.into())));
        body.insert("tags".into(), json!(candidate.tags));
        let mut host_keys = candidate.host_keys.clone();
        host_keys.extend(self.host_keys(candidate, &hostname));
        if host_keys.is_empty() && candidate.protocol.is_none() {
            notes.push("its host key is not known: `douse servers scan-keys`".to_owned());
        }
        body.insert("host_keys".into(), json!(host_keys));
        match candidate.port.as_deref().map(str::parse::<u16>) {
            Some(Ok(port)) => drop(body.insert("port".into(), port.into())),
            Some(Err(_)) => notes.push(format!("`{}` is not a port", candidate.port.as_deref().unwrap_or_default())),
            None => {}
        }
        for (name, value) in [
            ("username", &candidate.username),
            ("os_type", &candidate.os_type),
            ("protocol", &candidate.protocol),
            ("group", &candidate.group),
            ("environment", &candidate.environment),
            ("bastion", &candidate.bastion),
            ("winrm_transport", &candidate.winrm_transport),
            ("domain", &candidate.domain),
        ] {
            body.extend(value.clone().map(|value| (name.to_owned(), value.into())));
        }
        for (name, value) in
            [("winrm_use_ssl", candidate.winrm_use_ssl), ("winrm_cert_validation", candidate.winrm_cert_validation)]
        {
            body.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        body.extend(secrets);
        Value::Object(body)
    }

    /// The keys under which ssh knows the host: asked of `ssh-keygen`, which reads hashed names, too.
    fn host_keys(&self, candidate: &Candidate, hostname: &str) -> Vec<String> {
        let files: Vec<PathBuf> = match &self.known_hosts {
            Some(file) => vec![file.clone()],
            None => candidate.known_hosts.iter().map(|file| home(file)).collect(),
        };
        let place = match (&candidate.known_as, candidate.port.as_deref()) {
            (Some(alias), _) => alias.clone(),
            (None, None | Some("22")) => hostname.to_owned(),
            (None, Some(port)) => format!("[{hostname}]:{port}"),
        };
        let mut keys: Vec<String> = Vec::new();
        for file in files.iter().filter(|file| file.exists()) {
            let Ok(answer) = Command::new("ssh-keygen").arg("-F").arg(&place).arg("-f").arg(file).output() else {
                continue;
            };
            for line in String::from_utf8_lossy(&answer.stdout).lines() {
                // `@revoked` and `@cert-authority` mean something else than "this is the key".
                let mut words = line.split_whitespace().filter(|_| !line.starts_with(['#', '@'])).skip(1);
                if let (Some(kind), Some(data)) = (words.next(), words.next()) {
                    let key = format!("{kind} {data}");
                    if crate::inventory::host_key::check(&key).is_ok() && !keys.contains(&key) {
                        keys.push(key);
                    }
                }
            }
        }
        keys
    }
}

/// Puts a file of this machine into a body, or notes why not.
fn put_file(name: &str, path: Option<&str>, body: &mut Map<String, Value>, notes: &mut Vec<String>) {
    let Some(path) = path else { return };
    match std::fs::read_to_string(home(path)) {
        Ok(text) => drop(body.insert(name.to_owned(), text.into())),
        Err(error) => notes.push(format!("{path} cannot be read: {error}")),
    }
}

fn contents(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

/// `~/x` in the home of whoever imports.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// The files of variables beside an Ansible inventory.
fn beside(file: &Path) -> Vec<VariablesFile> {
    let mut found = Vec::new();
    let folder = file.parent().unwrap_or(Path::new(""));
    for (kind, is_group) in [("group_vars", true), ("host_vars", false)] {
        let mut open: Vec<(PathBuf, Option<String>)> = vec![(folder.join(kind), None)];
        while let Some((folder, owner)) = open.pop() {
            let mut entries: Vec<PathBuf> =
                std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            entries.sort();
            for path in entries {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if name.starts_with('.') {
                    continue;
                }
                if path.is_dir() {
                    if owner.is_none() {
                        open.push((path, Some(name)));
                    }
                    continue;
                }
                let name = match name.rsplit_once('.') {
                    Some((stem, "yml" | "yaml" | "json")) => stem.to_owned(),
                    Some(_) | None => name,
                };
                if let Ok(text) = std::fs::read_to_string(&path) {
                    found.push(VariablesFile { is_group, name: owner.clone().unwrap_or(name), text });
                }
            }
        }
    }
    found
}
