//! One body, two engines.

use douse::store::Store;

use crate::support::postgres;

/// A store on a fresh database, and what must live as long as it.
pub struct Fixture {
    pub store: Store,
    pub url: String,
    pub _directory: Option<tempfile::TempDir>,
}

pub async fn sqlite() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/data/douse.db", directory.path().display());
    Fixture { store: Store::open(&url).await.unwrap(), url, _directory: Some(directory) }
}

pub async fn postgres() -> Fixture {
    let url = tokio::task::spawn_blocking(postgres::database).await.unwrap();
    Fixture { store: Store::open(&url).await.unwrap(), url, _directory: None }
}

/// `on_both_engines! { async fn name(fixture: Fixture) { … } }` makes `name::sqlite` and `name::postgres`.
macro_rules! on_both_engines {
    ($(async fn $name:ident($fixture:ident: Fixture) $body:block)+) => { $(
        mod $name {
            use super::*;

            async fn body($fixture: crate::store::harness::Fixture) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body(crate::store::harness::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body(crate::store::harness::postgres().await).await;
            }
        }
    )+ };
}
pub(crate) use on_both_engines;
