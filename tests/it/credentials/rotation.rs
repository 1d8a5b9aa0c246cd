//! Rotation of the master key: online, in batches, interrupted by `kill -9`, and gone on with.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::support::http;
use crate::support::wait::wait_for;

/// More than a rotation in batches of one does between two looks.
const SERVERS: usize = 60;

on_both! { a_rotation_that_is_killed_goes_on_where_it_was }

fn keys_of(engine: &Engine) -> Vec<Value> {
    let answer = http::get(&format!("{}/api/v1/keys", engine.url), Some(crate::support::engine::ADMIN_TOKEN)).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["items"].as_array().unwrap().clone()
}

fn servers_under(engine: &Engine, id: &str) -> i64 {
    let keys = keys_of(engine);
    let found = keys.iter().find(|key| key["key_id"].as_str().unwrap().starts_with(&format!("{id}.")));
    found.map_or(0, |key| key["servers"].as_i64().unwrap())
}

mod bodies {
    use super::*;

    pub(super) fn a_rotation_that_is_killed_goes_on_where_it_was(storage: Option<String>) {
        let sshd = Sshd::start();
        let setup = match &storage {
            Some(url) => setup().storage(url).lease("2s"),
            None => setup(),
        };
        let mut engine = started(setup);
        for number in 0..SERVERS {
            let made = engine.post("/api/v1/servers", &with_key(&sshd, &format!("web{number}")));
            assert_eq!(made.status, 201, "{}", made.text);
        }
        assert_eq!(servers_under(&engine, "a"), 60);

        // Online: the new key seals what is new after a reload, and the old one still opens.
        write_keys(&engine, &format!("{}{}", key("a", "0a"), key("b", "0b")));
        assert_eq!(engine.post("/-/reload", &json!({})).status, 200);
        assert_eq!(engine.post("/api/v1/servers", &with_key(&sshd, "late")).status, 201);
        assert_eq!((servers_under(&engine, "a"), servers_under(&engine, "b")), (60, 1));

        let url = engine.url.clone();
        let rotating = std::thread::spawn(move || {
            let token = Some(crate::support::engine::ADMIN_TOKEN);
            while http::post(&format!("{url}/api/v1/keys/rotate"), token, Some(&json!({"limit": 1}))).is_some() {}
        });
        wait_for("a part is rotated", Duration::from_secs(30), || (servers_under(&engine, "b") > 8).then_some(()));
        engine.kill();
        rotating.join().unwrap();

        engine.start();
        let (old, new) = (servers_under(&engine, "a"), servers_under(&engine, "b"));
        assert!(old > 0 && new > 8, "it was killed in the middle: {old}, {new}");
        assert_eq!(old + new, 61);
        for name in ["web0", "web59", "late"] {
            assert_eq!(tested(&engine, name), "success", "{name}");
        }
        // The old key is needed until the end.
        engine.stop();
        write_keys(&engine, &key("b", "0b"));
        let said = engine.fails_to_start();
        assert!(said.contains("does not hold") && said.contains("douse keys rotate"), "{said}");
        write_keys(&engine, &format!("{}{}", key("a", "0a"), key("b", "0b")));
        engine.start();

        let ran = crate::cli::douse(&engine, &["keys", "rotate", "--batch", "7"]);
        let ran = ran.ends(0).says(&["everything is under `b."]);
        ran.tells(&["seals nothing any more: its line may go"]);
        assert_eq!((servers_under(&engine, "a"), servers_under(&engine, "b")), (0, 61));
        let events = engine.get("/api/v1/audit?event_type=KEYS_ROTATED")["items"].as_array().unwrap().len();
        assert!(events > 9, "each batch has left its event: {events}");
        let retired = engine.get("/api/v1/audit?event_type=ENCRYPTION_KEY_RETIRED")["items"][0].clone();
        assert!(retired["resource_id"].as_str().unwrap().starts_with("a."), "{retired}");

        engine.stop();
        write_keys(&engine, &key("b", "0b"));
        engine.start();
        for name in ["web0", "web59", "late"] {
            assert_eq!(tested(&engine, name), "success", "{name}");
        }
        let again = engine.post("/api/v1/keys/rotate", &json!({})).json();
        assert_eq!((&again["rotated"], &again["remaining"]), (&json!(0), &json!(0)));
    }
}

#[test]
fn keys_are_generated_for_their_owner_alone_and_added_without_losing_one() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("master.key");
    crate::cli::douse_in(folder.path(), &["keys", "generate", "master.key", "--name", "one"]).ends(0).tells(&["one."]);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let first = fs::read_to_string(&file).unwrap();
    crate::cli::douse_in(folder.path(), &["keys", "generate", "master.key"]).ends(1).tells(&["--append"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), first, "an existing key is never lost");
    crate::cli::douse_in(folder.path(), &["keys", "generate", "master.key", "--append", "--name", "two"]).ends(0);
    let both = fs::read_to_string(&file).unwrap();
    assert!(both.starts_with(&first) && both.lines().count() == 2 && both.contains("\ntwo:"), "{both}");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
}
