//! The store on both engines: the schema, its constraints, and what the pipeline relies on under concurrency.

mod harness;
mod open;
