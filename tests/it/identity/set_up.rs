//! The first admin, and passwords that only their owners know.

use std::time::Duration;

use douse::audit::EventKind;
use douse::engine::identity::{self, users};
use douse::rights::Role;

use super::{PASSWORD, bench, events, invite, login, redeem, root, try_login, who};
use crate::store::harness::{self, on_both_engines};

on_both_engines! {
    async fn a_set_up_token_makes_one_first_admin(fixture: Fixture) {
        let (bench, _) = bench(fixture).await;
        let token = identity::begin(&bench.engine).await.unwrap().expect("the first start");
        // Another replica starts at the same time.
        let other = identity::begin(&bench.engine).await.unwrap().expect("nobody could be let in otherwise");
        assert!(redeem(&bench, &token, None).await.unwrap_err().contains("`name` is needed"));
        assert!(redeem(&bench, &token, Some("Ada L")).await.unwrap_err().contains("a name begins with"));
        let two = tokio::join!(redeem(&bench, &token, Some("ada")), redeem(&bench, &token, Some("eve")));
        let made: Vec<String> = [two.0, two.1].into_iter().flatten().collect();
        assert_eq!(made.len(), 1, "one token makes one admin");
        assert!(redeem(&bench, &token, Some("bob")).await.is_err(), "it is used up");
        assert!(redeem(&bench, &other, Some("bob")).await.is_err(), "and so is the other replica's");
        let admin = who(&bench, &login(&bench, &made[0]).await).await.unwrap();
        assert_eq!((admin.name.as_str(), admin.role), (made[0].as_str(), Role::Admin));
        assert!(identity::begin(&bench.engine).await.unwrap().is_none(), "there is an admin now");
        assert_eq!(events(&bench, EventKind::SetupCompleted).await, (1, made[0].clone()));
        assert_eq!(events(&bench, EventKind::UserCreated).await.0, 1);
        assert_eq!(events(&bench, EventKind::SetupTokenCreated).await, (2, "engine".to_owned()));
    }

    async fn an_invited_user_chooses_a_password_once(fixture: Fixture) {
        let (bench, clock) = bench(fixture).await;
        let new = users::NewUser { name: "bob".to_owned(), role: Role::Operator, scopes: None };
        let (_, token) = users::create(&bench.engine, new, &root()).await.unwrap();
        assert!(try_login(&bench, "bob", "", "192.0.2.7").await.is_err(), "no password is right before");
        assert!(redeem(&bench, &token, Some("ada")).await.unwrap_err().contains("for `bob`"));
        assert_eq!(redeem(&bench, &token, None).await.unwrap(), "bob");
        assert!(redeem(&bench, &token, None).await.is_err());
        let session = login(&bench, "bob").await;
        let (_, first) = users::reset(&bench.engine, "bob".to_owned(), &root()).await.unwrap();
        let (_, second) = users::reset(&bench.engine, "bob".to_owned(), &root()).await.unwrap();
        assert!(who(&bench, &session).await.is_none(), "a reset ends all sessions");
        assert!(try_login(&bench, "bob", PASSWORD, "192.0.2.7").await.is_err(), "and takes the password away");
        assert!(redeem(&bench, &first, None).await.is_err(), "a later token voids the one before");
        clock.advance(Duration::from_secs(24 * 3_600));
        assert!(redeem(&bench, &second, None).await.is_err(), "a day is over");
    }
}

#[tokio::test]
async fn nobody_is_left_without_an_admin() {
    let (bench, _) = bench(harness::sqlite().await).await;
    invite(&bench, "ada", Role::Admin).await;
    let demote = users::Change { role: Some(Role::Viewer), ..users::Change::default() };
    let disable = users::Change { is_disabled: Some(true), ..users::Change::default() };
    for change in [demote.clone(), disable] {
        let error = users::update(&bench.engine, "ada".to_owned(), change, &root()).await.err().unwrap();
        assert!(error.to_string().contains("last admin"), "{error}");
    }
    let error = users::remove(&bench.engine, "ada".to_owned(), &root()).await.err().unwrap();
    assert!(error.to_string().contains("last admin"), "{error}");
    assert!(who(&bench, &login(&bench, "ada").await).await.is_some_and(|ada| ada.role == Role::Admin));
    assert_eq!(events(&bench, EventKind::UserUpdated).await.0 + events(&bench, EventKind::UserDeleted).await.0, 0);
    invite(&bench, "eve", Role::Admin).await;
    users::update(&bench.engine, "ada".to_owned(), demote, &root()).await.unwrap();
    users::remove(&bench.engine, "ada".to_owned(), &root()).await.unwrap();
    assert_eq!(events(&bench, EventKind::UserDeleted).await, (1, "root".to_owned()));
    let again = users::NewUser { name: "ada".to_owned(), role: Role::Viewer, scopes: None };
    let error = users::create(&bench.engine, again, &root()).await.err().unwrap();
    assert!(error.to_string().contains("never given to another"), "{error}");
    assert!(try_login(&bench, "ada", PASSWORD, "192.0.2.7").await.is_err());
}
