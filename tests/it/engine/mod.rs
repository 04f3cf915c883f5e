//! The engine's invariants, beneath HTTP.

mod crash;
mod fence;
mod interleavings;
mod stage;
mod takeover;
