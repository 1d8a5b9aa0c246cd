//! Gates through the real path: a delivery is received, matched, decided, and what is recorded is looked at.
//!
//! [`cases`] is the table: a world in which everything passes, one change per gate, the verdict that is expected. A new
//! gate is one entry there. [`world`] makes the changes happen on a real database, a scope of its own for each.

mod cases;
pub mod world;

mod alone;
mod claims;
mod held;
mod limits;
mod matched;
mod pairs;
mod turns;
