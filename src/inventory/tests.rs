//! Tests of the inventory as a whole.

use std::path::Path;

use proptest::prelude::*;

use super::file::parse;
use super::resolve::host_and_port;
use super::{Auth, Inventory, Protocol, SecretAt, Server, Unresolved};
use crate::runbook::model::OsType;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

pub(crate) fn server(name: &str, hostname: &str, port: u16) -> Server {
    Server {
        name: name.into(),
        hostname: hostname.into(),
        port,
        username: "douse".into(),
        os_type: OsType::Linux,
        auth: Auth::Agent,
        host_keys: Vec::new(),
        tags: Vec::new(),
        group: None,
        environment: None,
        is_paused: false,
        protocol: Protocol::Ssh,
        become_password: None,
        bastion: None,
        via: None,
    }
}

fn file(path: &str) -> SecretAt {
    SecretAt::File(path.into())
}

fn read(text: &str) -> Result<Vec<Server>, Vec<String>> {
    parse("servers.yml", Path::new("/etc/douse"), text)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_server_with_two_keys_takes_every_default() {
    let servers = read("servers:\n  - {name: web1, hostname: 10.0.0.11}\n").unwrap();
    assert_eq!(servers, [server("web1", "10.0.0.11", 22)]);
}

#[test]
fn every_key_is_read_and_paths_are_relative_to_the_file() {
    let text = format!(
        "servers:\n- name: 007\n  hostname: '[2001:db8::7]'\n  port: 2222\n  username: ops\n  os_type: linux\n  protocol: ssh\n  \
         auth_type: key\n  key_file: keys/id\n  passphrase_file: /run/pass\n  host_key: [{KEY}, {KEY} again]\n  \
         tags: [web, 1]\n  group: front\n  environment: prod\n  is_paused: true\n  become_password_file: sudo\n"
    );
    let servers = read(&text).unwrap();
    let expected = Server {
        username: "ops".into(),
        auth: Auth::Key { key: file("/etc/douse/keys/id"), passphrase: Some(file("/run/pass")), certificate: None },
        host_keys: vec![KEY.into(), format!("{KEY} again")],
        tags: vec!["web".into(), "1".into()],
        group: Some("front".into()),
        environment: Some("prod".into()),
        is_paused: true,
        become_password: Some(file("/etc/douse/sudo")),
        ..server("007", "2001:db8::7", 2222)
    };
    assert_eq!(servers, [expected]);
    assert_eq!(servers[0].address(), "[2001:db8::7]:2222");
}

#[test]
fn the_kind_of_login_follows_from_the_file_that_is_named() {
    let auth = |keys: &str| read(&format!("servers: [{{name: a, hostname: b, {keys}}}]")).map(|s| s[0].auth.as_str());
    assert_eq!(auth("key_file: k"), Ok("key"));
    assert_eq!(auth("password_file: p"), Ok("password"));
    assert_eq!(auth("port: 22"), Ok("agent"));
    assert!(auth("auth_type: key").unwrap_err()[0].contains("E105: `auth_type: key` needs `key_file`"));
    assert!(auth("auth_type: agent, key_file: k").unwrap_err()[0].contains("not used by `auth_type: agent`"));
    assert!(auth("key_file: k, password_file: p").unwrap_err()[0].contains("not used by `auth_type: key`"));
}

#[test]
fn all_problems_are_told_at_once_with_line_and_column() {
    let text = "servers:\n  - name: web 1\n    hostname: 10.0.0.1:22\n    prot: 22\n    port: 0\n    password: hunter2\n  \
                - hostname: a\n    is_paused: no\n    bastion: b\n    protocol: winrm\n    host_key: ssh-ed25519\n  - 7\n";
    let problems = read(text).unwrap_err();
    let starts: Vec<String> = problems.iter().map(|p| p.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        starts,
        [
            "servers.yml:4:5 E104",
            "servers.yml:6:5 E104",
            "servers.yml:2:11 E103",
            "servers.yml:3:15 E103",
            "servers.yml:5:11 E103",
            "servers.yml:8:16 E103",
            "servers.yml:7:5 E105",
            "servers.yml:11:15 E103",
            "servers.yml:12:5 E103",
        ],
        "{problems:#?}"
    );
    assert!(problems[0].contains("did you mean `port`?"), "{}", problems[0]);
    assert!(problems[3].contains("write `hostname: 10.0.0.1` and `port: 22`"), "{}", problems[3]);
    assert!(!problems.concat().contains("hunter2"), "a secret is never shown");
}

#[test]
fn broken_yaml_and_duplicates_are_refused() {
    for (text, part) in [
        ("servers: [", "E101"),
        ("servers: []\nservers: []\n", "servers.yml:2:1: E102"),
        ("servers:\n- {name: a, name: b, hostname: c}\n", "servers.yml:2:13: E102"),
        ("servers:\n- {name: a, hostname: c}\n- {name: A, hostname: d}\n", "servers.yml:3:3: E110"),
        ("hosts: []\n", "servers.yml:1:1: E104"),
        ("- {name: a}\n", "must be a map"),
        ("servers: {a: b}\n", "must be a list"),
    ] {
        let problems = read(text).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(part), "{text:?}: {problems:#?}");
    }
    assert_eq!(read("servers:\n").unwrap(), []);
}

