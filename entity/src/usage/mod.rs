//! What things cost, and how much was used.

pub mod model_price;
pub mod rate_bucket;
pub mod run_usage;
