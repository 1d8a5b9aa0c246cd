//! Several replicas on one database: each thing is done by one of them, and never by one that the others gave up.
//!
//! [`lost_answer`] cuts connections right after a COMMIT. [`pair`] has two engines in this process; [`processes`] two real ones, of which one is stopped and continued or killed.

mod lost_answer;
mod pair;
mod processes;
mod proxy;
mod word;
