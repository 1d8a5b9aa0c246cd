//! The audit log as evidence, records, statistics, the live stream, retention.

mod agree;
mod anchors;
mod attacks;
mod chained;
mod people;
mod real;
mod retention;
mod stream;
mod world;
