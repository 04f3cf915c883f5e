//! What a leased run does: the agent loop, model providers, tool executors.

pub mod agent;
mod call;
mod decision;
mod end;
mod executor;
pub mod models;
mod race;
#[cfg(test)]
mod testing;
pub mod tool_run;
pub mod tools;

pub use call::Tool;
pub use executor::{Runtime, ToolCache, tool};
