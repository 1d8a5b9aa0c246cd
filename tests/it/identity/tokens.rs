//! API tokens: never more than their owner, and never longer than said.

use std::time::Duration;

use douse::audit::EventKind;
use douse::config::Secret;
use douse::engine::acts::Person;
use douse::engine::identity::{tokens, users};
use douse::rights::{Act, Role, Scope};

use super::{PASSWORD, bench, events, invite, logged_in, login, root, try_login, who};
use crate::engine::bench::Bench;
use crate::store::harness::{self, on_both_engines};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn wanted(name: &str) -> tokens::NewToken {
    tokens::NewToken { name: name.to_owned(), role: None, scopes: None, expires_in: None }
}

async fn mint(bench: &Bench, by: &Person, new: tokens::NewToken) -> Secret {
    tokens::mint(&bench.engine, new, by).await.unwrap().1
}

fn scope(may: &[Act], runbook: &str) -> Scope {
    Scope { may: may.to_vec(), runbooks: vec![runbook.to_owned()], groups: vec!["*".to_owned()] }
}

async fn role(bench: &Bench, name: &str, role: Role) {
    let change = users::Change { role: Some(role), ..users::Change::default() };
    users::update(&bench.engine, name.to_owned(), change, &root()).await.unwrap();
}

on_both_engines! {
    async fn a_token_is_never_above_its_owner_as_the_owner_is_now(fixture: Fixture) {
        let (bench, _) = bench(fixture).await;
        invite(&bench, "root-user", Role::Admin).await;
        let ada = logged_in(&bench, "ada", Role::Admin).await;
        let all = mint(&bench, &ada, wanted("all")).await;
        let reads = mint(&bench, &ada, tokens::NewToken { role: Some(Role::Viewer), ..wanted("reads") }).await;
        let audits = mint(&bench, &ada, tokens::NewToken { role: Some(Role::Auditor), ..wanted("audits") }).await;
        let now = async |token: &Secret| who(&bench, token).await.map(|person| (person.name, person.role));
        let is = |role| Some(("ada".to_owned(), role));
        assert_eq!(
            (now(&all).await, now(&reads).await, now(&audits).await),
            (is(Role::Admin), is(Role::Viewer), is(Role::Auditor))
        );
        role(&bench, "ada", Role::Operator).await;
        assert_eq!(
            (now(&all).await, now(&reads).await, now(&audits).await),
            (is(Role::Operator), is(Role::Viewer), is(Role::Viewer)),
            "a demotion holds at once"
        );
        role(&bench, "ada", Role::Engineer).await;
        assert_eq!((now(&all).await, now(&reads).await), (is(Role::Engineer), is(Role::Viewer)), "a ceiling stays one");
        let set = |is_disabled| users::Change { is_disabled: Some(is_disabled), ..users::Change::default() };
        users::update(&bench.engine, "ada".to_owned(), set(true), &root()).await.unwrap();
        assert_eq!((now(&all).await, now(&reads).await), (None, None));
        users::update(&bench.engine, "ada".to_owned(), set(false), &root()).await.unwrap();
        assert_eq!(now(&all).await, is(Role::Engineer));
        users::remove(&bench.engine, "ada".to_owned(), &root()).await.unwrap();
        assert_eq!((now(&all).await, now(&reads).await), (None, None));
    }

    async fn a_token_ends_when_it_is_revoked_or_its_time_is_over(fixture: Fixture) {
        let (bench, clock) = bench(fixture).await;
        let ada = logged_in(&bench, "ada", Role::Operator).await;
        let bob = logged_in(&bench, "bob", Role::Operator).await;
        let eve = logged_in(&bench, "eve", Role::Admin).await;
        let (row, token) = tokens::mint(&bench.engine, wanted("ci"), &ada).await.unwrap();
        assert!(token.expose().starts_with(&row.prefix) && row.prefix.len() < 20, "{}", row.prefix);
        let twice = tokens::mint(&bench.engine, wanted("ci"), &ada).await.err().unwrap();
        assert!(twice.to_string().contains("a token of that name"), "{twice}");
        let hers = tokens::revoke(&bench.engine, row.id, &bob).await.err().unwrap();
        assert!(matches!(hers, douse::engine::acts::ActError::NotFound), "{hers}");
        tokens::revoke(&bench.engine, row.id, &ada).await.unwrap();
        assert!(who(&bench, &token).await.is_none());
        let (row, token) = tokens::mint(&bench.engine, wanted("ci"), &ada).await.unwrap();
        tokens::revoke(&bench.engine, row.id, &eve).await.unwrap();
        assert!(who(&bench, &token).await.is_none(), "an admin revokes anybody's");
        assert_eq!(events(&bench, EventKind::TokenRevoked).await, (2, "eve".to_owned()));
        let short = tokens::NewToken { expires_in: Some(DAY), ..wanted("short") };
        let token = mint(&bench, &ada, short).await;
        clock.advance(DAY - Duration::from_secs(1));
        assert!(who(&bench, &token).await.is_some());
        clock.advance(Duration::from_secs(1));
        assert!(who(&bench, &token).await.is_none());
        assert_eq!(events(&bench, EventKind::TokenCreated).await, (3, "ada".to_owned()));
    }

    async fn no_secret_stands_in_the_database(fixture: Fixture) {
        let url = fixture.url.clone();
        let (bench, _) = bench(fixture).await;
        let ada = logged_in(&bench, "ada", Role::Operator).await;
        let token = mint(&bench, &ada, wanted("ci")).await;
        let session = login(&bench, "ada").await;
        assert!(try_login(&bench, "my-secret-typed-as-a-name", "x", "192.0.2.8").await.is_err());
        let secrets = [token.expose(), session.expose(), PASSWORD, "my-secret-typed-as-a-name"];
        let texts: Vec<Vec<u8>> = match url.strip_prefix("sqlite://") {
            Some(path) => ["", "-wal"].map(|end| std::fs::read(format!("{path}{end}")).unwrap_or_default()).to_vec(),
            None => bench.store.read(dump).await.unwrap(),
        };
        assert!(texts.iter().any(|text| holds(text, b"ada")), "what is looked through is the database");
        for text in &texts {
            for secret in secrets {
                assert!(!holds(text, secret.as_bytes()), "`{secret}` is in the database");
            }
        }
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Every row of the tables that this is about, as text.
fn dump(db: &mut douse::store::Db) -> Result<Vec<Vec<u8>>, douse::store::StoreError> {
    use diesel::RunQueryDsl as _;
    #[derive(diesel::QueryableByName)]
    struct Line {
        #[diesel(sql_type = diesel::sql_types::Text)]
        line: String,
    }
    let douse::store::Db::Pg(c) = db else { panic!("PostgreSQL only") };
    let mut found = Vec::new();
    for table in ["users", "api_tokens", "sessions", "setup_tokens", "login_failures", "audit_events"] {
        let rows: Vec<Line> = diesel::sql_query(format!("SELECT t::text AS line FROM {table} t")).load(c)?;
        assert!(!rows.is_empty(), "{table}");
        found.extend(rows.into_iter().map(|row| row.line.into_bytes()));
    }
    Ok(found)
}

#[tokio::test]
async fn a_token_makes_no_tokens_and_none_above_its_maker() {
    let (bench, _) = bench(harness::sqlite().await).await;
    let ada = logged_in(&bench, "ada", Role::Operator).await;
    let token = mint(&bench, &ada, wanted("ci")).await;
    let program = who(&bench, &token).await.unwrap();
    for by in [program, root()] {
        let error = tokens::mint(&bench.engine, wanted("more"), &by).await.err().unwrap();
        assert!(error.to_string().contains("only who is logged in"), "{error}");
    }
    for above in [Role::Auditor, Role::Engineer, Role::Admin] {
        let new = tokens::NewToken { role: Some(above), ..wanted("above") };
        let error = tokens::mint(&bench.engine, new, &ada).await.err().unwrap();
        assert!(error.to_string().contains("cannot make a token for"), "{error}");
    }
    for wrong in [
        tokens::NewToken { expires_in: Some(DAY * 400), ..wanted("long") },
        tokens::NewToken { expires_in: Some(Duration::ZERO), ..wanted("none") },
        tokens::NewToken { scopes: Some(Vec::new()), ..wanted("empty") },
        tokens::NewToken { scopes: Some(vec![scope(&[Act::View], "[")]), ..wanted("broken") },
        wanted(""),
    ] {
        assert!(tokens::mint(&bench.engine, wrong.clone(), &ada).await.is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn scopes_of_owner_and_token_both_hold() {
    let (bench, _) = bench(harness::sqlite().await).await;
    let ada = logged_in(&bench, "ada", Role::Operator).await;
    let scopes = Some(vec![scope(&[Act::Execute], "restart-*")]);
    let token = mint(&bench, &ada, tokens::NewToken { scopes, ..wanted("restarts") }).await;
    let program = who(&bench, &token).await.unwrap();
    assert!(program.may(Act::Execute, "restart-nginx", None) && program.may(Act::View, "restart-nginx", None));
    assert!(!program.may(Act::Approve, "restart-nginx", None) && !program.may(Act::View, "reboot", None));
    let change = users::Change {
        scopes: Some(Some(vec![scope(&[Act::Approve], "restart-*"), scope(&[Act::Execute], "reboot")])),
        ..users::Change::default()
    };
    users::update(&bench.engine, "ada".to_owned(), change, &root()).await.unwrap();
    let program = who(&bench, &token).await.unwrap();
    assert!(program.may(Act::View, "restart-nginx", None), "both let it be seen");
    assert!(!program.may(Act::Execute, "restart-nginx", None) && !program.may(Act::Execute, "reboot", None));
    let lift = users::Change { scopes: Some(None), ..users::Change::default() };
    users::update(&bench.engine, "ada".to_owned(), lift, &root()).await.unwrap();
    assert!(who(&bench, &token).await.unwrap().may(Act::Execute, "restart-nginx", None));
}
