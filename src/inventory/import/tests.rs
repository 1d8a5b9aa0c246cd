//! What is made of other tools' files.

use super::ansible::{self, VariablesFile};
use super::{Candidate, Import, ssh, table};

fn server<'a>(import: &'a Import, name: &str) -> &'a Candidate {
    import.servers.iter().find(|server| server.name == name).unwrap_or_else(|| panic!("{name} is missing"))
}

fn names(import: &Import) -> Vec<&str> {
    import.servers.iter().map(|server| server.name.as_str()).collect()
}

fn notes(import: &Import, name: &str) -> String {
    import.notes_of(name).collect::<Vec<_>>().join("; ")
}

const INI: &str = "\
; hosts without a group
mail.example.com ansible_host=10.0.0.1

[web]
web[01:03].example.com ansible_user=deploy
odd ansible_port=2222 ansible_ssh_pass='p ss#1' ansible_become_pass=\"s;do\"   # a comment
other:5022

[db]
db-[a:b] ansible_ssh_private_key_file=~/.ssh/db ansible_ssh_common_args='-o ProxyJump=jump@gw.example.com:2200 -o StrictHostKeyChecking=no'
other

[prod:children]
web
db

[prod:vars]
ansible_user=ops
app_version=1.2

[web:vars]
ansible_become_user=www-data

[windows]
win1 ansible_connection=winrm ansible_user='CORP\\svc' ansible_winrm_transport=kerberos ansible_winrm_server_cert_validation=ignore ansible_port=5986

[local]
here ansible_connection=local

[odd_section:things]
x
";

#[test]
fn an_ini_inventory_is_carried_with_groups_ranges_variables_and_jumps() {
    let import = ansible::import(INI, false, &[]).unwrap();
    let expected = [
        "mail.example.com",
        "web01.example.com",
        "web02.example.com",
        "web03.example.com",
        "odd",
        "other",
        "db-a",
        "db-b",
        "win1",
        "gw.example.com",
    ];
    assert_eq!(names(&import), expected);
    let web = server(&import, "web02.example.com");
    assert_eq!((web.username.as_deref(), web.group.as_deref()), (Some("deploy"), Some("web")), "the host's own wins");
    assert_eq!(web.tags.iter().map(String::as_str).collect::<Vec<_>>(), ["prod", "web"]);
    let odd = server(&import, "odd");
    assert_eq!((odd.port.as_deref(), odd.username.as_deref()), (Some("2222"), Some("ops")), "the outer group's");
    assert_eq!(odd.password.as_ref().map(|p| p.as_str()), Some("p ss#1"));
    assert_eq!(odd.become_password.as_ref().map(|p| p.as_str()), Some("s;do"));
    assert!(notes(&import, "odd").contains("www-data") && notes(&import, "odd").contains("1 variables"));
    let other = server(&import, "other");
    assert_eq!(other.port.as_deref(), Some("5022"));
    assert!(notes(&import, "other").contains("several groups (db, web)"), "{}", notes(&import, "other"));
    let db = server(&import, "db-b");
    assert_eq!((db.key_file.as_deref(), db.bastion.as_deref()), (Some("~/.ssh/db"), Some("gw.example.com")));
    assert!(notes(&import, "db-b").contains("StrictHostKeyChecking=no was not carried"), "{}", notes(&import, "db-b"));
    let gateway = server(&import, "gw.example.com");
    assert_eq!((gateway.port.as_deref(), gateway.username.as_deref()), (Some("2200"), Some("jump")));
    assert!(notes(&import, "gw.example.com").contains("is the bastion of"));
    let windows = server(&import, "win1");
    assert_eq!((windows.domain.as_deref(), windows.username.as_deref()), (Some("CORP"), Some("svc")));
    assert_eq!((windows.winrm_use_ssl, windows.winrm_cert_validation), (Some(true), Some(false)));
    assert_eq!(windows.winrm_transport.as_deref(), Some("kerberos"));
    assert!(notes(&import, "here").contains("`ansible_connection: local` is neither SSH nor WinRM"));
    assert!(import.notes.iter().any(|note| note.server.is_none() && note.message.contains("`:things`")));
    let order: Vec<&str> = import.in_order().iter().map(|server| server.name.as_str()).collect();
    let at = |name: &str| order.iter().position(|known| *known == name).unwrap();
    assert!(order.len() == 10 && at("gw.example.com") < at("db-a"));
}

