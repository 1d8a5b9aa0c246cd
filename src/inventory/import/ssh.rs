//! OpenSSH's client configuration: the names in it, and what `ssh -G NAME` says of each. Only ssh itself understands `Match`,
//! `Include` and the order of its rules, so it is asked.

use super::{Candidate, Import};

/// The hosts that a configuration names, without patterns; and what of it was not looked through.
pub fn names(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut names, mut left): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let line = line.trim();
        let (keyword, rest) = line.split_once(|c: char| c.is_whitespace() || c == '=').unwrap_or((line, ""));
        match keyword.to_ascii_lowercase().as_str() {
            "host" => {
                for name in
                    rest.split_whitespace().map(|name| name.trim_matches(['"', '='])).filter(|name| !name.is_empty())
                {
                    if name.starts_with('!') || name.contains(['*', '?']) {
                        continue;
                    }
                    if !names.iter().any(|known| known == name) {
                        names.push(name.to_owned());
                    }
                }
            }
            "include" => {
                left.push(format!("Include {}: its hosts are not looked for; name them with --host", rest.trim()))
            }
            "match" => left.push(format!("Match {}: applied by ssh, but it names no host", rest.trim())),
            _ => {}
        }
    }
    (names, left)
}

/// Adds the host `name`, of which `ssh -G` said `answer`.
pub fn add(import: &mut Import, name: &str, answer: &str, has_file: impl Fn(&str) -> bool) {
    let mut candidate = Candidate { name: name.to_owned(), ..Candidate::default() };
    let (mut jump, mut keys, mut certificates) = (None, Vec::new(), Vec::new());
    for line in answer.lines() {
        let Some((key, value)) = line.trim().split_once(' ') else { continue };
        let value = value.trim();
        match key.to_ascii_lowercase().as_str() {
            "hostname" => candidate.hostname = Some(value.to_owned()),
            "user" => candidate.username = Some(value.to_owned()),
            "port" => candidate.port = Some(value.to_owned()),
            "identityfile" => keys.push(value.to_owned()),
            "certificatefile" => certificates.push(value.to_owned()),
            "proxyjump" if value != "none" => jump = Some(value.to_owned()),
            "proxycommand" if value != "none" => {
                import.note(name, "`ProxyCommand` was not carried: a bastion is a server (`ProxyJump`)");
            }
            "userknownhostsfile" => candidate.known_hosts = value.split_whitespace().map(str::to_owned).collect(),
            "hostkeyalias" => candidate.known_as = Some(value.to_owned()),
            "localforward" | "remoteforward" | "dynamicforward" | "remotecommand" | "pkcs11provider"
                if value != "none" =>
            {
                import.note(name, format!("`{key}` was not carried"));
            }
            _ => {}
        }
    }
    // ssh names its defaults, too, whether they are there or not.
    let mut there = keys.into_iter().filter(|key| has_file(key));
    candidate.key_file = there.next();
    let more = there.count();
    if more > 0 {
        import.note(name, format!("{more} more keys (IdentityFile) were not carried: a server has one"));
    }
    candidate.certificate_file = certificates.into_iter().find(|file| has_file(file));
    import.servers.push(candidate);
    if let Some(jump) = jump {
        import.jump(name, &jump);
    }
}
