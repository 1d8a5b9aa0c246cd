//! `servers import` against a running engine: Ansible, ssh, a table.

use serde_json::json;

use super::*;
use crate::cli::douse;

#[test]
fn an_ansible_inventory_becomes_servers_that_can_be_logged_in_to() {
    let (bastion, sshd) = (Sshd::start(), Sshd::start());
    let engine = started(setup());
    let folder = engine.folder();
    let (gateway, web) = (bastion.server("gw"), sshd.server("web1"));
    let inventory = format!(
        "[jump]\ngw ansible_host={} ansible_port={} ansible_user={} ansible_ssh_private_key_file={}\n\n\
         [web]\nweb1 ansible_host={} ansible_port={} ansible_user={} ansible_ssh_private_key_file={} \
         ansible_ssh_common_args='-o ProxyJump=gw' ansible_become_method=doas http_port=80\nlocal ansible_connection=local\n",
        gateway.hostname,
        gateway.port,
        gateway.username,
        bastion.key_file().display(),
        web.hostname,
        web.port,
        web.username,
        sshd.key_file().display(),
    );
    fs::write(folder.join("hosts"), inventory).unwrap();
    let known = format!(
        "[{}]:{} {}\n[{}]:{} {}\n",
        gateway.hostname, gateway.port, gateway.host_keys[0], web.hostname, web.port, web.host_keys[0]
    );
    fs::write(folder.join("known_hosts"), known).unwrap();
    let import = |more: &[&str]| {
        let words = ["servers", "import", "ansible-inventory", "hosts", "--known-hosts", "known_hosts"];
        douse(&engine, &[&words[..], more].concat())
    };

    let shown = import(&["--dry-run", "-o", "json"]).ends(0).json();
    assert_eq!(shown[0]["result"], "would be added");
    assert_eq!(engine.get("/api/v1/servers")["items"], json!([]), "nothing was changed");
    let notes = shown[1]["notes"].to_string();
    for part in ["`ansible_become_method` was not carried", "1 variables", "--with-secrets"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    import(&["--with-secrets"]).ends(0).says(&["added"]);
    let server = engine.get("/api/v1/servers/web1");
    assert_eq!((&server["bastion"], &server["group"], &server["tags"]), (&json!("gw"), &json!("web"), &json!(["web"])));
    assert_eq!((&server["stored_secrets"], &server["host_keys"]), (&json!(["private_key"]), &json!(web.host_keys)));
    assert_eq!(tested(&engine, "web1"), "success");
    assert!(bastion.log().contains("direct-tcpip"), "through the bastion");
    import(&[]).ends(0).says(&["exists already"]);

    let removed = douse(&engine, &["servers", "rm", "gw"]).ends(1);
    removed.tells(&["server `web1` is reached through `gw`"]);
    assert_eq!(tested(&engine, "web1"), "success", "nothing of a refused removal stays");
}

#[test]
fn an_ssh_configuration_and_a_table_become_servers() {
    let sshd = Sshd::start();
    let engine = started(setup());
    let folder = engine.folder();
    let server = sshd.server("web1");
    let config = format!(
        "Host *.invalid\n  User nobody\nHost web1\n  HostName {}\n  Port {}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n\
         Host old\n  HostName 10.0.0.9\n  ProxyCommand nc %h %p\n",
        server.hostname,
        server.port,
        server.username,
        sshd.key_file().display(),
        folder.join("kh").display()
    );
    fs::write(folder.join("config"), config).unwrap();
    fs::write(folder.join("kh"), format!("[{}]:{} {}\n", server.hostname, server.port, server.host_keys[0])).unwrap();
    let done =
        douse(&engine, &["servers", "import", "ssh-config", "config", "--with-secrets", "-o", "json"]).ends(0).json();
    assert_eq!((&done[0]["name"], &done[0]["result"]), (&json!("web1"), &json!("added")), "{done}");
    assert!(done[1]["notes"].to_string().contains("`ProxyCommand` was not carried"), "{done}");
    assert_eq!(tested(&engine, "web1"), "success");

    let table = "name,hostname,username,password,tags,group,port\nweb2,10.0.0.2,ops,\"p,4711\",a;b,front,2222\nbad name,10.0.0.3,ops,,,,\n";
    fs::write(folder.join("table.csv"), table).unwrap();
    let done =
        douse(&engine, &["servers", "import", "csv", "table.csv", "--with-secrets", "-o", "json"]).ends(1).json();
    assert_eq!((&done[0]["result"], &done[0]["login"]), (&json!("added"), &json!("password")), "{done}");
    assert!(done[1]["result"].as_str().unwrap().contains("not a server's name"), "{done}");
    assert!(!done.to_string().contains("4711"));
    let made = engine.get("/api/v1/servers/web2");
    assert_eq!((&made["port"], &made["tags"]), (&json!(2222), &json!(["a", "b"])));
    assert_eq!(made["stored_secrets"], json!(["password"]));
    fs::write(folder.join("table.csv"), table.replace("front", "back")).unwrap();
    let again = douse(&engine, &["servers", "import", "csv", "table.csv", "--update"]);
    again.ends(1).says(&["updated", "was not sent"]);
    let made = engine.get("/api/v1/servers/web2");
    assert_eq!(
        (&made["group"], &made["stored_secrets"]),
        (&json!("back"), &json!(["password"])),
        "what is stored stays"
    );
}
