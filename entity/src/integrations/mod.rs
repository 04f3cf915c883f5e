//! Connections to other systems.

pub mod integration;
