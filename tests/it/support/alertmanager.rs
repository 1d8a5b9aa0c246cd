//! A private Alertmanager that sends everything to one webhook.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http;
use super::program::Program;
use super::sshd::free_address;
use super::wait::wait_until;

/// A running Alertmanager.
pub struct Alertmanager {
    pub url: String,
    program: Program,
    _folder: TempDir,
}

impl Alertmanager {
    /// Sends alerts to `webhook` with `token`. Groups by name and instance, waits 0.2 s for the first message and 1 s
    /// between the next; so a failed one is retried for 10 s, then at the next second.
    pub fn start(webhook: &str, token: &str) -> Self {
        let folder = TempDir::with_prefix("douse-alertmanager-").unwrap();
        let config = folder.path().join("alertmanager.yml");
        let receiver = json!({"url": webhook, "http_config": {"authorization": {"credentials": token}}});
        let text = json!({
            "route": {
                "receiver": "douse",
                "group_by": ["alertname", "instance"],
                "group_wait": "200ms",
                "group_interval": "1s",
                "repeat_interval": "4h",
            },
            "receivers": [{"name": "douse", "webhook_configs": [receiver]}],
        });
        // YAML contains JSON.
        fs::write(&config, text.to_string()).unwrap();
        let address = free_address();
        let url = format!("http://{address}");
        let mut program = Program::start(
            Path::new("prometheus-alertmanager"),
            "prometheus-alertmanager",
            folder.path(),
            [
                format!("--config.file={}", config.display()),
                format!("--storage.path={}", folder.path().join("data").display()),
                format!("--web.listen-address={address}"),
                format!("--web.external-url={url}"),
                "--cluster.listen-address=".to_owned(),
            ],
        );
        let ready = format!("{url}/-/ready");
        program.wait_ready(|| http::get(&ready, None).is_some_and(|answer| answer.status == 200));
        Self { url, program, _folder: folder }
    }

    /// The alerts that have not ended, as its API gives them.
    pub fn alerts(&self) -> Vec<Value> {
        let answer = http::get(&format!("{}/api/v2/alerts", self.url), None).expect("Alertmanager answers");
        answer.json().as_array().expect("a list").clone()
    }

    /// Hands it alerts as Prometheus would.
    pub fn send(&self, alerts: &Value) {
        let answer =
            http::post(&format!("{}/api/v2/alerts", self.url), None, Some(alerts)).expect("Alertmanager answers");
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Waits until nothing fires any more.
    pub fn wait_resolved(&self, limit: Duration) {
        wait_until("Alertmanager has no alert left", limit, || self.alerts(), Vec::is_empty);
    }

    /// What it has logged; failed notifications stand here.
    pub fn log(&self) -> String {
        self.program.log()
    }
}
