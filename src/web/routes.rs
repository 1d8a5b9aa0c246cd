//! Every route on one screen: its handler, and who may use it.
//!
//! Denied by default: no handler is reached by a request for which [`access`] has no row, and a test compares the two lists.

use std::sync::LazyLock;

use actix_web::dev::ResourceDef;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};

use super::api::{
    acts, alerts, approvals, audit, audit_chain, blackouts, breakers, credentials, decisions, execute, executions,
    explain, holds, pauses, quarantine, record, runbooks, servers, sessions, settings, statistics, stream, tokens,
    users,
};
use super::{openapi, own, webhook};
use crate::rights::Role;

/// Who may use a route; a later one is stricter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Access {
    /// Everybody who reaches the port.
    Public,
    /// Everybody who brings a password or a set-up token in the body.
    Password,
    /// A source, by its own credential.
    Source,
    /// A viewer, or everybody with `web.metrics_public`.
    Metrics,
    /// A person of this role, or of one that covers it.
    Role(Role),
}

const VIEWER: Access = Access::Role(Role::Viewer);
const AUDITOR: Access = Access::Role(Role::Auditor);
const OPERATOR: Access = Access::Role(Role::Operator);
const ENGINEER: Access = Access::Role(Role::Engineer);
const ADMIN: Access = Access::Role(Role::Admin);

