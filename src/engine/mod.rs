//! The engine: one file per stage.
