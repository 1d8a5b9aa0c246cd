//! Through a bastion: each host with a login and host keys of its own, checked before any authentication.

use std::sync::Arc;

use douse::inventory::{Inventory, Server};
use douse::transport::probe::{ProbePart, ProbeState, probe};
use douse::transport::{RefusalKind, Transport};

use super::{exit, transport, until};
use crate::support::sshd::{Setup, Sshd};

/// `inner` behind `outer`, as the inventory makes it.
fn behind(outer: Server, inner: Server) -> Arc<Server> {
    let inner = Server { bastion: Some(outer.name.clone()), ..inner };
    let name = inner.name.clone();
    Arc::clone(Inventory::new([outer, inner]).unwrap().get(&name).unwrap())
}

/// Signs of an authentication in sshd's log.
fn was_asked(sshd: &Sshd) -> bool {
    let log = sshd.log();
    ["userauth-request", "Postponed", "Accepted", "Failed", "authenticating user"].iter().any(|sign| log.contains(sign))
}

#[tokio::test]
async fn commands_run_behind_one_and_two_bastions_with_each_ones_own_key() {
    let (outer, middle, inner) = (Sshd::start(), Sshd::start(), Sshd::setup().env("WHERE", "inner").start());
    let transport = transport();
    let one = behind(outer.server("outer"), inner.server("web1"));
    assert_eq!(exit(&transport, &one, "echo $WHERE").await, (0, "inner\n".into(), String::new()));
    assert!(outer.log().contains("direct-tcpip") && outer.log().contains("Accepted publickey"));
    assert!(!inner.log().contains(&format!("{} port", "10.")), "the inner host saw the bastion only");

    let chain = Inventory::new([
        outer.server("outer"),
        Server { bastion: Some("Outer".into()), ..middle.server("middle") },
        Server { bastion: Some("middle".into()), ..inner.server("web2") },
    ])
    .unwrap();
    let two = Arc::clone(chain.get("web2").unwrap());
    assert_eq!(exit(&transport, &two, "echo $WHERE").await.1, "inner\n");
    assert!(middle.log().contains("direct-tcpip"));
    assert_eq!(outer.log().matches("Accepted publickey").count(), 1, "one connection to the bastion serves both");
}

#[tokio::test]
async fn a_wrong_key_of_the_bastion_or_of_the_host_behind_it_sees_no_authentication() {
    let (mut outer, mut inner) = (Sshd::start(), Sshd::start());
    let (old_outer, old_inner) = (outer.server("outer"), inner.server("web1"));
    outer.change_host_key();
    let refusal = transport().reach(&behind(old_outer.clone(), inner.server("web1"))).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::HostKeyChanged);
    assert!(
        refusal.message.starts_with("bastion of server `web1`: ") && refusal.message.contains("`outer`"),
        "{refusal}"
    );
    assert!(outer.log().contains("SSH2_MSG_KEXINIT received"), "it was called");
    assert!(!was_asked(&outer) && !inner.log().contains("KEXINIT received"), "{}", outer.log());

    let unpinned = Server { host_keys: Vec::new(), ..outer.server("outer") };
    let refusal = transport().reach(&behind(unpinned, inner.server("web1"))).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::HostKeyUnknown);
    assert!(!was_asked(&outer));

    inner.change_host_key();
    let refusal = transport().reach(&behind(outer.server("outer"), old_inner)).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::HostKeyChanged);
    assert!(refusal.message.contains("server `web1`") && !refusal.message.contains("bastion of"), "{refusal}");
    assert!(was_asked(&outer), "the bastion itself was the right one");
    assert!(inner.log().contains("SSH2_MSG_KEXINIT received") && !was_asked(&inner), "{}", inner.log());

    transport().reach(&behind(outer.server("outer"), inner.server("web1"))).await.unwrap();
    until("the log shows a login", || was_asked(&inner)).await;
}

#[tokio::test]
async fn the_test_of_a_server_says_that_its_bastion_is_what_fails() {
    let outer = Sshd::start();
    let inner = Sshd::start();
    let states = |probe: &douse::transport::probe::Probe| -> String {
        let state = |part| probe.checks.iter().find(|check| check.part == part).unwrap().state;
        [ProbePart::Bastion, ProbePart::Connection, ProbePart::Shell]
            .map(|part| match state(part) {
                ProbeState::Passed => '+',
                ProbeState::Failed => '!',
                ProbeState::Skipped => '-',
            })
            .into_iter()
            .collect()
    };
    let transport = transport();
    let good = probe(&transport, &behind(outer.server("outer"), inner.server("web1"))).await;
    assert_eq!(states(&good), "+++", "{good:?}");
    let unpinned = Server { host_keys: Vec::new(), ..outer.server("outer") };
    let bad = probe(&transport, &behind(unpinned, inner.server("web1"))).await;
    assert_eq!(states(&bad), "!--");
    assert!(bad.summary().starts_with("bastion: host_key: "), "{}", bad.summary());
    let nobody = Server { port: 1, ..inner.server("web1") };
    let away = probe(&transport, &behind(outer.server("outer"), nobody)).await;
    assert_eq!(states(&away), "+!-");
    assert!(away.summary().contains("through bastion `outer`"), "{}", away.summary());
    let closed = Setup::default().config("AllowTcpForwarding no").start();
    let shut = probe(&transport, &behind(closed.server("closed"), inner.server("web1"))).await;
    assert!(shut.summary().contains("AllowTcpForwarding"), "{}", shut.summary());
}

#[tokio::test]
async fn a_test_asks_what_holds_now_and_a_bastion_that_came_back_is_connected_to_anew() {
    let (mut outer, inner) = (Sshd::start(), Sshd::start());
    let transport = transport();
    let server = behind(outer.server("outer"), inner.server("web1"));
    assert_eq!(exit(&transport, &server, "true").await.0, 0);
    outer.stop();
    outer.boot();
    assert_eq!(exit(&transport, &server, "true").await.0, 0, "over a new connection");
    std::fs::write(inner.dir().join("authorized_keys"), "").unwrap();
    let probe = probe(&transport, &server).await;
    assert!(
        probe.summary().starts_with("authentication: "),
        "not over the connection that is open: {}",
        probe.summary()
    );
}

#[test]
fn bastions_that_are_unknown_or_go_in_circles_make_no_inventory() {
    let sshd = Sshd::start();
    let via = |name: &str, bastion: &str| Server { bastion: Some(bastion.into()), ..sshd.server(name) };
    for (servers, part) in [
        (vec![via("a", "gone")], "through `gone`, which is not in the inventory"),
        (vec![via("a", "b"), via("b", "a")], "circle"),
        (
            vec![via("a", "b"), via("b", "c"), via("c", "d"), via("d", "e"), via("e", "f"), sshd.server("f")],
            "more than 4",
        ),
    ] {
        let error = Inventory::new(servers).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let four = [via("e", "d"), via("d", "c"), via("c", "b"), via("b", "a"), sshd.server("a")];
    assert!(Inventory::new(four).is_ok());
}