#[test]
fn a_yaml_inventory_and_the_files_beside_it_are_carried() {
    let yaml = "
all:
  vars: {ansible_user: ops}
  children:
    web:
      hosts:
        web[1:2]: {ansible_port: 2222}
        bare:
      vars: {ansible_become_password: '{{ vault_sudo }}'}
    jump:
      hosts: {gw: {ansible_host: 10.0.0.1}}
";
    let file = |is_group, name: &str, text: &str| VariablesFile { is_group, name: name.into(), text: text.into() };
    let more = [
        file(true, "web", "ansible_ssh_common_args: -J gw\n"),
        file(
            false,
            "web2",
            "ansible_host: 10.0.0.12\nansible_password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n",
        ),
        file(false, "nobody", "ansible_host: x\n"),
    ];
    let import = ansible::import(yaml, true, &more).unwrap();
    assert_eq!(names(&import).len(), 4, "{:?}", names(&import));
    let web = server(&import, "web2");
    assert_eq!((web.hostname.as_deref(), web.port.as_deref()), (Some("10.0.0.12"), Some("2222")));
    assert_eq!(
        (web.username.as_deref(), web.bastion.as_deref()),
        (Some("ops"), Some("gw")),
        "the known host is the bastion"
    );
    assert!(web.password.is_none() && web.become_password.is_none());
    let told = notes(&import, "web2");
    assert!(told.contains("encrypted by ansible-vault") && told.contains("is a template"), "{told}");
    assert!(import.notes.iter().any(|note| note.message.contains("`nobody`")));
    assert!(ansible::import("[1, 2]", true, &[]).is_err());
}

#[test]
fn an_ssh_configuration_is_read_by_its_names_and_by_what_ssh_says() {
    let config = "Include more/*\nHost web1 \"web2\" *.example.com !no\n  User x\nHost = db1\nMatch host x\n";
    let (named, left) = ssh::names(config);
    assert_eq!(named, ["web1", "web2", "db1"]);
    assert!(left[0].contains("Include more/*") && left[1].contains("Match host x"), "{left:?}");
    let said = "host web1\nuser ops\nhostname 10.0.0.9\nport 2222\nidentityfile ~/.ssh/absent\nidentityfile /k/one\n\
                identityfile /k/two\nproxyjump gw1,ops@gw2:2200\nuserknownhostsfile ~/.ssh/known_hosts /etc/kh\nproxycommand none\n";
    let mut import = Import::default();
    ssh::add(&mut import, "web1", said, |path| path.starts_with("/k/"));
    let web = server(&import, "web1");
    assert_eq!((web.key_file.as_deref(), web.known_hosts.len()), (Some("/k/one"), 2));
    assert_eq!(web.bastion.as_deref(), Some("gw2"));
    assert_eq!(server(&import, "gw2").bastion.as_deref(), Some("gw1"));
    assert!(notes(&import, "web1").contains("1 more keys"));
}

#[test]
fn a_table_is_read_by_the_names_of_its_columns() {
    let rows = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let import =
        table::import(&rows("Name,Hostname,tags,password,colour\nweb1,10.0.0.1,a; b,s3cret,red\n,10.0.0.2,,,\nweb2"))
            .unwrap();
    let web = server(&import, "web1");
    assert_eq!(web.tags.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(web.password.as_ref().map(|p| p.as_str()), Some("s3cret"));
    assert_eq!(server(&import, "web2").hostname, None);
    let told: Vec<&str> = import.notes.iter().map(|note| note.message.as_str()).collect();
    assert!(told[0].contains("`colour`") && told[1].contains("row 3 has no name"), "{told:?}");
    assert!(table::import(&rows("hostname\nx")).is_err_and(|error| error.contains("`name` among them")));
}
