//! Ansible inventories, INI and YAML: groups, their variables, and what they say about connecting.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::{Candidate, Import, ansible_ini, ansible_yaml};

/// Variables, by name.
pub(super) type Variables = BTreeMap<String, String>;

/// What an inventory says, before it is understood.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) hosts: BTreeMap<String, Variables>,
    /// In the order in which they were written.
    pub(super) order: Vec<String>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Lines that could not be read.
    pub(super) problems: Vec<String>,
}

/// One group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) hosts: BTreeSet<String>,
    pub(super) children: BTreeSet<String>,
    pub(super) variables: Variables,
}

impl Inventory {
    pub(super) fn host(&mut self, name: &str) -> &mut Variables {
        if !self.hosts.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.hosts.entry(name.to_owned()).or_default()
    }

    pub(super) fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// The groups of a host, the outermost first.
    fn groups_of(&self, host: &str) -> Vec<&str> {
        let mut found: Vec<(usize, &str)> = Vec::new();
        let mut open: Vec<&str> =
            self.groups.iter().filter(|(_, group)| group.hosts.contains(host)).map(|(name, _)| name.as_str()).collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            found.push((self.depth(name, 0), name));
            open.extend(
                self.groups.iter().filter(|(_, group)| group.children.contains(name)).map(|(name, _)| name.as_str()),
            );
        }
        found.sort_unstable();
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// Groups around a group; a circle ends where it is deeper than any inventory.
    fn depth(&self, name: &str, so_far: usize) -> usize {
        if so_far > 32 {
            return so_far;
        }
        let parents = self.groups.iter().filter(|(_, group)| group.children.contains(name));
        parents.map(|(parent, _)| self.depth(parent, so_far + 1)).max().unwrap_or(so_far)
    }
}

/// A file of `group_vars` or `host_vars`.
pub struct VariablesFile {
    pub is_group: bool,
    /// Of the group or host.
    pub name: String,
    pub text: String,
}

/// Reads an inventory; `more` are the files beside it.
pub fn import(text: &str, is_yaml: bool, more: &[VariablesFile]) -> Result<Import, String> {
    let mut inventory = if is_yaml { ansible_yaml::parse(text)? } else { ansible_ini::parse(text) };
    let mut import = Import::default();
    for file in more {
        let variables = ansible_yaml::variables(&file.text).map_err(|problem| format!("{}: {problem}", file.name))?;
        let place = match (file.is_group, inventory.hosts.contains_key(&file.name)) {
            (true, _) => &mut inventory.group(&file.name).variables,
            (false, true) => inventory.host(&file.name),
            (false, false) => {
                import.note_all(format!("host_vars of `{}`, which is no host of the inventory", file.name));
                continue;
            }
        };
        place.extend(variables);
    }
    for problem in std::mem::take(&mut inventory.problems) {
        import.note_all(problem);
    }
    let mut jumps = Vec::new();
    for name in &inventory.order {
        let mut variables = inventory.groups.get("all").map(|all| all.variables.clone()).unwrap_or_default();
        let groups: Vec<&str> =
            inventory.groups_of(name).into_iter().filter(|group| *group != "all" && *group != "ungrouped").collect();
        for group in &groups {
            variables.extend(inventory.groups.get(*group).map(|group| group.variables.clone()).unwrap_or_default());
        }
        variables.extend(inventory.hosts.get(name).cloned().unwrap_or_default());
        let mut candidate = Candidate {
            name: name.clone(),
            tags: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Candidate::default()
        };
        let direct: Vec<&&str> = groups
            .iter()
            .filter(|group| inventory.groups.get(**group).is_some_and(|group| group.hosts.contains(name)))
            .collect();
        candidate.group = direct.first().map(|group| (**group).to_owned());
        if let [first, _, ..] = direct.as_slice() {
            let all = direct.iter().map(|group| **group).collect::<Vec<_>>().join(", ");
            import.note(name, format!("is in several groups ({all}); its `group` is {first}, the others are tags"));
        }
        if let Some(jump) = connect(&mut candidate, variables, &mut import) {
            let Some(jump) = jump else { continue };
            jumps.push((name.clone(), jump));
        }
        import.servers.push(candidate);
    }
    for (name, jump) in jumps {
        import.jump(&name, &jump);
    }
    Ok(import)
}

