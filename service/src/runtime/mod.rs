//! What a leased run does: the agent loop, graphs, model providers, tool executors.

pub mod agent;
mod call;
mod decision;
mod end;
mod executor;
mod graph;
pub mod models;
mod race;
mod rate;
#[cfg(test)]
mod testing;
pub mod tool_run;
pub mod tools;
mod waiting;

pub use call::Tool;
pub use executor::{Runtime, ToolCache, tool};