#[test]
fn an_instance_is_taken_apart() {
    for (value, host, port) in [
        ("web1", "web1", None),
        ("web1:9100", "web1", Some(9100)),
        (" web1:9100 ", "web1", Some(9100)),
        ("10.0.0.1:9100", "10.0.0.1", Some(9100)),
        ("[2001:db8::1]:9100", "2001:db8::1", Some(9100)),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("2001:db8::1", "2001:db8::1", None),
        ("http://web1:8080/metrics?x=y:1", "web1", Some(8080)),
        ("https://[::1]:443/", "::1", Some(443)),
        ("https://user:pass@web1/a@b", "web1", None),
        ("api-7d9f6c8b5-x2x4q", "api-7d9f6c8b5-x2x4q", None),
        ("web1:http", "web1:http", None),
        ("web1:99999", "web1:99999", None),
        ("[::1]9100", "[::1]9100", None),
        ("", "", None),
    ] {
        assert_eq!(host_and_port(value), (host, port), "{value:?}");
    }
}

fn fleet() -> Inventory {
    Inventory::new([
        server("web1", "10.0.0.11", 22),
        server("web2", "WEB2.example.com", 22),
        server("db1", "2001:db8:0:0::1", 22),
        server("nat-a", "gw.example.com", 2201),
        server("nat-b", "gw.example.com", 2202),
        server("10.0.0.99", "10.0.0.12", 22),
    ])
    .unwrap()
}

#[test]
fn an_instance_names_exactly_one_server_or_a_reason() {
    for (value, expected) in [
        ("web1:9100", "web1"),
        ("WEB1", "web1"),
        ("10.0.0.11:9100", "web1"),
        ("http://10.0.0.11:9100/metrics", "web1"),
        ("web2.EXAMPLE.com.:9100", "web2"),
        ("[2001:DB8::1]:9100", "db1"),
        ("2001:db8::0001", "db1"),
        ("::ffff:10.0.0.11", "web1"),
        ("gw.example.com:2202", "nat-b"),
        ("gw.example.com:9100", "ambiguous_target"),
        ("gw.example.com", "ambiguous_target"),
        ("web1.example.com", "unknown_target"),
        ("web", "unknown_target"),
        ("*", "unknown_target"),
        ("", "unknown_target"),
        ("web1,web2", "unknown_target"),
        ("-oProxyCommand=reboot", "unknown_target"),
        ("../../web1", "unknown_target"),
        ("web1\n", "web1"),
        ("web1\0", "unknown_target"),
    ] {
        let found = match fleet().resolve(value) {
            Ok(server) => server.name.clone(),
            Err(error) => error.reason().to_owned(),
        };
        assert_eq!(found, expected, "{value:?}");
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let fleet = fleet();
    let unknown = fleet.resolve("wbe1:9100").unwrap_err().to_string();
    assert!(
        unknown.contains("`wbe1:9100`") && unknown.contains("similar: web1") && unknown.contains("servers.yml"),
        "{unknown}"
    );
    let short = fleet.resolve("web1.lan").unwrap_err().to_string();
    assert!(short.contains("similar: web1"), "{short}");
    let ambiguous = fleet.resolve("gw.example.com").unwrap_err().to_string();
    assert!(ambiguous.contains("nat-a, nat-b") && ambiguous.contains("target.from"), "{ambiguous}");
    let hostile = fleet.resolve(&format!("\u{202e}\u{1b}[2J{}", "x".repeat(10_000))).unwrap_err().to_string();
    assert!(hostile.len() < 600 && !hostile.contains('\u{1b}') && !hostile.contains('\u{202e}'), "{hostile}");
}

#[test]
fn two_servers_of_one_name_are_refused_and_groups_are_counted() {
    assert!(Inventory::new([server("a", "b", 22), server("A", "c", 22)]).is_err());
    let grouped = |name: &str, group: Option<&str>| Server { group: group.map(Into::into), ..server(name, name, 22) };
    let fleet = Inventory::new([grouped("a", None), grouped("b", None), grouped("c", Some("x"))]).unwrap();
    assert_eq!((fleet.group_size(None), fleet.group_size(Some("x")), fleet.group_size(Some("y"))), (2, 1, 0));
}

proptest! {
    /// Invariant: whatever comes, at most one server, and it is one whose name or address was said.
    #[test]
    fn any_text_resolves_to_a_server_that_it_names_or_to_a_reason(value in any::<String>()) {
        match fleet().resolve(&value) {
            Ok(server) => {
                let lower = value.to_lowercase();
                prop_assert!(lower.contains(&server.name.to_lowercase()) || lower.contains(&server.hostname.to_lowercase()));
            }
            Err(Unresolved::Ambiguous { candidates, .. }) => prop_assert!(candidates.len() > 1),
            Err(Unresolved::Unknown { .. }) => {}
        }
    }

    #[test]
    fn each_server_is_found_by_its_name_and_address_with_any_port(count in 1_u8..40, pick in any::<prop::sample::Index>(), port in any::<u16>()) {
        let fleet = Inventory::new((0..count).map(|n| server(&format!("host{n}"), &format!("10.1.0.{n}"), 22))).unwrap();
        let n = pick.index(usize::from(count));
        for value in [format!("host{n}:{port}"), format!("HOST{n}"), format!("10.1.0.{n}:{port}"), format!("https://host{n}:{port}/x")] {
            prop_assert_eq!(&fleet.resolve(&value).unwrap().name, &format!("host{n}"));
        }
    }

    #[test]
    fn parsing_never_panics(text in "(servers:\n)?([-a-z_:{}\\[\\], \n'\"0-9]{0,80})") {
        let _ = read(&text);
    }
}
