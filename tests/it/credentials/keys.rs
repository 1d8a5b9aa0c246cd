//! Master keys at the start: the right one, a wrong one, none; and that what is stored is ciphertext of its own row.

use std::fs;

use serde_json::json;

use super::*;

#[test]
fn a_missing_or_wrong_key_refuses_to_start_and_the_right_one_opens_everything() {
    let sshd = Sshd::start();
    let mut engine = started(setup());
    let made = engine.post("/api/v1/servers", &with_key(&sshd, "web1"));
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["stored_secrets"], json!(["private_key"]));
    assert_eq!(tested(&engine, "web1"), "success");
    engine.stop();

    for (keys, part) in [
        (key("b", "0b"), "which "),
        (key("a", "0b"), "does not hold"),
        ("0b".repeat(32), "does not hold"),
        ("nonsense".to_owned(), "64 hex characters"),
        (String::new(), "there is no key in it"),
    ] {
        write_keys(&engine, &keys);
        let said = engine.fails_to_start();
        assert!(said.contains(part) && !said.contains("0b0b"), "{keys}: {said}");
    }
    // A key that was retired, and then sealed something on a replica that did not know the newer one, is wanted still.
    write_keys(&engine, &key("b", "0b"));
    sql(&sqlite_of(&engine), "UPDATE encryption_keys SET retired_at = created_at");
    assert!(engine.fails_to_start().contains("does not hold"));
    let file = write_keys(&engine, &key("a", "0a"));
    set_mode(&file, 0o640);
    let said = engine.fails_to_start();
    assert!(said.contains("can be read by others (mode 0640)"), "{said}");
    fs::remove_file(&file).unwrap();
    let said = engine.fails_to_start();
    assert!(said.contains("E130") && said.contains("douse keys generate"), "{said}");

    let config = engine.config_file();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("encryption:", "x-encryption:")).unwrap();
    let said = engine.fails_to_start();
    assert!(said.contains("no master key is configured") && said.contains("encryption.master_key_file"), "{said}");

    // Beside the database it would be copied along with it.
    let beside = engine.folder().join("data/master.key");
    fs::write(&beside, key("a", "0a")).unwrap();
    set_mode(&beside, 0o600);
    fs::write(&config, text.replace(KEY_FILE, "data/master.key")).unwrap();
    let said = engine.fails_to_start();
    assert!(said.contains("lies in the data folder"), "{said}");
    fs::remove_file(beside).unwrap();

    fs::write(&config, text).unwrap();
    write_keys(&engine, &format!("{}{}", key("old", "0c"), key("a", "0a")));
    engine.start();
    assert_eq!(tested(&engine, "web1"), "success");
}

fn keys_of(engine: &Engine, query: &str) -> Value {
    let url = format!("{}/api/v1/keys{query}", engine.url);
    let answer = crate::support::http::get(&url, Some(crate::support::engine::ADMIN_TOKEN)).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[test]
fn without_a_lost_key_the_engine_starts_when_it_is_told_so_and_its_secrets_are_given_again() {
    let sshd = Sshd::start();
    let mut engine = started(setup());
    for name in ["web1", "web2"] {
        assert_eq!(engine.post("/api/v1/servers", &with_key(&sshd, name)).status, 201);
    }
    let lost = keys_of(&engine, "")["items"][0]["key_id"].as_str().unwrap().to_owned();
    engine.stop();
    write_keys(&engine, &key("b", "0b"));
    let advice = format!("encryption.lost_keys: [{lost}]");
    assert!(engine.fails_to_start().contains(&advice), "the way out is told");
    let text = fs::read_to_string(engine.config_file()).unwrap();
    let section = format!("encryption: {{master_key_file: {KEY_FILE}");
    fs::write(engine.config_file(), text.replace(&section, &format!("{section}, lost_keys: [{lost}]"))).unwrap();
    engine.start();
    let said = tested(&engine, "web1");
    assert!(said.starts_with("authentication: ") && said.contains(&format!("under the master key `{lost}`")), "{said}");
    // What is left of it is told, by every rotation, until it was given again or taken away.
    let left = engine.post("/api/v1/keys/rotate", &json!({})).json();
    assert_eq!((&left["remaining"], left["broken"].as_array().unwrap().len()), (&json!(2), 2), "{left}");
    let again = json!({"private_key": fs::read_to_string(sshd.key_file()).unwrap()});
    for name in ["web1", "web2"] {
        let url = format!("{}/api/v1/servers/{name}/credentials", engine.url);
        let token = Some(crate::support::engine::ENGINEER_TOKEN);
        let given = crate::support::http::ask("PUT", &url, token, Some(&again.to_string()), &[]);
        assert_eq!(given.status, 200, "{}", given.text);
        assert_eq!(tested(&engine, name), "success");
    }
    let done = engine.post("/api/v1/keys/rotate", &json!({})).json();
    assert_eq!((&done["remaining"], &done["retired"]), (&json!(0), &json!([lost])), "{done}");
    engine.stop();
    fs::write(engine.config_file(), text).unwrap();
    engine.start();
    assert_eq!(tested(&engine, "web1"), "success", "nothing has to be said about it any more");
    // The list has pages, as every other.
    let first = keys_of(&engine, "?limit=1");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = keys_of(&engine, &format!("?limit=1&cursor={cursor}"));
    assert_eq!(first["items"][0]["key_id"], json!(lost));
    assert!(second["items"][0]["key_id"].as_str().unwrap().starts_with("b.") && second["next_cursor"].is_null());
}

#[test]
fn the_key_may_come_from_the_environment_or_from_systemd() {
    let sshd = Sshd::start();
    let mut engine = started(setup());
    assert_eq!(engine.post("/api/v1/servers", &with_key(&sshd, "web1")).status, 201);
    engine.stop();
    let file = engine.folder().join(KEY_FILE);
    let credentials = engine.folder().join("credentials-of-systemd");
    fs::create_dir(&credentials).unwrap();
    fs::rename(&file, credentials.join("douse-key")).unwrap();

    let config = engine.config_file();
    let text = fs::read_to_string(&config).unwrap();
    let section = format!("encryption: {{master_key_file: {KEY_FILE}}}");
    let mut starts_with = |section_now: &str, name: &str, value: String| {
        fs::write(&config, text.replace(&section, section_now)).unwrap();
        let mut program = engine.spawn_with(&[(name.to_owned(), value)]);
        let ready = format!("{}/-/ready", engine.url);
        program.wait_ready(|| crate::support::http::get(&ready, None).is_some_and(|answer| answer.status == 200));
        engine.adopt(program);
        assert_eq!(tested(&engine, "web1"), "success", "{name}");
        engine.stop();
    };
    starts_with("", "DOUSE_ENCRYPTION__MASTER_KEY", key("a", "0a").trim().to_owned());
    let folder = credentials.display().to_string();
    starts_with("encryption: {master_key_credential: douse-key}", "CREDENTIALS_DIRECTORY", folder);

    fs::write(&config, text.replace(&section, &format!("encryption: {{master_key: '{}'}}", key("a", "0a").trim())))
        .unwrap();
    let said = engine.fails_to_start();
    assert!(said.contains("may not stand in the configuration") && !said.contains("0a0a"), "{said}");
}

#[test]
fn without_a_master_key_no_secret_is_taken() {
    let sshd = Sshd::start();
    let engine = Engine::setup().start();
    let refused = engine.post("/api/v1/servers", &with_key(&sshd, "web1"));
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains("douse keys generate"), "{}", refused.text);
    assert_eq!(engine.get("/api/v1/servers")["items"], json!([]));
}

