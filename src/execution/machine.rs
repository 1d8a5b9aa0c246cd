//! What may follow what.
