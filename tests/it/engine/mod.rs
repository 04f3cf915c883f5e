//! The engine's invariants, beneath HTTP.

mod crash;
mod fence;
mod interleavings;
mod limits;
mod stage;
mod takeover;
mod turns;
mod worker;
