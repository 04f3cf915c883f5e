//! What a leased run does, over HTTP and against a real model's wire.

mod anthropic_wire;
mod model_failures;
mod nul;
mod openai_wire;
