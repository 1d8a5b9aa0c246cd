//! What Douse logs in with: sealed in the database, used by connections, shown nowhere.

mod api;
mod canary;
mod import;
mod keys;
mod reach;
mod rotation;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection as _;
use douse::store::{Db, Store};
use serde_json::{Value, json};

use crate::support::engine::{Engine, Setup};
use crate::support::sshd::Sshd;

/// Where the engine of a test has its master keys.
const KEY_FILE: &str = "secrets/master.key";

/// An engine that keeps secrets under the master key `a`.
fn setup() -> Setup {
    Engine::setup().config(&format!("encryption: {{master_key_file: {KEY_FILE}}}"))
}

/// `id:hex`, the hex made of one byte.
fn key(id: &str, byte: &str) -> String {
    format!("{id}:{}\n", byte.repeat(32))
}

/// Writes the engine's key file, for its owner alone.
fn write_keys(engine: &Engine, text: &str) -> PathBuf {
    let file = engine.folder().join(KEY_FILE);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    set_mode(&file, 0o600);
    file
}

fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// The engine of `setup`, with one key, running.
fn started(setup: Setup) -> Engine {
    let mut engine = setup.write();
    write_keys(&engine, &key("a", "0a"));
    engine.start();
    engine
}

/// A body that adds `sshd` as server `name`, logged in to with its harness's key, which goes into the database.
fn with_key(sshd: &Sshd, name: &str) -> Value {
    let server = sshd.server(name);
    json!({
        "name": name, "hostname": server.hostname, "port": server.port, "username": server.username, "auth_type": "key",
        "private_key": fs::read_to_string(sshd.key_file()).unwrap(), "host_keys": server.host_keys,
    })
}

/// Runs SQL in the database of an engine that does not run (or that shares it).
fn sql(url: &str, text: &str) {
    let (url, text) = (url.to_owned(), text.to_owned());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let store = Store::open(&url).await.unwrap();
        let ran = store.write(move |db| {
            match db {
                Db::Sqlite(c) => c.batch_execute(&text)?,
                Db::Pg(c) => c.batch_execute(&text)?,
            }
            Ok(())
        });
        ran.await.unwrap();
    });
}

/// The URL of an engine's own SQLite database.
fn sqlite_of(engine: &Engine) -> String {
    format!("sqlite://{}", engine.folder().join("data/douse.db").display())
}

/// `success`, or what failed.
fn tested(engine: &Engine, name: &str) -> String {
    let answer = engine.post(&format!("/api/v1/servers/{name}/test"), &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    if answer["status"] == "success" { "success".to_owned() } else { answer["message"].as_str().unwrap().to_owned() }
}

/// Makes `name` (`…::sqlite`, `…::postgres`) of one body that takes the database's URL, or none for the engine's own.
macro_rules! on_both {
    ($($name:ident)+) => { $(
        mod $name {
            #[test]
            fn sqlite() {
                super::bodies::$name(None);
            }

            #[test]
            fn postgres() {
                super::bodies::$name(Some(crate::support::postgres::database()));
            }
        }
    )+ };
}
use on_both;
