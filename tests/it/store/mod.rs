//! The store on both engines: the schema, its constraints, and what the pipeline relies on under concurrency.

mod concurrency;
mod constraints;
mod facts;
pub mod harness;
mod open;
mod round_trip;
pub mod samples;
mod schema;
