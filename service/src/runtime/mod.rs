//! What a leased run does: the agent loop, model providers, tool executors.

pub mod models;
pub mod tools;
