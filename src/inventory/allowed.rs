//! Whether a runbook may act on a server: `target_os`, `allowed_servers` and the target's `where`.
//!
//! The gate `target` asks after [`super::Inventory::resolve`] has named the one server.

use super::Server;
use crate::runbook::model::{AllowedServers, OsType, TargetSpec};

/// Why a runbook may not act on a server; the gate's reason is `target_not_allowed`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAllowed {
    /// `target_os`, or `where.os_type`.
    #[error("the runbook is for {wanted}, server `{server}` runs {found}")]
    OperatingSystem { server: String, wanted: &'static str, found: &'static str },
    /// `allowed_servers` names neither the server nor a tag or group of it.
    #[error("server `{server}` is not among the runbook's `allowed_servers` ({allowed})")]
    NotListed { server: String, allowed: String },
    /// `where.tags`: each one is wanted.
    #[error("the runbook's target wants the tag `{tag}`, which server `{server}` does not have")]
    Tag { server: String, tag: String },
    /// `where.environment`.
    #[error("the runbook's target wants the environment `{wanted}`, server `{server}` is in {found}")]
    Environment { server: String, wanted: String, found: String },
    /// `where.group`.
    #[error("the runbook's target wants the group `{wanted}`, server `{server}` is in {found}")]
    Group { server: String, wanted: String, found: String },
}

/// Says yes, or the first thing that stands against it.
pub fn check(server: &Server, os: OsType, allowed: &AllowedServers, target: &TargetSpec) -> Result<(), NotAllowed> {
    let name = || server.name.clone();
    for wanted in [Some(os), target.os_type].into_iter().flatten() {
        if wanted != server.os_type {
            let (wanted, found) = (os_word(wanted), os_word(server.os_type));
            return Err(NotAllowed::OperatingSystem { server: name(), wanted, found });
        }
    }
    if !is_listed(server, allowed) {
        return Err(NotAllowed::NotListed { server: name(), allowed: describe(allowed) });
    }
    if let Some(tag) = target.tags.iter().find(|tag| !server.tags.contains(tag)) {
        return Err(NotAllowed::Tag { server: name(), tag: tag.clone() });
    }
    if let Some(wanted) = differs(target.environment.as_ref(), server.environment.as_ref()) {
        let found = quoted(server.environment.as_deref());
        return Err(NotAllowed::Environment { server: name(), wanted, found });
    }
    if let Some(wanted) = differs(target.group.as_ref(), server.group.as_ref()) {
        return Err(NotAllowed::Group { server: name(), wanted, found: quoted(server.group.as_deref()) });
    }
    Ok(())
}

fn is_listed(server: &Server, allowed: &AllowedServers) -> bool {
    let AllowedServers { names, tags, groups } = allowed;
    (names.is_empty() && tags.is_empty() && groups.is_empty())
        || names.iter().any(|name| name.eq_ignore_ascii_case(&server.name))
        || tags.iter().any(|tag| server.tags.contains(tag))
        || groups.iter().any(|group| Some(group) == server.group.as_ref())
}

fn describe(allowed: &AllowedServers) -> String {
    let lists = [("names", &allowed.names), ("tags", &allowed.tags), ("groups", &allowed.groups)];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    lists.map(|(kind, list)| format!("{kind}: {}", list.join(", "))).collect::<Vec<_>>().join("; ")
}

fn differs(wanted: Option<&String>, found: Option<&String>) -> Option<String> {
    wanted.filter(|wanted| Some(*wanted) != found).cloned()
}

fn quoted(word: Option<&str>) -> String {
    word.map_or_else(|| "none".to_owned(), |word| format!("`{word}`"))
}

fn os_word(os: OsType) -> &'static str {
    match os {
        OsType::Linux => "linux",
        OsType::Windows => "windows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::server;

    fn web() -> Server {
        Server {
            tags: vec!["web".into(), "eu".into()],
            group: Some("front".into()),
            environment: Some("prod".into()),
            ..server("web1", "10.0.0.1", 22)
        }
    }

    fn listed(names: &[&str], tags: &[&str], groups: &[&str]) -> AllowedServers {
        let owned = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
        AllowedServers { names: owned(names), tags: owned(tags), groups: owned(groups) }
    }

    #[test]
    fn an_empty_list_allows_any_server_and_a_list_only_those_that_it_names() {
        for (allowed, is_allowed) in [
            (listed(&[], &[], &[]), true),
            (listed(&["web1"], &[], &[]), true),
            (listed(&["WEB1"], &[], &[]), true),
            (listed(&["web2"], &[], &[]), false),
            (listed(&["web2"], &["eu"], &[]), true),
            (listed(&[], &["db"], &["front"]), true),
            (listed(&[], &["db"], &["back"]), false),
        ] {
            let answer = check(&web(), OsType::Linux, &allowed, &TargetSpec::default());
            assert_eq!(answer.is_ok(), is_allowed, "{allowed:?}: {answer:?}");
        }
    }

    #[test]
    fn every_part_of_where_must_hold() {
        let none = AllowedServers::default();
        let spec = TargetSpec::default;
        for (target, message) in [
            (TargetSpec { tags: vec!["web".into(), "eu".into()], ..spec() }, ""),
            (TargetSpec { tags: vec!["web".into(), "us".into()], ..spec() }, "tag `us`"),
            (TargetSpec { environment: Some("prod".into()), ..spec() }, ""),
            (
                TargetSpec { environment: Some("test".into()), ..spec() },
                "environment `test`, server `web1` is in `prod`",
            ),
            (TargetSpec { group: Some("back".into()), ..spec() }, "group `back`"),
            (TargetSpec { os_type: Some(OsType::Windows), ..spec() }, "for windows, server `web1` runs linux"),
        ] {
            match check(&web(), OsType::Linux, &none, &target) {
                Ok(()) => assert_eq!(message, "", "{target:?}"),
                Err(error) => assert!(!message.is_empty() && error.to_string().contains(message), "{error}"),
            }
        }
        assert!(check(&web(), OsType::Windows, &none, &spec()).is_err());
    }
}
