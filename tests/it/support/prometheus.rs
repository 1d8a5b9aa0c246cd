//! A private Prometheus that watches hosts' services and tells one Alertmanager.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::alertmanager::Alertmanager;
use super::http;
use super::program::{Program, START_LIMIT};
use super::sshd::free_address;
use super::wait::wait_for;

/// Fires while a service of [`super::host::Host`] is down.
const RULES: &str = r#"
groups:
  - name: services
    rules:
      - alert: ServiceDown
        expr: service_up == 0
        labels: {severity: critical, type: service}
        annotations: {summary: "{{ $labels.service }} on {{ $labels.instance }} is down"}
"#;

/// A running Prometheus.
pub struct Prometheus {
    _program: Program,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes `targets` twice a second.
    pub fn start(targets: &[SocketAddr], alertmanager: &Alertmanager) -> Self {
        let folder = TempDir::with_prefix("douse-prometheus-").unwrap();
        let (config, rules) = (folder.path().join("prometheus.yml"), folder.path().join("rules.yml"));
        fs::write(&rules, RULES).unwrap();
        let at = alertmanager.url.trim_start_matches("http://");
        let text = json!({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [rules],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [at]}]}]},
            "scrape_configs": [{"job_name": "services", "static_configs": [{"targets": targets}]}],
        });
        // YAML contains JSON.
        fs::write(&config, text.to_string()).unwrap();
        let address = free_address();
        let url = format!("http://{address}");
        let mut program = Program::start(
            Path::new("prometheus"),
            "prometheus",
            folder.path(),
            [
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", folder.path().join("data").display()),
                format!("--web.listen-address={address}"),
            ],
        );
        let ready = format!("{url}/-/ready");
        program.wait_ready(|| http::get(&ready, None).is_some_and(|answer| answer.status == 200));
        // For about five seconds after its start Prometheus knows no Alertmanager. What fires then is dropped, and sent
        // only a minute later.
        let known = format!("{url}/api/v1/alertmanagers");
        wait_for("Prometheus has found its Alertmanager", START_LIMIT, || {
            let answer = http::get(&known, None)?.json();
            (!answer["data"]["activeAlertmanagers"].as_array()?.is_empty()).then_some(())
        });
        Self { _program: program, _folder: folder }
    }
}
