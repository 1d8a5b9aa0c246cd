//! The import rules and the size of files.
