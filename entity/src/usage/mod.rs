//! What things cost.

pub mod model_price;
