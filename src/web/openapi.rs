//! `/api/openapi.json`, generated from the handlers' annotations, and a page that shows it without any network.

use actix_web::{HttpResponse, get};
use utoipa::OpenApi;

/// The document; each handler of `api/` stands here once.
#[derive(OpenApi)]
#[openapi(
    info(title = "Douse", description = "Alerts fire; Douse puts them out.", license(name = "MIT OR Apache-2.0")),
    paths()
)]
pub struct Document;

/// The OpenAPI 3.1 document of this engine.
#[get("/api/openapi.json")]
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().json(Document::openapi())
}

/// A page that lists the routes of the document; it loads nothing from elsewhere.
#[get("/api/")]
pub async fn page() -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(include_str!("openapi.html"))
}
