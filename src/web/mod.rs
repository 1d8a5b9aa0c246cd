//! HTTP: webhooks in, the API, and the engine's own pages.
//!
//! [`routes`] lists every route with who may use it; [`auth`] lets nobody through whom that list does not name;
//! [`error`] is the one shape of an error. Handlers decide nothing: they call `engine` and read `store`.

pub mod api;
pub mod auth;
mod body;
pub mod error;
pub mod openapi;
mod own;
pub mod page;
pub mod routes;
mod schema;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::limits;

/// The HTTP server of one engine.
pub struct Server {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Listens on the configured addresses; an address that cannot be listened on is named in the error.
    pub async fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let wanted = engine.policy().config.web.listen_addresses.clone();
        let data = web::Data::from(engine);
        let mut server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(limits::WEBHOOK_BODY_BYTES_MAX))
                .app_data(error::path_config())
                .wrap(from_fn(auth::guard))
                .configure(routes::configure)
                .default_service(web::to(error::no_such_route))
        })
        .workers(limits::WEB_WORKERS)
        .client_request_timeout(limits::WEB_HEADERS_TIMEOUT)
        .shutdown_timeout(limits::WEB_SHUTDOWN_SECS)
        .disable_signals();
        for address in &wanted {
            server = server.bind(address).map_err(|error| {
                let message = format!("cannot listen on {address}: {error}; see web.listen_addresses");
                std::io::Error::new(error.kind(), message)
            })?;
        }
        let addresses = server.addrs();
        let server = server.run();
        let handle = server.handle();
        Ok(Self { addresses, handle, task: tokio::spawn(server) })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no new requests, lets the present ones end, and closes.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.task.await {
            tracing::error!(%error, "the HTTP server ended badly");
        }
    }
}
