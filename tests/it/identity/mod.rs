//! Users, passwords, sessions, tokens: who somebody is, as of now. Against a real database; time is the test's.

mod acts;
mod commands;
pub(crate) mod http;
mod login;
mod rights;
mod set_up;
mod tokens;

use douse::audit::EventKind;
use douse::clock::Clock;
use douse::config::Secret;
use douse::engine::acts::Person;
use douse::engine::identity::{self, Channel, LoggedIn, Login, LoginError, Setup, users};
use douse::rights::Role;
use douse::store::{Page, SessionKind, audit};

use crate::engine::bench::{self, Bench, person};
use crate::store::harness::Fixture;

/// Long enough, and nobody's.
const PASSWORD: &str = "correct horse battery";

/// An engine without any user and without a token in its configuration, and its clock.
async fn bench(fixture: Fixture) -> (Bench, Clock) {
    let clock = Clock::manual(Clock::System.now());
    let bench = Bench::open(fixture, bench::Setup { clock: clock.clone(), ..bench::Setup::default() }).await;
    (bench, clock)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// Somebody who may do everything and has no account.
fn root() -> Person {
    person("root", Role::Admin)
}

/// Adds a user, who chooses [`PASSWORD`].
async fn invite(bench: &Bench, name: &str, role: Role) {
    let new = users::NewUser { name: name.to_owned(), role, scopes: None };
    let (_, token) = users::create(&bench.engine, new, &root()).await.unwrap();
    redeem(bench, &token, None).await.unwrap();
}

async fn redeem(bench: &Bench, token: &Secret, name: Option<&str>) -> Result<String, String> {
    let setup = Setup {
        token: token.clone(),
        name: name.map(str::to_owned),
        password: secret(PASSWORD),
        ip_address: Some("192.0.2.7".to_owned()),
    };
    let done = identity::redeem(&bench.engine, setup).await;
    done.map(|user| user.name).map_err(|error| error.to_string())
}

/// Tries to log in from an address.
async fn try_login(bench: &Bench, name: &str, password: &str, from: &str) -> Result<LoggedIn, LoginError> {
    let login = Login {
        name: name.to_owned(),
        password: secret(password),
        kind: SessionKind::CommandLine,
        ip_address: Some(from.to_owned()),
        user_agent: Some("test".to_owned()),
    };
    identity::login(&bench.engine, login).await
}

/// Logs in with [`PASSWORD`]; the secret of the session.
async fn login(bench: &Bench, name: &str) -> Secret {
    try_login(bench, name, PASSWORD, "192.0.2.7").await.unwrap_or_else(|error| panic!("{name}: {error}")).secret
}

/// Who stands behind a bearer secret now.
async fn who(bench: &Bench, secret: &Secret) -> Option<Person> {
    identity::recognise(&bench.engine, secret.expose(), Channel::Bearer, None).await.unwrap()
}

/// Adds a user and logs in: the person.
async fn logged_in(bench: &Bench, name: &str, role: Role) -> Person {
    invite(bench, name, role).await;
    let secret = login(bench, name).await;
    who(bench, &secret).await.expect("a fresh session is good")
}

/// How many events of a kind the audit log has, and who acted in the last of them.
async fn events(bench: &Bench, kind: EventKind) -> (usize, String) {
    let filter = audit::AuditFilter { kind: Some(kind), ..Default::default() };
    let page = Page { limit: 200, before: None };
    let rows = bench.store.read(move |db| audit::list(db, &filter, page)).await.unwrap().rows;
    (rows.len(), rows.first().map(|row| row.actor.clone()).unwrap_or_default())
}
