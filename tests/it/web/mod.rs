//! The door: TLS, foreign origins, strangers, limits. A real server on loopback, and clients that mean no good.

mod headers;
mod origin;
mod requests;
mod slow;
mod stranger;
mod tls;
