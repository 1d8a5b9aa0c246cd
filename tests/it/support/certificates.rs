//! Certificates, made by `openssl` when a test wants them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// An authority, in a folder of its own, with all that it signs.
pub struct Authority {
    folder: TempDir,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Signed {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("douse-ca-").unwrap();
        let (cert, key) = (folder.path().join("ca.pem"), folder.path().join("ca.key"));
        let mut command = request(&cert, &key, "/CN=Authority of the tests");
        openssl(command.args([
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ]));
        Self { folder }
    }

    /// Its own certificate.
    pub fn cert(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server's certificate for 127.0.0.1 and `localhost`.
    pub fn server(&self, name: &str) -> Signed {
        self.sign(
            name,
            &format!("/CN={name}"),
            &["subjectAltName=IP:127.0.0.1,DNS:localhost", "extendedKeyUsage=serverAuth"],
        )
    }

    /// A client's certificate.
    pub fn client(&self, name: &str, subject: &str) -> Signed {
        self.sign(name, subject, &["extendedKeyUsage=clientAuth"])
    }

    fn sign(&self, name: &str, subject: &str, extensions: &[&str]) -> Signed {
        let signed = Signed {
            cert: self.folder.path().join(format!("{name}.pem")),
            key: self.folder.path().join(format!("{name}.key")),
        };
        let mut command = request(&signed.cert, &signed.key, subject);
        command.arg("-CA").arg(self.cert()).arg("-CAkey").arg(self.folder.path().join("ca.key"));
        for extension in [&["basicConstraints=critical,CA:FALSE"], extensions].concat() {
            command.args(["-addext", extension]);
        }
        openssl(&mut command);
        signed
    }
}

impl Signed {
    /// SHA-256 of the public key, as an operator makes it.
    pub fn spki_sha256(&self) -> String {
        let read = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let key = self.key.display().to_string();
        let der = read(&["pkey", "-in", &key, "-pubout", "-outform", "der"]);
        Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Certificate and key in one text, as reqwest takes an identity.
    pub fn pem(&self) -> Vec<u8> {
        [fs::read(&self.cert).unwrap(), fs::read(&self.key).unwrap()].concat()
    }

    /// Puts this one where `other` was.
    pub fn replaces(&self, other: &Self) {
        fs::copy(&self.cert, &other.cert).unwrap();
        fs::copy(&self.key, &other.key).unwrap();
    }
}

fn request(cert: &Path, key: &Path, subject: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "30", "-subj", subject, "-utf8"]).arg("-out").arg(cert).arg("-keyout").arg(key);
    command
}

fn openssl(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{error}: apt-get install openssl"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
