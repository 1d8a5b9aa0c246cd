//! The API, one resource per file.
