//! The demo's stage: a scratch directory, two hosts, and the real engine on a database of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::super::init::token;
use super::sshd::{ClientKey, DemoHost};
use crate::app::{self, Running};

/// A service manager made of files, first in the hosts' `PATH`.
const SVC: &str = include_str!("files/svc.sh");
const RUNBOOKS: [(&str, &str); 3] = [
    ("restart-service.yml", include_str!("files/restart-service.yml")),
    ("drain-queue.yml", include_str!("files/drain-queue.yml")),
    ("promote-replica.yml", include_str!("files/promote-replica.yml")),
];
/// How long the story waits for something that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that runs during the demo. Dropping it removes the directory.
pub struct Stage {
    pub dir: Scratch,
    pub running: Running,
    pub hosts: Vec<DemoHost>,
    pub url: String,
    pub token: String,
    webhook_token: String,
    http: Client,
}

/// A directory that goes when its owner does.
pub struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("douse-demo-{}", crate::id::ExecutionId::new()));
        fs::create_dir(&path).with_context(|| format!("cannot make the demo's directory {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: a leftover in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    /// Builds the hosts and starts the engine on `port` (0 = any free one).
    pub async fn set(port: u16) -> anyhow::Result<Self> {
        let dir = Scratch::new()?;
        let key = ClientKey::generate()?;
        let key_file = dir.path().join("id_ed25519");
        key.write(&key_file)?;
        let mut hosts = Vec::new();
        let mut servers = Vec::new();
        for name in ["web1", "web2"] {
            let root = dir.path().join("hosts").join(name);
            furnish(&root)?;
            let host = DemoHost::start(name, &root, &key).await?;
            servers.push(json!({
                "name": name, "hostname": host.address().ip().to_string(), "port": host.address().port(),
                "username": "demo", "auth_type": "key", "key_file": key_file, "host_key": host.host_key(),
                "tags": ["demo"], "group": "web",
            }));
            hosts.push(host);
        }
        let (token, webhook_token) = (token(), token());
        let config = json!({
            "web": {"listen_addresses": [format!("127.0.0.1:{port}")]},
            "storage": {"url": format!("sqlite://{}", dir.path().join("data/douse.db").display())},
            "sources": [{"name": "demo", "bearer_token": webhook_token}],
            "runbooks": {"dirs": ["runbooks"]},
            "servers": {"files": ["servers.yml"]},
            "auth": {"tokens": [{"name": "you", "role": "admin", "token": token}]},
        });
        fs::create_dir(dir.path().join("runbooks"))?;
        for (name, text) in RUNBOOKS {
            fs::write(dir.path().join("runbooks").join(name), text)?;
        }
        // JSON is YAML.
        fs::write(dir.path().join("servers.yml"), serde_json::to_string_pretty(&json!({ "servers": servers }))?)?;
        let config_file = dir.path().join("douse.yml");
        fs::write(&config_file, serde_json::to_string_pretty(&config)?)?;
        let running = app::start(app::Options::from_file(&config_file)).await.context("the engine did not start")?;
        let url = format!("http://{}", running.addresses().first().context("the engine listens nowhere")?);
        let http = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { dir, running, hosts, url, token, webhook_token, http })
    }

    /// Posts a webhook as Alertmanager would; answers with the ids of the alert and its episode.
    pub async fn post(&self, alert: &Value) -> anyhow::Result<(String, String)> {
        let status = alert["status"].as_str().unwrap_or("firing");
        let body = json!({
            "version": "4", "receiver": "douse", "status": status, "truncatedAlerts": 0,
            "groupKey": format!("{{}}:{{alertname={}}}", alert["labels"]["alertname"]),
            "groupLabels": {"alertname": alert["labels"]["alertname"]},
            "commonLabels": alert["labels"], "commonAnnotations": {},
            "externalURL": "http://alertmanager.demo", "alerts": [alert],
        });
        let url = format!("{}/api/v1/webhooks/demo", self.url);
        let answer = self.http.post(url).bearer_auth(&self.webhook_token).json(&body).send().await?;
        let (code, answer) = (answer.status(), answer.json::<Value>().await?);
        let stored = &answer["alerts"][0];
        match (stored["alert_id"].as_str(), stored["episode_id"].as_str()) {
            (Some(alert), Some(episode)) if code.is_success() => Ok((alert.to_owned(), episode.to_owned())),
            _ => bail!("the webhook was answered {code}: {answer}"),
        }
    }

    /// Calls the API with the demo's token.
    pub async fn api(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request =
            self.http.request(method.clone(), format!("{}/api/v1/{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (code, body) = (answer.status(), answer.json::<Value>().await?);
        if !code.is_success() {
            bail!("{method} {path} was answered {code}: {body}");
        }
        Ok(body)
    }

    /// Asks `path` again and again until `is_there` finds what it looks for.
    pub async fn wait_for<T>(
        &self,
        path: &str,
        what: &str,
        is_there: impl Fn(&Value) -> Option<T>,
    ) -> anyhow::Result<T> {
        let waiting = async {
            loop {
                let answer = self.api(Method::GET, path, None).await?;
                if let Some(found) = is_there(&answer) {
                    return anyhow::Ok(found);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => bail!("{what} did not come within {} s", PATIENCE.as_secs()),
        }
    }

    /// Stops the engine and the hosts, and removes the directory.
    pub async fn close(self) -> anyhow::Result<()> {
        self.running.stop().await?;
        for host in self.hosts {
            host.stop().await;
        }
        Ok(())
    }

    /// The scratch directory of host `name`.
    pub fn host_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join("hosts").join(name)
    }
}

/// A host's file system: services that run, a queue, and `svc`.
fn furnish(root: &Path) -> anyhow::Result<()> {
    for folder in ["bin", "services", "queue"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let svc = root.join("bin/svc");
    fs::write(&svc, SVC)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&svc, fs::Permissions::from_mode(0o755))?;
    }
    for service in ["nginx", "intake"] {
        fs::write(root.join("services").join(service), "running\n")?;
    }
    fs::write(root.join("services/primary"), "stopped\n")?;
    fs::write(root.join("queue/jobs"), "job 1\njob 2\n")?;
    Ok(())
}
