//! Logging in: what it costs to guess, and how a session ends.

use std::time::Duration;

use douse::audit::EventKind;
use douse::engine::identity::{self, Channel, LoginError, users};
use douse::limits;
use douse::rights::Role;

use super::{PASSWORD, bench, events, invite, login, redeem, root, secret, try_login, who};
use crate::engine::bench::Bench;
use crate::store::harness::{self, on_both_engines};

const MINUTE: Duration = Duration::from_secs(60);

/// What a failed log-in says.
async fn refusal(bench: &Bench, name: &str, password: &str, from: &str) -> String {
    match try_login(bench, name, password, from).await {
        Ok(_) => panic!("{name} was let in"),
        Err(error) => error.to_string(),
    }
}

on_both_engines! {
    async fn whoever_does_not_exist_is_told_the_same_as_who_mistypes(fixture: Fixture) {
        let (bench, _) = bench(fixture).await;
        for name in ["ada", "gone", "out"] {
            invite(&bench, name, Role::Viewer).await;
        }
        invite(&bench, "eve", Role::Admin).await;
        let disable = users::Change { is_disabled: Some(true), ..users::Change::default() };
        users::update(&bench.engine, "out".to_owned(), disable, &root()).await.unwrap();
        users::remove(&bench.engine, "gone".to_owned(), &root()).await.unwrap();
        let new = users::NewUser { name: "new".to_owned(), role: Role::Viewer, scopes: None };
        users::create(&bench.engine, new, &root()).await.unwrap();
        for (index, (name, password)) in [
            ("ada", "wrong"), ("nobody", PASSWORD), ("out", PASSWORD), ("gone", PASSWORD), ("new", PASSWORD), ("", ""),
            ("Ada", PASSWORD), ("ada", &"x".repeat(5_000)), (&"a".repeat(5_000), PASSWORD), ("a\0", "b\0"),
        ].into_iter().enumerate() {
            let from = format!("198.51.100.{index}");
            assert_eq!(refusal(&bench, name, password, &from).await, "the name or the password is wrong", "{index}");
        }
        assert_eq!(events(&bench, EventKind::LoginFailed).await, (10, "anonymous".to_owned()));
        assert!(try_login(&bench, " ada ", PASSWORD, "192.0.2.1").await.is_ok());
        assert_eq!(events(&bench, EventKind::LoginSucceeded).await, (1, "ada".to_owned()));
    }

    async fn failures_make_an_account_wait_longer_and_longer_and_never_for_good(fixture: Fixture) {
        let (bench, clock) = bench(fixture).await;
        for name in ["ada", "bob"] {
            invite(&bench, name, Role::Viewer).await;
        }
        // Each from another address, and an account that does not exist like one that does.
        for name in ["ada", "nobody"] {
            for index in 0..5 {
                let told = refusal(&bench, name, "wrong", &format!("198.51.100.{index}")).await;
                assert!(told.contains("is wrong"), "{name} {index}: {told}");
            }
            let told = refusal(&bench, name, PASSWORD, "203.0.113.1").await;
            assert!(told.contains("try again in"), "{name}: {told}");
        }
        assert!(try_login(&bench, "bob", PASSWORD, "203.0.113.1").await.is_ok(), "others do not wait");
        assert_eq!(events(&bench, EventKind::LoginThrottled).await.0, 2, "told once for each, not for each try");
        let mut waits = Vec::new();
        for index in 0..8 {
            let from = format!("198.51.101.{index}");
            let Err(LoginError::Wait(wait)) = try_login(&bench, "ada", "wrong", &from).await else {
                panic!("{index}: it should wait");
            };
            waits.push(wait.as_secs());
            clock.advance(wait);
            assert!(refusal(&bench, "ada", "wrong", &from).await.contains("is wrong"), "{index}");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        clock.advance(MINUTE);
        assert!(try_login(&bench, "ada", PASSWORD, "203.0.113.2").await.is_ok(), "a minute at most");
        assert!(refusal(&bench, "ada", "wrong", "203.0.113.3").await.contains("is wrong"), "and all is forgotten");
    }

    async fn guesses_at_the_same_moment_all_count(fixture: Fixture) {
        let (bench, _) = bench(fixture).await;
        invite(&bench, "ada", Role::Viewer).await;
        let tries = (0..20).map(|index| {
            let from = format!("198.51.100.{index}");
            let bench = &bench;
            async move { refusal(bench, "ada", "wrong", &from).await }
        });
        let told = futures_util::future::join_all(tries).await;
        let looked_at = told.iter().filter(|told| told.contains("is wrong")).count();
        assert_eq!(looked_at, 5, "{told:?}");
    }

    async fn a_session_ends_when_it_should(fixture: Fixture) {
        let (bench, clock) = bench(fixture).await;
        invite(&bench, "ada", Role::Operator).await;
        let (one, two) = (login(&bench, "ada").await, login(&bench, "ada").await);
        assert_ne!(one, two, "each log-in has an id of its own");
        // Idle for half an hour.
        for _ in 0..4 {
            clock.advance(MINUTE * 29);
            assert!(who(&bench, &one).await.is_some(), "it is used");
        }
        assert!(who(&bench, &two).await.is_none(), "it was not used");
        // Twelve hours, used or not.
        for _ in 0..20 {
            clock.advance(MINUTE * 29);
            assert!(who(&bench, &one).await.is_some());
        }
        clock.advance(MINUTE * 25);
        assert!(who(&bench, &one).await.is_none(), "12 h are over");
        // Logged out.
        let (one, two) = (login(&bench, "ada").await, login(&bench, "ada").await);
        let person = who(&bench, &one).await.unwrap();
        identity::log_out(&bench.engine, &person).await.unwrap();
        assert!(who(&bench, &one).await.is_none());
        assert!(who(&bench, &two).await.is_some(), "the other one goes on");
        assert_eq!(events(&bench, EventKind::LoggedOut).await, (1, "ada".to_owned()));
        // Disabled.
        invite(&bench, "eve", Role::Admin).await;
        let set = |is_disabled| users::Change { is_disabled: Some(is_disabled), ..users::Change::default() };
        users::update(&bench.engine, "ada".to_owned(), set(true), &root()).await.unwrap();
        assert!(who(&bench, &two).await.is_none());
        users::update(&bench.engine, "ada".to_owned(), set(false), &root()).await.unwrap();
        assert!(who(&bench, &two).await.is_none(), "it is over, and stays so");
        assert!(who(&bench, &login(&bench, "ada").await).await.is_some());
    }

    async fn a_change_of_password_ends_all_sessions(fixture: Fixture) {
        let (bench, clock) = bench(fixture).await;
        invite(&bench, "ada", Role::Operator).await;
        let (one, two) = (login(&bench, "ada").await, login(&bench, "ada").await);
        let ada = who(&bench, &one).await.unwrap();
        let change = async |current: &str, new: &str| {
            identity::change_password(&bench.engine, &ada, secret(current), secret(new), None).await
        };
        assert!(matches!(change("wrong", "another long password").await, Ok(Err(LoginError::Wrong))));
        assert!(change(PASSWORD, "short").await.is_err_and(|error| error.to_string().contains("at least 12")));
        assert!(who(&bench, &two).await.is_some(), "nothing has changed yet");
        let new = change(PASSWORD, "another long password").await.unwrap().expect("it is right").secret;
        assert!(who(&bench, &one).await.is_none() && who(&bench, &two).await.is_none());
        assert_eq!(who(&bench, &new).await.unwrap().name, "ada");
        assert!(refusal(&bench, "ada", PASSWORD, "192.0.2.9").await.contains("is wrong"));
        assert!(try_login(&bench, "ada", "another long password", "192.0.2.9").await.is_ok());
        assert_eq!(events(&bench, EventKind::PasswordChanged).await, (1, "ada".to_owned()));
        // Whoever finds an open browser does not find the password by trying.
        let ada = who(&bench, &new).await.unwrap();
        let mut last = String::new();
        for _ in 0..30 {
            let tried =
                identity::change_password(&bench.engine, &ada, secret("wrong"), secret("a third long one"), None).await;
            last = tried.unwrap().err().expect("it is wrong").to_string();
        }
        assert!(last.contains("try again in"), "{last}");
        clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn who_was_here_before_does_not_wait_for_strangers() {
    let (bench, _) = bench(harness::sqlite().await).await;
    invite(&bench, "ada", Role::Viewer).await;
    assert!(try_login(&bench, "ada", PASSWORD, "192.0.2.7").await.is_ok());
    for index in 0..5 {
        refusal(&bench, "ada", "wrong", &format!("198.51.100.{index}")).await;
    }
    assert!(refusal(&bench, "ada", PASSWORD, "203.0.113.1").await.contains("try again in"), "a new address waits");
    assert!(try_login(&bench, "ada", PASSWORD, "192.0.2.7").await.is_ok(), "hers does not");
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_waits_too() {
    let (bench, clock) = bench(harness::sqlite().await).await;
    invite(&bench, "ada", Role::Viewer).await;
    let count = usize::try_from(limits::LOGIN_FAILURES_OF_ADDRESS).unwrap();
    for index in 0..count {
        // One customer's network: addresses of it are one.
        let from = format!("2001:db8:1:2::{index:x}");
        assert!(refusal(&bench, &format!("user{index}"), "wrong", &from).await.contains("is wrong"), "{index}");
    }
    // An own account among them would not help: a success forgives one failure only.
    assert!(refusal(&bench, "ada", PASSWORD, "2001:db8:1:2:ffff::1").await.contains("try again in"));
    assert!(try_login(&bench, "ada", PASSWORD, "2001:db8:1:3::1").await.is_ok());
    clock.advance(MINUTE);
    assert!(try_login(&bench, "ada", PASSWORD, "2001:db8:1:2::1").await.is_ok(), "nobody is locked out for good");
    assert!(refusal(&bench, "x", "wrong", "2001:db8:1:2::1").await.contains("is wrong"));
    assert!(refusal(&bench, "y", "wrong", "2001:db8:1:2::1").await.contains("try again in"));
    // Set-up tokens as well.
    let (_, token) = users::reset(&bench.engine, "ada".to_owned(), &root()).await.unwrap();
    let mut last = String::new();
    for _ in 0..30 {
        last = redeem(&bench, &secret("douse_setup_wrong"), None).await.unwrap_err();
    }
    assert!(last.contains("try again in"), "{last}");
    clock.advance(MINUTE);
    assert_eq!(redeem(&bench, &token, None).await.unwrap(), "ada");
}

#[tokio::test]
async fn a_secret_is_taken_only_where_it_belongs() {
    let (bench, _) = bench(harness::sqlite().await).await;
    invite(&bench, "ada", Role::Viewer).await;
    let session = login(&bench, "ada").await;
    let as_cookie = identity::recognise(&bench.engine, session.expose(), Channel::Cookie, None).await.unwrap();
    assert!(as_cookie.is_none(), "a session of the command line is no cookie");
    for wrong in ["", "douse_session_", "douse_token_x", "douse_setup_x", &session.expose()[1..], "' OR 1=1 --"] {
        for channel in [Channel::Bearer, Channel::Cookie] {
            assert!(identity::recognise(&bench.engine, wrong, channel, None).await.unwrap().is_none(), "{wrong}");
        }
    }
}

#[tokio::test]
async fn nobody_has_more_sessions_than_the_limit() {
    let (bench, clock) = bench(harness::sqlite().await).await;
    invite(&bench, "ada", Role::Viewer).await;
    let mut secrets = Vec::new();
    for _ in 0..=limits::SESSIONS_OF_USER_MAX {
        clock.advance(Duration::from_millis(10));
        secrets.push(login(&bench, "ada").await);
    }
    assert!(who(&bench, &secrets[0]).await.is_none(), "the oldest ends");
    assert!(who(&bench, &secrets[1]).await.is_some());
}
