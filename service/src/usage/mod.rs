//! Usage: what models cost.

pub mod model_prices;
mod price;
mod price_list;

pub use price::{Price, PriceCache, price};
