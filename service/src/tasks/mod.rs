//! Tasks: what to run, and the runs.

pub mod definition_config;

pub use definition_config::DefinitionConfig;
