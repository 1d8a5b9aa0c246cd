//! Opening: URLs, the directory's lock, transactions.

use douse::clock::{Clock, Timestamp};
use douse::store::{Store, StoreError, sources};

use super::harness::{self, on_both_engines};

fn now() -> Timestamp {
    Clock::System.now()
}

on_both_engines! {
    async fn what_a_write_commits_a_read_sees(fixture: Fixture) {
        let time = now();
        fixture.store.write(move |db| sources::seen(db, "main", 1, time)).await.unwrap();
        fixture.store.write(move |db| sources::seen(db, "main", 1, time)).await.unwrap();
        let rows = fixture.store.read(sources::list).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].name.as_str(), rows[0].deliveries, rows[0].first_seen_at), ("main", 2, time));
    }

    async fn what_a_failed_write_did_is_taken_back(fixture: Fixture) {
        let error = fixture
            .store
            .write(|db| {
                sources::seen(db, "main", 1, now())?;
                Err::<(), _>(StoreError::GivenUp("on purpose".to_owned()))
            })
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::GivenUp(_)), "{error}");
        assert!(fixture.store.read(sources::list).await.unwrap().is_empty());
    }

    async fn a_panicking_write_leaves_nothing_and_the_store_usable(fixture: Fixture) {
        let error = fixture
            .store
            .write(|db| -> Result<(), StoreError> {
                sources::seen(db, "main", 1, now())?;
                panic!("on purpose")
            })
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Defect(_)), "{error}");
        assert!(fixture.store.read(sources::list).await.unwrap().is_empty());
        fixture.store.write(|db| sources::seen(db, "main", 1, now())).await.unwrap();
    }

    async fn a_read_cannot_write(fixture: Fixture) {
        assert!(fixture.store.read(|db| sources::seen(db, "main", 1, now())).await.is_err());
        assert!(fixture.store.read(sources::list).await.unwrap().is_empty());
    }

    async fn opening_again_keeps_the_rows(fixture: Fixture) {
        fixture.store.write(|db| sources::seen(db, "main", 1, now())).await.unwrap();
        drop(fixture.store);
        let again = Store::open(&fixture.url).await.unwrap();
        assert_eq!(again.read(sources::list).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_second_store_on_the_same_directory_is_refused() {
    let first = harness::sqlite().await;
    let Err(error) = Store::open(&first.url).await else { panic!("opened twice") };
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&std::process::id().to_string()) && text.contains("stop it first"), "{text}");
    drop(first.store);
    Store::open(&first.url).await.unwrap();
}

#[tokio::test]
async fn a_typing_error_in_the_scheme_opens_no_file() {
    let directory = tempfile::tempdir().unwrap();
    for scheme in ["sqlit", "postgre", "SQLITE", "mysql", "file"] {
        let url = format!("{scheme}://{}/douse.db", directory.path().display());
        assert!(matches!(Store::open(&url).await, Err(StoreError::Url { .. })), "{url}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_unavailable_and_says_so() {
    let Err(error) = Store::open("postgres://nobody@127.0.0.1:1/none?connect_timeout=2").await else {
        panic!("opened")
    };
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}
