//! HTTP: webhooks in, the API, and the engine's own pages.
//!
//! [`connection`] accepts; [`front`] stands before everything: foreign origins end there, and every answer gets its headers;
//! [`routes`] lists every route with who may use it; [`auth`] lets nobody through whom that list does not name;
//! [`error`] is the one shape of an error. Handlers decide nothing: they call `engine` and read `store`.

pub mod api;
pub mod auth;
mod body;
pub mod client;
mod connection;
pub mod error;
mod front;
pub mod openapi;
mod origin;
mod own;
pub mod page;
mod refused;
pub mod routes;
mod schema;
mod webhook;

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;

use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Server as HttpServer, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::limits;
use body::Rooms;
use connection::{Connection, Door, files_max};

/// The HTTP server of one engine.
pub struct Server {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
    /// It speaks TLS.
    pub is_secure: bool,
}

impl Server {
    /// Listens on the configured addresses; an address that cannot be listened on is named in the error.
    pub async fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let wanted = engine.policy().config.web.listen_addresses.clone();
        let door = Arc::new(Door::new(&engine));
        let is_secure = door.is_secure();
        let data = web::Data::from(engine);
        let rooms = web::Data::new(Rooms::default());
        let ready = web::Data::new(own::Ready::default());
        let connections = limits::WEB_CONNECTIONS_MAX.min(files_max() / 2);
        let mut server = HttpServer::build()
            .workers(limits::WEB_WORKERS)
            .max_concurrent_connections((connections / limits::WEB_WORKERS).max(16))
            .shutdown_timeout(limits::WEB_SHUTDOWN_SECS)
            .disable_signals();
        let stopping = server.graceful_shutdown_signal();
        let serve = move || {
            let app = App::new()
                .app_data(data.clone())
                .app_data(rooms.clone())
                .app_data(ready.clone())
                .app_data(web::PayloadConfig::new(limits::API_BODY_BYTES_MAX))
                .app_data(error::path_config())
                .wrap(from_fn(auth::guard))
                // The outermost: nothing of a request is looked at before it.
                .wrap(from_fn(front::guard))
                .configure(routes::configure)
                .default_service(web::to(error::no_such_route));
            let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
            let stopping = stopping.clone();
            let http = HttpService::build()
                .client_request_timeout(limits::WEB_HEADERS_TIMEOUT)
                .client_disconnect_timeout(limits::WEB_LINGER)
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .on_connect_ext(|connection: &Connection, data| {
                    data.insert(Arc::clone(connection.acquaintance()));
                })
                .h1(map_config(app, |()| AppConfig::default()));
            let door = Rc::new(Arc::clone(&door));
            fn_service(move |stream: TcpStream| {
                let door = Rc::clone(&door);
                async move {
                    let peer = stream.peer_addr().ok();
                    let connection = door.open(stream).await.map_err(DispatchError::Io)?;
                    Ok::<_, DispatchError>((connection, peer))
                }
            })
            .and_then(http)
        };
        let mut addresses = Vec::new();
        for listener in listeners(&wanted)? {
            addresses.push(listener.local_addr()?);
            server = server.listen("douse", listener, serve.clone())?;
        }
        let server = server.run();
        let handle = server.handle();
        Ok(Self { addresses, handle, task: tokio::spawn(server), is_secure })
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

fn listeners(wanted: &[String]) -> std::io::Result<Vec<TcpListener>> {
    let mut found = Vec::new();
    for address in wanted {
        let named = |error: std::io::Error| {
            let message = format!("cannot listen on {address}: {error}; see web.listen_addresses");
            std::io::Error::new(error.kind(), message)
        };
        // A name may have several addresses; one that this machine does not have is passed over if another is there.
        let tried: Vec<_> = address.to_socket_addrs().map_err(named)?.map(TcpListener::bind).collect();
        let count = found.len();
        let mut failure = None;
        for result in tried {
            match result {
                Ok(listener) => found.push(listener),
                Err(error) => failure = Some(error),
            }
        }
        if found.len() == count {
            return Err(named(failure.unwrap_or_else(|| std::io::Error::other("it has no address"))));
        }
    }
    Ok(found)
}
