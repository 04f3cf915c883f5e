//! The engine's invariants, beneath HTTP.

mod interleavings;
mod stage;
