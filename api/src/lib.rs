//! HTTP for Mission Control: extractors, errors, layers, the OpenAPI document and the URL tree.
//!
//! Nothing here can reach the database but through a context that an extractor has checked.

pub mod answer;
mod approval_page;
pub mod cli;
pub mod error;
pub mod extract;
mod gate;
mod health;
mod lines;
mod metrics;
mod middleware;
pub mod openapi;
mod places;
pub mod server;
pub mod sse;
mod telemetry;
mod v1;

pub use middleware::rate_limit::Rate;