/// Carries what the variables say. `Some(None)`: the host cannot be a server; `Some(jump)`: it is reached through others.
fn connect(candidate: &mut Candidate, variables: Variables, import: &mut Import) -> Option<Option<String>> {
    let name = candidate.name.clone();
    let (mut jump, mut others, mut become_user) = (None, 0, None);
    let mut scheme_is_http = false;
    for (key, value) in variables {
        if key.starts_with("ansible_") && value.starts_with("$ANSIBLE_VAULT") {
            import.note(
                &name,
                format!("`{key}` is encrypted by ansible-vault: give it by `douse servers credentials {name}`"),
            );
            continue;
        }
        if key.starts_with("ansible_") && value.contains("{{") {
            import.note(&name, format!("`{key}` is a template, which is not evaluated"));
            continue;
        }
        let secret = || Some(Zeroizing::new(value.clone()));
        match key.as_str() {
            "ansible_host" | "ansible_ssh_host" => candidate.hostname = Some(value),
            "ansible_port" | "ansible_ssh_port" => candidate.port = Some(value),
            "ansible_user" | "ansible_ssh_user" => match value.split_once('\\') {
                Some((domain, user)) => {
                    (candidate.domain, candidate.username) = (Some(domain.to_owned()), Some(user.to_owned()));
                }
                None => candidate.username = Some(value),
            },
            "ansible_ssh_private_key_file" | "ansible_private_key_file" => candidate.key_file = Some(value),
            "ansible_password" | "ansible_ssh_pass" | "ansible_ssh_password" => candidate.password = secret(),
            "ansible_become_password" | "ansible_become_pass" | "ansible_sudo_pass" => {
                candidate.become_password = secret()
            }
            "ansible_connection" => match value.as_str() {
                "ssh" | "smart" | "paramiko" | "paramiko_ssh" => {}
                "winrm" | "psrp" => candidate.protocol = Some("winrm".to_owned()),
                other => {
                    import.note(&name, format!("was left out: `ansible_connection: {other}` is neither SSH nor WinRM"));
                    return Some(None);
                }
            },
            "ansible_ssh_common_args" | "ansible_ssh_extra_args" => {
                let (found, rest) = arguments(&value);
                jump = found.or(jump);
                if !rest.is_empty() {
                    import.note(&name, format!("`{key}`: {rest} was not carried"));
                }
            }
            "ansible_winrm_transport" => match value.as_str() {
                "kerberos" | "ntlm" | "certificate" => candidate.winrm_transport = Some(value),
                other => import.note(&name, format!("`{key}: {other}` is none of kerberos, ntlm, certificate")),
            },
            "ansible_winrm_scheme" => scheme_is_http = value == "http",
            "ansible_winrm_server_cert_validation" => candidate.winrm_cert_validation = Some(value != "ignore"),
            "ansible_become_user" => become_user = Some(value),
            "ansible_become_method" if value == "sudo" => {}
            // What only Ansible needs on a host, or only says whether, not how.
            "ansible_python_interpreter" | "ansible_become" | "ansible_shell_type" => {}
            key if key.starts_with("ansible_") => import.note(&name, format!("`{key}` was not carried")),
            _ => others += 1,
        }
    }
    if candidate.protocol.is_some() {
        candidate.winrm_use_ssl = Some(!scheme_is_http);
    } else {
        (candidate.winrm_transport, candidate.winrm_cert_validation) = (None, None);
    }
    if let Some(user) = become_user.filter(|user| user != "root") {
        import.note(&name, format!("`ansible_become_user: {user}`: a step says `become: {user}` itself"));
    }
    if others > 0 {
        import.note(&name, format!("{others} variables are not about connecting, and were left"));
    }
    jump.map(Some)
}

/// The jump in ssh's arguments, and what else they say.
fn arguments(text: &str) -> (Option<String>, String) {
    let words = ansible_ini::words(text);
    let (mut jump, mut rest) = (None, Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let option = match word.as_str() {
            "-J" => {
                jump = words.next();
                continue;
            }
            "-o" => words.next().unwrap_or_default(),
            word if word.starts_with("-o") => word.trim_start_matches("-o").to_owned(),
            word if word.starts_with("-J") => {
                jump = Some(word.trim_start_matches("-J").to_owned());
                continue;
            }
            other => {
                rest.push(other.to_owned());
                continue;
            }
        };
        match option.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("ProxyJump") => jump = Some(value.to_owned()),
            _ => rest.push(option),
        }
    }
    (jump, rest.join(" "))
}
