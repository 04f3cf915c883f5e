//! The engine's invariants, beneath HTTP.

mod crash;
mod elsewhere;
mod fence;
mod holds;
mod interleavings;
mod limits;
mod poison;
mod rates;
mod stage;
mod takeover;
mod traces;
mod tree_crash;
mod trees;
mod turns;
mod worker;
