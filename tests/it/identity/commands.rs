//! The same on the command line.

use std::path::Path;
use std::process::{Command, Stdio};

use super::PASSWORD;
use crate::support::engine::{ADMIN_TOKEN, Engine};

/// What a command said: exit code, standard output, standard error.
type Said = (i32, String, String);

/// Runs `douse` as somebody at home in `home`, with `input` on standard input.
fn douse(engine: &Engine, home: &Path, token: Option<&str>, input: &str, arguments: &[&str]) -> Said {
    douse_at(&engine.url, home, token, input, arguments)
}

fn douse_at(url: &str, home: &Path, token: Option<&str>, input: &str, arguments: &[&str]) -> Said {
    use std::io::Write as _;
    let mut command = Command::new("timeout");
    command.args(["90", env!("CARGO_BIN_EXE_douse")]).args(arguments).env("DOUSE_URL", url).env("HOME", home);
    for name in ["DOUSE_TOKEN", "DOUSE_TOKEN_FILE", "XDG_STATE_HOME"] {
        command.env_remove(name);
    }
    if let Some(token) = token {
        command.env("DOUSE_TOKEN", token);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("`timeout` runs");
    // A command that reads nothing may have closed it.
    let _closed = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn ends((code, out, err): Said, expected: i32) -> (String, String) {
    assert_eq!(code, expected, "{out}{err}");
    (out, err)
}

#[test]
fn the_first_admin_sets_up_and_lets_others_in() {
    let mut engine = Engine::setup().no_tokens().write();
    engine.start();
    let home = tempfile::tempdir().unwrap();
    let at_home = |input: &str, arguments: &[&str]| douse(&engine, home.path(), None, input, arguments);
    let printed = engine.log();
    let token = printed.split_whitespace().find(|word| word.starts_with("douse_setup_")).expect("it is printed");
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (token_file, password_file) = (file("token", token), file("password", PASSWORD));
    let setup = ["users", "setup", "ada", "--setup-token-file", &token_file, "--password-file", &password_file];
    ends(at_home("", &["users", "list"]), 5);
    let (out, err) = ends(at_home("", &setup), 0);
    assert!(out.contains("ada: admin, active") && err.contains("douse login ada"), "{out}{err}");
    ends(at_home("", &setup), 5);
    ends(at_home("wrong\n", &["login", "ada", "--password-file", "-"]), 5);
    let (out, _) = ends(at_home(PASSWORD, &["login", "ada", "--password-file", "-"]), 0);
    assert!(out.contains("ada is logged in as admin until 20") && !out.contains("douse_session"), "{out}");
    // Added, invited, changed, kept out.
    let (invited, err) =
        ends(at_home("", &["users", "add", "bob", "--role", "operator", "--scope", "execute:restart-*"]), 0);
    assert!(invited.starts_with("douse_setup_") && err.contains("bob chooses a password"), "{invited}{err}");
    let (out, _) = ends(at_home("", &["users", "list", "-o", "wide"]), 0);
    assert!(out.contains("invited") && out.contains("execute:restart-*:*"), "{out}");
    ends(at_home(&invited, &["users", "setup", "--setup-token-file", "-", "--password-file", &password_file]), 0);
    let elsewhere = tempfile::tempdir().unwrap();
    let as_bob = |arguments: &[&str]| douse(&engine, elsewhere.path(), None, "", arguments);
    ends(as_bob(&["login", "bob", "--password-file", &password_file]), 0);
    ends(as_bob(&["users", "list"]), 5);
    let (out, _) = ends(at_home("", &["users", "set", "bob", "--role", "viewer", "--no-scopes"]), 0);
    assert_eq!(out, "bob: viewer, active\n");
    // Tokens.
    let (token, err) = ends(as_bob(&["tokens", "create", "ci", "--expires-in", "7d"]), 0);
    assert!(token.starts_with("douse_token_") && err.contains("it is not shown again"), "{token}{err}");
    let token = token.trim();
    let by_token = |arguments: &[&str]| douse(&engine, home.path(), Some(token), "", arguments);
    ends(by_token(&["runbooks", "list"]), 0);
    ends(by_token(&["tokens", "create", "more"]), 5);
    let (out, _) = ends(as_bob(&["tokens", "list", "-o", "wide"]), 0);
    assert!(out.contains("ci") && out.contains("active") && !out.contains(token), "{out}");
    let (id, _) = ends(as_bob(&["tokens", "list", "-q"]), 0);
    let (all, _) = ends(at_home("", &["tokens", "list", "--owner", "*", "-q"]), 0);
    assert_eq!(all, id);
    ends(as_bob(&["tokens", "revoke", id.trim()]), 0);
    ends(by_token(&["runbooks", "list"]), 5);
    // Passwords.
    let new = file("new", "another long password");
    let change = ["users", "password", "--current-password-file", &password_file, "--password-file", &new];
    ends(as_bob(&change), 0);
    ends(as_bob(&["runbooks", "list"]), 0);
    ends(as_bob(&["login", "bob", "--password-file", &password_file]), 5);
    ends(at_home("", &["users", "disable", "bob"]), 0);
    ends(as_bob(&["runbooks", "list"]), 5);
    ends(at_home("", &["users", "enable", "bob"]), 0);
    let (again, _) = ends(at_home("", &["users", "reset", "bob"]), 0);
    assert!(again.starts_with("douse_setup_"), "{again}");
    ends(at_home("", &["users", "rm", "bob"]), 0);
    ends(at_home("", &["users", "show", "bob"]), 4);
    // Out.
    ends(at_home("", &["logout"]), 0);
    ends(at_home("", &["users", "list"]), 5);
    let (_, err) = ends(at_home("", &["logout"]), 5);
    assert!(err.contains("nobody is logged in"), "{err}");
    let log = engine.log();
    for secret in [PASSWORD, token, invited.trim(), again.trim()] {
        assert!(!log.contains(secret), "`{secret}` is in the log");
    }
    let before = log.matches("douse_setup_").count();
    engine.stop();
    engine.start();
    assert_eq!((before, engine.log().matches("douse_setup_").count()), (1, 1), "there is an admin: nothing is printed");
}

#[test]
fn a_saved_login_is_for_its_owner_and_its_engine_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let engine = crate::api::engine();
    let home = tempfile::tempdir().unwrap();
    let as_admin = |arguments: &[&str]| douse(&engine, home.path(), Some(ADMIN_TOKEN), "", arguments);
    let (invited, _) = ends(as_admin(&["users", "add", "bob", "--role", "viewer", "-q"]), 0);
    let password = home.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let password = password.to_str().unwrap();
    let setup = ["users", "setup", "--setup-token-file", "-", "--password-file", password];
    ends(douse(&engine, home.path(), None, &invited, &setup), 0);
    ends(douse(&engine, home.path(), None, "", &["login", "bob", "--password-file", password]), 0);
    let folder = home.path().join(".local/state/douse/logins");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(std::fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    // The same engine by another name.
    let other = format!("http://[::ffff:{}]:{}/", engine.address().ip(), engine.address().port());
    let (_, err) = ends(douse_at(&other, home.path(), None, "", &["runbooks", "list"]), 5);
    assert!(err.contains("no credential"), "it is not sent to another address: {err}");
    ends(douse(&engine, home.path(), None, "", &["runbooks", "list"]), 0);
    let (_, err) = ends(douse(&engine, home.path(), None, "", &["login", "bob"]), 2);
    assert!(err.contains("--password-file"), "{err}");
}