/// Method, path, who.
pub const ROUTES: &[(&str, &str, Access)] = &[
    ("GET", "/-/healthy", Access::Public),
    ("GET", "/-/ready", Access::Public),
    ("POST", "/-/reload", ADMIN),
    ("GET", "/metrics", Access::Metrics),
    ("GET", "/api/openapi.json", Access::Public),
    ("GET", "/api/", Access::Public),
    ("POST", "/api/v1/webhooks/{source}", Access::Source),
    ("PUT", "/api/v1/webhooks/{source}", Access::Source),
    ("GET", "/api/v1/alerts", VIEWER),
    ("GET", "/api/v1/alerts/quarantined", VIEWER),
    ("GET", "/api/v1/alerts/{id}", VIEWER),
    ("GET", "/api/v1/alerts/{id}/decisions", VIEWER),
    ("POST", "/api/v1/alerts/{id}/replay", OPERATOR),
    ("GET", "/api/v1/episodes", VIEWER),
    ("GET", "/api/v1/episodes/{id}", VIEWER),
    ("GET", "/api/v1/decisions", VIEWER),
    ("GET", "/api/v1/decisions/{id}", VIEWER),
    ("POST", "/api/v1/decisions/explain", VIEWER),
    ("GET", "/api/v1/executions", VIEWER),
    ("GET", "/api/v1/executions/{id}", VIEWER),
    ("GET", "/api/v1/executions/{id}/steps", VIEWER),
    ("GET", "/api/v1/executions/{id}/output", VIEWER),
    ("GET", "/api/v1/executions/{id}/audit", VIEWER),
    ("GET", "/api/v1/executions/{id}/export", VIEWER),
    ("POST", "/api/v1/executions/{id}/approve", OPERATOR),
    ("POST", "/api/v1/executions/{id}/reject", OPERATOR),
    ("POST", "/api/v1/executions/{id}/cancel", OPERATOR),
    ("POST", "/api/v1/executions/{id}/retry", OPERATOR),
    ("POST", "/api/v1/executions/{id}/rollback", OPERATOR),
    ("POST", "/api/v1/executions/{id}/release", OPERATOR),
    ("GET", "/api/v1/approvals", VIEWER),
    ("GET", "/api/v1/approvals/{id}", VIEWER),
    ("POST", "/api/v1/approvals/{id}/approve", OPERATOR),
    ("POST", "/api/v1/approvals/{id}/reject", OPERATOR),
    ("GET", "/api/v1/runbooks", VIEWER),
    ("GET", "/api/v1/runbooks/{name}", VIEWER),
    ("GET", "/api/v1/runbooks/{name}/versions", VIEWER),
    ("GET", "/api/v1/runbooks/{name}/versions/{n}/diff", VIEWER),
    ("GET", "/api/v1/runbooks/{name}/export", VIEWER),
    ("GET", "/api/v1/runbooks/{name}/stats", VIEWER),
    ("POST", "/api/v1/runbooks/{name}/execute", OPERATOR),
    ("POST", "/api/v1/runbooks/{name}/enable", ENGINEER),
    ("POST", "/api/v1/runbooks/{name}/disable", OPERATOR),
    ("GET", "/api/v1/servers", VIEWER),
    ("POST", "/api/v1/servers", ENGINEER),
    ("GET", "/api/v1/servers/{id}", VIEWER),
    ("PUT", "/api/v1/servers/{id}", ENGINEER),
    ("DELETE", "/api/v1/servers/{id}", ENGINEER),
    ("POST", "/api/v1/servers/{id}/test", OPERATOR),
    ("POST", "/api/v1/servers/{id}/maintenance", OPERATOR),
    ("POST", "/api/v1/servers/{id}/pause", OPERATOR),
    ("POST", "/api/v1/servers/{id}/unpause", OPERATOR),
    ("GET", "/api/v1/servers/{id}/executions", VIEWER),
    ("PUT", "/api/v1/servers/{id}/credentials", ENGINEER),
    ("DELETE", "/api/v1/servers/{id}/credentials", ENGINEER),
    ("GET", "/api/v1/keys", ADMIN),
    ("POST", "/api/v1/keys/rotate", ADMIN),
    ("GET", "/api/v1/blackouts", VIEWER),
    ("POST", "/api/v1/blackouts", ENGINEER),
    ("GET", "/api/v1/blackouts/{id}", VIEWER),
    ("PUT", "/api/v1/blackouts/{id}", ENGINEER),
    ("DELETE", "/api/v1/blackouts/{id}", ENGINEER),
    ("GET", "/api/v1/breakers", VIEWER),
    ("GET", "/api/v1/breakers/{runbook}", VIEWER),
    ("POST", "/api/v1/breakers/{runbook}/open", ADMIN),
    ("POST", "/api/v1/breakers/{runbook}/close", ADMIN),
    ("POST", "/api/v1/breakers/{runbook}/reset", ADMIN),
    ("GET", "/api/v1/pauses", VIEWER),
    ("POST", "/api/v1/pause", OPERATOR),
    ("POST", "/api/v1/resume", OPERATOR),
    ("GET", "/api/v1/audit", AUDITOR),
    ("GET", "/api/v1/audit/export", AUDITOR),
    ("POST", "/api/v1/audit/verify", AUDITOR),
    ("GET", "/api/v1/legal-holds", AUDITOR),
    ("POST", "/api/v1/legal-holds", ADMIN),
    ("DELETE", "/api/v1/legal-holds/{id}", ADMIN),
    ("GET", "/api/v1/stats/executions", VIEWER),
    ("GET", "/api/v1/stats/success-rates", VIEWER),
    ("GET", "/api/v1/stats/skips", VIEWER),
    ("GET", "/api/v1/stats/failures", VIEWER),
    ("GET", "/api/v1/stats/failure-patterns", VIEWER),
    ("GET", "/api/v1/stats/funnel", VIEWER),
    ("GET", "/api/v1/stream", VIEWER),
    ("GET", "/api/v1/config", VIEWER),
    ("PUT", "/api/v1/config/{key}", ADMIN),
    ("POST", "/api/v1/setup", Access::Password),
    ("POST", "/api/v1/login", Access::Password),
    ("POST", "/api/v1/logout", VIEWER),
    ("GET", "/api/v1/me", VIEWER),
    ("POST", "/api/v1/me/password", VIEWER),
    ("GET", "/api/v1/sessions", VIEWER),
    ("DELETE", "/api/v1/sessions/{id}", VIEWER),
    ("GET", "/api/v1/tokens", VIEWER),
    ("POST", "/api/v1/tokens", VIEWER),
    ("DELETE", "/api/v1/tokens/{id}", VIEWER),
    ("GET", "/api/v1/users", AUDITOR),
    ("POST", "/api/v1/users", ADMIN),
    ("GET", "/api/v1/users/{name}", AUDITOR),
    ("PATCH", "/api/v1/users/{name}", ADMIN),
    ("DELETE", "/api/v1/users/{name}", ADMIN),
    ("POST", "/api/v1/users/{name}/reset", ADMIN),
];

