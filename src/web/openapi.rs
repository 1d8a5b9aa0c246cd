//! `/api/openapi.json`, generated from the handlers' annotations, and a page that shows it without any network.

use std::sync::LazyLock;

use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::{HttpResponse, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::api::{
    acts, alerts, approvals, audit, audit_chain, blackouts, breakers, credentials, decisions, execute, executions,
    explain, holds, pauses, quarantine, record, runbooks, servers, sessions, settings, statistics, stream, tokens,
    users,
};
use super::{openapi, own, webhook};

/// The document; each handler stands here once.
#[derive(OpenApi)]
#[openapi(
    info(title = "Douse", description = "Alerts fire; Douse puts them out.", license(name = "MIT OR Apache-2.0")),
    modifiers(&Credential),
    security(("token" = [])),
    paths(
        own::healthy,
        own::ready,
        own::reload,
        own::metrics,
        openapi::document,
        alerts::list,
        quarantine::list,
        alerts::show,
        alerts::alert_decisions,
        alerts::list_episodes,
        alerts::show_episode,
        decisions::list,
        decisions::show,
        executions::list,
        executions::show,
        executions::list_steps,
        executions::output,
        record::audit_document,
        record::export,
        explain::explain,
        explain::replay,
        execute::execute,
        execute::retry,
        webhook::deliver,
        webhook::put,
        acts::approve,
        acts::reject,
        acts::cancel,
        acts::rollback,
        acts::release,
        approvals::list,
        approvals::show,
        approvals::approve,
        approvals::reject,
        runbooks::list,
        runbooks::show,
        runbooks::versions,
        runbooks::diff,
        runbooks::export,
        runbooks::enable,
        runbooks::disable,
        servers::list,
        servers::create,
        servers::show,
        servers::replace,
        servers::remove,
        servers::executions,
        servers::test,
        servers::maintenance,
        servers::pause,
        servers::unpause,
        credentials::set,
        credentials::remove,
        credentials::list_keys,
        credentials::rotate_keys,
        blackouts::list,
        blackouts::create,
        blackouts::show,
        blackouts::replace,
        blackouts::remove,
        breakers::list,
        breakers::show,
        breakers::open,
        breakers::close,
        breakers::reset,
        pauses::list,
        pauses::pause,
        pauses::resume,
        audit::list,
        audit_chain::export,
        audit_chain::verify,
        holds::list,
        holds::create,
        holds::release,
        statistics::executions,
        statistics::success_rates,
        statistics::skips,
        statistics::failures,
        statistics::failure_patterns,
        statistics::funnel,
        statistics::of_runbook,
        stream::stream,
        settings::show,
        settings::set,
        sessions::setup,
        sessions::login,
        sessions::logout,
        sessions::me,
        sessions::change_password,
        sessions::list,
        sessions::end,
        tokens::list,
        tokens::create,
        tokens::revoke,
        users::list,
        users::create,
        users::show,
        users::change,
        users::remove,
        users::reset,
    )
)]
pub struct Document;

/// Adds the one way to authenticate: a bearer token.
struct Credential;

impl Modify for Credential {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The OpenAPI 3.1 document of this engine
#[utoipa::path(tag = "engine", security(()), responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
#[get("/api/openapi.json")]
pub async fn document() -> HttpResponse {
    // Made once: everybody may ask for it.
    static TEXT: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());
    HttpResponse::Ok().content_type("application/json").body(TEXT.as_str())
}

const PAGE: &str = include_str!("openapi.html");

/// A page that lists the routes of the document; it loads nothing from elsewhere, and runs its own script only.
#[get("/api/")]
pub async fn page() -> HttpResponse {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let script = PAGE.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>"));
        let hash = STANDARD.encode(Sha256::digest(script.map_or("", |(script, _)| script)));
        format!(
            "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    });
    let policy = (CONTENT_SECURITY_POLICY, POLICY.as_str());
    HttpResponse::Ok().insert_header(policy).content_type("text/html; charset=utf-8").body(PAGE)
}
