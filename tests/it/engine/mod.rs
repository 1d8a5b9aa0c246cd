//! The engine's stages on a real database, with a transport that is told what to answer.

pub mod bench;

mod acts;
mod crash;
mod dispatch;
mod metrics;
mod reattach;
mod recover;
mod runs;
mod secrets;
mod sensitive;
mod stops;
