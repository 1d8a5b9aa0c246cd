//! Ansible's INI inventories: sections, ranges of hosts, variables behind a host.

use super::ansible::Inventory;

/// Hosts that one range may make: `[0000:9999]`.
const RANGE_MAX: usize = 10_000;

enum Section {
    Hosts(String),
    Variables(String),
    Children(String),
    Unknown,
}

pub(super) fn parse(text: &str) -> Inventory {
    let mut inventory = Inventory::default();
    let mut section = Section::Hosts("ungrouped".to_owned());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(title, _)| title)
            && !line.contains('=')
            && !title.chars().next().is_some_and(|c| c.is_ascii_digit())
        {
            section = match title.rsplit_once(':') {
                Some((name, "vars")) => Section::Variables(name.trim().to_owned()),
                Some((name, "children")) => Section::Children(name.trim().to_owned()),
                Some((_, other)) => {
                    inventory.problems.push(format!("line {number}: `:{other}` is no kind of section"));
                    Section::Unknown
                }
                None => Section::Hosts(title.trim().to_owned()),
            };
            if let Section::Hosts(name) = &section {
                inventory.group(name);
            }
            continue;
        }
        match &section {
            Section::Hosts(group) => {
                let mut words = words(line).into_iter();
                let Some(pattern) = words.next() else { continue };
                let (pattern, port) = with_port(&pattern);
                let variables: Vec<(String, String)> = words
                    .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
                    .collect();
                for host in expand(&pattern) {
                    inventory.group(group).hosts.insert(host.clone());
                    let known = inventory.host(&host);
                    known.extend(port.iter().map(|port| ("ansible_port".to_owned(), port.clone())));
                    known.extend(variables.iter().cloned());
                }
            }
            Section::Variables(group) => match line.split_once('=') {
                Some((name, value)) => {
                    let value = words(value.trim()).join(" ");
                    inventory.group(group).variables.insert(name.trim().to_owned(), value);
                }
                None => inventory.problems.push(format!("line {number}: a variable is written `name=value`")),
            },
            Section::Unknown => {}
            Section::Children(group) => {
                let child = line.split_whitespace().next().unwrap_or_default().to_owned();
                inventory.group(&child);
                inventory.group(group).children.insert(child);
            }
        }
    }
    inventory
}

/// `host:5309`, but not `[2001:db8::1]` and not the colon of a range.
fn with_port(pattern: &str) -> (String, Option<String>) {
    match pattern.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.chars().all(|c| c.is_ascii_digit())
                && (host.matches('[').count() == host.matches(']').count())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            (host.to_owned(), Some(port.to_owned()))
        }
        _ => (pattern.to_owned(), None),
    }
}

/// `web[01:03]` as `web01 web02 web03`; `[a:c]` and a step (`[0:10:5]`), too. What is no range stays as it is.
pub(super) fn expand(pattern: &str) -> Vec<String> {
    let parts = pattern.split_once('[').and_then(|(before, rest)| {
        let (range, after) = rest.split_once(']')?;
        Some((before, range.split(':').collect::<Vec<_>>(), after))
    });
    let Some((before, range, after)) = parts else { return vec![pattern.to_owned()] };
    let (first, last, step) = match range.as_slice() {
        [first, last] => (*first, *last, "1"),
        [first, last, step] => (*first, *last, *step),
        _ => return vec![pattern.to_owned()],
    };
    let step = step.parse::<usize>().unwrap_or(1).max(1);
    let values: Vec<String> = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(from), Ok(to)) => {
            let width = if first.starts_with('0') { first.len() } else { 0 };
            (from..=to).step_by(step).take(RANGE_MAX).map(|number| format!("{number:0width$}")).collect()
        }
        _ => match (first.as_bytes(), last.as_bytes()) {
            ([from], [to]) if from.is_ascii_alphabetic() && to.is_ascii_alphabetic() => {
                (*from..=*to).step_by(step).map(|letter| char::from(letter).to_string()).collect()
            }
            _ => return vec![pattern.to_owned()],
        },
    };
    values.iter().flat_map(|value| expand(&format!("{before}{value}{after}"))).take(RANGE_MAX).collect()
}

/// Words as a shell has them: quotes hold spaces, `#` behind a space begins a comment.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_word) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                is_word = true;
            }
            (None, '#') if !is_word => break,
            (None, c) if c.is_whitespace() => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                    is_word = false;
                }
            }
            (None, c) => {
                word.push(c);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}
