//! What admins do to users is refused when it makes no sense.

use douse::engine::acts::ActError;
use douse::engine::identity::users;
use douse::rights::{Act, Role, Scope};

use super::{bench, root};
use crate::store::harness;

#[tokio::test]
async fn wrong_users_are_refused_and_nothing_is_written() {
    let (bench, _) = bench(harness::sqlite().await).await;
    let new = |name: &str| users::NewUser { name: name.to_owned(), role: Role::Viewer, scopes: None };
    for name in ["", "Ada", "engine", "auto", "a b", "ada/../eve", "sighup"] {
        let error = users::create(&bench.engine, new(name), &root()).await.err().unwrap();
        assert!(matches!(error, ActError::Invalid(_)), "{name}: {error}");
    }
    let broken = Scope { may: vec![Act::View], runbooks: vec!["[".to_owned()], groups: vec!["*".to_owned()] };
    for scopes in [Vec::new(), vec![broken]] {
        let wrong = users::NewUser { scopes: Some(scopes.clone()), ..new("ada") };
        assert!(matches!(users::create(&bench.engine, wrong, &root()).await, Err(ActError::Invalid(_))));
        let change = users::Change { scopes: Some(Some(scopes)), ..users::Change::default() };
        assert!(matches!(
            users::update(&bench.engine, "ada".to_owned(), change, &root()).await,
            Err(ActError::Invalid(_))
        ));
    }
    let nobody = || "nobody".to_owned();
    let missing = users::update(&bench.engine, nobody(), users::Change::default(), &root()).await;
    assert!(matches!(missing, Err(ActError::NotFound)));
    assert!(matches!(users::remove(&bench.engine, nobody(), &root()).await, Err(ActError::NotFound)));
    assert!(matches!(users::reset(&bench.engine, nobody(), &root()).await, Err(ActError::NotFound)));
    assert!(bench.store.read(douse::store::users::list).await.unwrap().is_empty());
    users::create(&bench.engine, new("ada"), &root()).await.unwrap();
    assert!(matches!(users::create(&bench.engine, new("ada"), &root()).await, Err(ActError::Conflict(_))));
}
