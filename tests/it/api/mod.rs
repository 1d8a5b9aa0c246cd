//! The HTTP API: a real server on a loopback port, with SQLite, asked as a client asks.

mod auth;
mod changes;
mod lists;
mod openapi;
mod operations;
mod switches;

use crate::support::engine::{ADMIN_TOKEN, Engine};
use crate::support::http::{self, Answer};

/// A runbook that has one step with an undo, and asks a person.
pub const RUNBOOK: &str = "\
name: restart-service
category: services
mode: semi_auto
parameters: [{name: service, from_label: service, pattern: '[a-z]+'}]
steps:
  - name: Restart
    command: systemctl restart {{ params.service }}
    rollback_command: systemctl stop {{ params.service }}
triggers:
  - {name: down, alert_name_pattern: 'ServiceDown*', labels_match: {service: '*'}, cooldown_seconds: 300}
";

/// A server that nobody can reach: nothing listens there.
pub const SERVER: &str = "{name: web1, hostname: 127.0.0.1, port: 9, username: douse, auth_type: agent, group: web, tags: [web], \
     host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMJhfvlHzB8xxNgGLkhTy9ZAhQyTAdsVNyDOBVmHgVQ3}";

/// An engine with one runbook and one server.
pub fn engine() -> Engine {
    Engine::setup().runbook("restart-service.yml", RUNBOOK).server(SERVER.to_owned()).start()
}

/// Any request as the admin.
pub fn ask(engine: &Engine, method: &str, path: &str, body: Option<&str>) -> Answer {
    http::ask(method, &format!("{}{path}", engine.url), Some(ADMIN_TOKEN), body, &[])
}