on_both! { a_row_with_anothers_ciphertext_does_not_open plain_text_in_the_database_refuses_the_start }

mod bodies {
    use super::*;

    pub(super) fn a_row_with_anothers_ciphertext_does_not_open(storage: Option<String>) {
        let sshd = Sshd::start();
        let stored_in = |setup: Setup| match &storage {
            Some(url) => setup.storage(url),
            None => setup,
        };
        let mut engine = started(stored_in(setup()));
        for name in ["web1", "web2", "web3"] {
            assert_eq!(engine.post("/api/v1/servers", &with_key(&sshd, name)).status, 201);
        }
        let id = |name: &str| engine.get(&format!("/api/v1/servers/{name}"))["id"].as_str().unwrap().to_owned();
        let (one, two, three) = (id("web1"), id("web2"), id("web3"));
        assert_eq!(tested(&engine, "web1"), "success");
        engine.stop();
        let url = storage.clone().unwrap_or_else(|| sqlite_of(&engine));
        // One row gets another's key; another has its own in a column that is for something else.
        sql(
            &url,
            &format!(
                "UPDATE server_credentials SET ssh_key_encrypted = (SELECT ssh_key_encrypted FROM server_credentials \
                 WHERE server_id = '{two}') WHERE server_id = '{one}'; \
                 UPDATE server_credentials SET become_password_encrypted = ssh_key_encrypted WHERE server_id = '{three}'"
            ),
        );
        engine.start();
        let logins = || sshd.log().matches("Connection from").count();
        let before = logins();
        let said = tested(&engine, "web1");
        assert!(said.starts_with("authentication: ") && said.contains("belongs to another row"), "{said}");
        assert_eq!(logins(), before, "the host was not even called");
        assert_eq!(tested(&engine, "web2"), "success", "others are not affected");
        let said = tested(&engine, "web3");
        assert!(said.starts_with("authentication: ") || said.contains("belongs to another row"), "{said}");
        // What does not open is not rotated either, and is told.
        write_keys(&engine, &format!("{}{}", key("a", "0a"), key("b", "0b")));
        assert_eq!(engine.post("/-/reload", &json!({})).status, 200);
        let rotated = engine.post("/api/v1/keys/rotate", &json!({})).json();
        assert_eq!((&rotated["rotated"], &rotated["remaining"]), (&json!(1), &json!(2)), "{rotated}");
        assert_eq!(rotated["broken"].as_array().unwrap().len(), 2, "{rotated}");
    }

    pub(super) fn plain_text_in_the_database_refuses_the_start(storage: Option<String>) {
        let sshd = Sshd::start();
        let stored_in = |setup: Setup| match &storage {
            Some(url) => setup.storage(url),
            None => setup,
        };
        let mut engine = started(stored_in(setup()));
        assert_eq!(engine.post("/api/v1/servers", &with_key(&sshd, "web1")).status, 201);
        engine.stop();
        let url = storage.clone().unwrap_or_else(|| sqlite_of(&engine));
        sql(&url, "UPDATE server_credentials SET password_encrypted = 'hunter2'");
        let said = engine.fails_to_start();
        assert!(said.contains("server_credentials.password_encrypted") && said.contains("is not sealed"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        sql(&url, "UPDATE server_credentials SET password_encrypted = NULL");
        sql(&url, "UPDATE encryption_keys SET canary = 'douse canary of ' || key_id");
        let said = engine.fails_to_start();
        assert!(said.contains("it is stored in plain text"), "{said}");
    }
}