/// Who may use the route of `method` that `path` names; `None` = there is none. Where two patterns fit, as `{id}` fits every
/// word, the stricter one holds.
pub fn access(method: &Method, path: &str) -> Option<Access> {
    static PATTERNS: LazyLock<Vec<ResourceDef>> =
        LazyLock::new(|| ROUTES.iter().map(|(_, pattern, _)| ResourceDef::new(*pattern)).collect());
    // HEAD asks for what GET answers.
    let method = if method == Method::HEAD { Method::GET } else { method.clone() };
    let fits = ROUTES
        .iter()
        .zip(PATTERNS.iter())
        .filter(|((of, ..), pattern)| *of == method.as_str() && pattern.is_match(path));
    fits.map(|((_, _, access), _)| *access).max()
}

/// Registers every handler.
pub fn configure(app: &mut ServiceConfig) {
    app.service(own::healthy)
        .service(own::ready)
        .service(own::reload)
        .service(own::metrics)
        .service(openapi::document)
        .service(openapi::page)
        .service(alerts::list)
        // Before `{id}`, which would take it for an id.
        .service(quarantine::list)
        .service(alerts::show)
        .service(alerts::alert_decisions)
        .service(alerts::list_episodes)
        .service(alerts::show_episode)
        .service(decisions::list)
        .service(decisions::show)
        .service(executions::list)
        .service(executions::show)
        .service(executions::list_steps)
        .service(executions::output)
        .service(record::audit_document)
        .service(record::export)
        .service(explain::explain)
        .service(explain::replay)
        .service(execute::execute)
        .service(execute::retry)
        .service(acts::approve)
        .service(acts::reject)
        .service(acts::cancel)
        .service(acts::rollback)
        .service(acts::release)
        .service(approvals::list)
        .service(approvals::show)
        .service(approvals::approve)
        .service(approvals::reject)
        .service(runbooks::list)
        .service(runbooks::show)
        .service(runbooks::versions)
        .service(runbooks::diff)
        .service(runbooks::export)
        .service(runbooks::enable)
        .service(runbooks::disable)
        .service(servers::list)
        .service(servers::create)
        .service(servers::show)
        .service(servers::replace)
        .service(servers::remove)
        .service(servers::executions)
        .service(servers::test)
        .service(servers::maintenance)
        .service(servers::pause)
        .service(servers::unpause)
        .service(credentials::set)
        .service(credentials::remove)
        .service(credentials::list_keys)
        .service(credentials::rotate_keys)
        .service(blackouts::list)
        .service(blackouts::create)
        .service(blackouts::show)
        .service(blackouts::replace)
        .service(blackouts::remove)
        .service(breakers::list)
        .service(breakers::show)
        .service(breakers::open)
        .service(breakers::close)
        .service(breakers::reset)
        .service(pauses::list)
        .service(pauses::pause)
        .service(pauses::resume)
        .service(audit::list)
        .service(audit_chain::export)
        .service(audit_chain::verify)
        .service(holds::list)
        .service(holds::create)
        .service(holds::release)
        .service(statistics::executions)
        .service(statistics::success_rates)
        .service(statistics::skips)
        .service(statistics::failures)
        .service(statistics::failure_patterns)
        .service(statistics::funnel)
        .service(statistics::of_runbook)
        .service(stream::stream)
        .service(settings::show)
        .service(settings::set)
        .service(sessions::setup)
        .service(sessions::login)
        .service(sessions::logout)
        .service(sessions::me)
        .service(sessions::change_password)
        .service(sessions::list)
        .service(sessions::end)
        .service(tokens::list)
        .service(tokens::create)
        .service(tokens::revoke)
        .service(users::list)
        .service(users::create)
        .service(users::show)
        .service(users::change)
        .service(users::remove)
        .service(users::reset)
        .service(
            web::resource("/api/v1/webhooks/{source}")
                .route(web::post().to(webhook::deliver))
                .route(web::put().to(webhook::put)),
        );
}
