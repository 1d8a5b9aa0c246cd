//! What is undone, in which order.
