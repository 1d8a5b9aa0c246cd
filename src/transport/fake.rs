//! A transport for tests of the engine.
