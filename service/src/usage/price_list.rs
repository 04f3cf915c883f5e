//! Public list prices of well-known models, in USD for a million tokens. They are a starting point:
//! a tenant's own price goes before them, and what stands in neither is flagged, never free.
//!
//! Reasoning is billed as output by every provider listed. A provider without a price for writing to
//! its cache bills those tokens as input. Where a provider asks more for very long prompts, the price
//! of ordinary ones stands here.

use entity::money::Nanos;

use super::Price;

/// Where a provider publishes its prices, and the models read from there.
pub struct Source {
    pub provider: &'static str,
    pub url: &'static str,
    /// The day (UTC) since which the prices are believed to hold.
    pub as_of: &'static str,
    pub models: &'static [Listed],
}

/// Millionths of a USD for a million tokens: whole numbers of micro-USD state every list price.
pub struct Listed {
    pub model: &'static str,
    input: i64,
    cache_read: i64,
    cache_write: i64,
    output: i64,
}

/// A model whose cache costs nothing extra to write.
const fn model(model: &'static str, input: i64, cache_read: i64, output: i64) -> Listed {
    Listed { model, input, cache_read, cache_write: input, output }
}

/// Anthropic's rule: writing to the five-minute cache costs 1.25 of input, reading a tenth.
const fn claude(model: &'static str, input: i64, output: i64) -> Listed {
    claude_that_reads(model, input, input / 10, output)
}

/// One whose price for reading is another.
const fn claude_that_reads(model: &'static str, input: i64, cache_read: i64, output: i64) -> Listed {
    Listed { model, input, cache_read, cache_write: input / 4 * 5, output }
}

pub const SOURCES: &[Source] = &[
    Source {
        provider: "OpenAI",
        url: "https://openai.com/api/pricing/",
        as_of: "2026-06-04",
        models: &[
            model("gpt-5.5", 5_000_000, 500_000, 30_000_000),
            model("gpt-5.4", 2_500_000, 250_000, 15_000_000),
            model("gpt-5.4-mini", 750_000, 75_000, 4_500_000),
            model("gpt-5.4-nano", 200_000, 20_000, 1_250_000),
            model("gpt-5.2", 1_750_000, 175_000, 14_000_000),
            model("gpt-5.1", 1_250_000, 125_000, 10_000_000),
            model("gpt-5", 1_250_000, 125_000, 10_000_000),
            model("gpt-5-mini", 250_000, 25_000, 2_000_000),
            model("gpt-5-nano", 50_000, 5_000, 400_000),
            model("gpt-4.1", 2_000_000, 500_000, 8_000_000),
            model("gpt-4.1-mini", 400_000, 100_000, 1_600_000),
            model("gpt-4.1-nano", 100_000, 25_000, 400_000),
            model("gpt-4o", 2_500_000, 1_250_000, 10_000_000),
            model("gpt-4o-mini", 150_000, 75_000, 600_000),
            model("o1", 15_000_000, 7_500_000, 60_000_000),
            model("o3", 2_000_000, 500_000, 8_000_000),
            model("o3-mini", 1_100_000, 550_000, 4_400_000),
            model("o4-mini", 1_100_000, 275_000, 4_400_000),
            model("gpt-4-turbo", 10_000_000, 10_000_000, 30_000_000),
            model("gpt-3.5-turbo", 500_000, 500_000, 1_500_000),
        ],
    },
    Source {
        provider: "Anthropic",
        url: "https://platform.claude.com/docs/en/about-claude/pricing",
        as_of: "2026-10-24",
        models: &[
            claude_that_reads("claude-fable-5-1", 10_000_000, 250_000, 50_000_000),
            claude("claude-fable-5", 10_000_000, 50_000_000),
            claude_that_reads("claude-opus-5-5", 4_000_000, 200_000, 20_000_000),
            claude("claude-opus-5", 5_000_000, 25_000_000),
            claude_that_reads("claude-sonnet-5-5", 2_000_000, 100_000, 10_000_000),
            claude("claude-sonnet-5", 2_000_000, 10_000_000),
            claude("claude-haiku-5-5", 100_000, 500_000),
            claude("claude-opus-4-8", 5_000_000, 25_000_000),
            claude("claude-opus-4-7", 5_000_000, 25_000_000),
            claude("claude-opus-4-6", 5_000_000, 25_000_000),
            claude("claude-opus-4-5", 5_000_000, 25_000_000),
            claude("claude-sonnet-4-6", 3_000_000, 15_000_000),
            claude("claude-sonnet-4-5", 3_000_000, 15_000_000),
            claude("claude-haiku-4-5", 1_000_000, 5_000_000),
            claude("claude-opus-4-1", 15_000_000, 75_000_000),
            claude("claude-opus-4", 15_000_000, 75_000_000),
            claude("claude-sonnet-4", 3_000_000, 15_000_000),
            claude("claude-3-7-sonnet", 3_000_000, 15_000_000),
            claude("claude-3-5-sonnet", 3_000_000, 15_000_000),
            claude("claude-3-5-haiku", 800_000, 4_000_000),
        ],
    },
    Source {
        provider: "Google",
        url: "https://ai.google.dev/gemini-api/docs/pricing",
        as_of: "2025-07-22",
        models: &[
            model("gemini-2.5-pro", 1_250_000, 310_000, 10_000_000),
            model("gemini-2.5-flash", 300_000, 75_000, 2_500_000),
            model("gemini-2.5-flash-lite", 100_000, 25_000, 400_000),
            model("gemini-2.0-flash", 100_000, 25_000, 400_000),
        ],
    },
    Source {
        provider: "Mistral",
        url: "https://mistral.ai/pricing",
        as_of: "2025-06-20",
        models: &[
            model("mistral-large-latest", 2_000_000, 2_000_000, 6_000_000),
            model("mistral-medium-latest", 400_000, 400_000, 2_000_000),
            model("mistral-small-latest", 100_000, 100_000, 300_000),
            model("codestral-latest", 300_000, 300_000, 900_000),
        ],
    },
    Source {
        provider: "DeepSeek",
        url: "https://api-docs.deepseek.com/quick_start/pricing",
        as_of: "2025-02-09",
        models: &[
            model("deepseek-chat", 270_000, 70_000, 1_100_000),
            model("deepseek-reasoner", 550_000, 140_000, 2_190_000),
        ],
    },
    Source {
        provider: "Mission Control",
        url: "the mock models are part of the product; their price is made up, so that a run has a bill",
        as_of: "2025-01-01",
        models: &[
            model("mock/echo", 100_000, 50_000, 400_000),
            model("mock/tools", 100_000, 50_000, 400_000),
            model("mock/script", 100_000, 50_000, 400_000),
            model("mock/flaky", 100_000, 50_000, 400_000),
        ],
    },
];

impl Listed {
    pub fn price(&self) -> Price {
        let nanos = |micros| Nanos(micros).saturating_mul(1_000);
        Price {
            input: nanos(self.input),
            cache_read: nanos(self.cache_read),
            cache_write: nanos(self.cache_write),
            output: nanos(self.output),
            reasoning: nanos(self.output),
        }
    }
}

/// The listed price of a model, or of the model whose dated version it is
/// (`gpt-4o-2024-08-06`, `claude-sonnet-4-20250514`).
pub fn find(model: &str) -> Option<Price> {
    let exact = |name: &str| {
        let mut all = SOURCES.iter().flat_map(|source| source.models);
        all.find(|listed| listed.model == name).map(Listed::price)
    };
    exact(model).or_else(|| exact(undated(model)?))
}

fn undated(model: &str) -> Option<&str> {
    let dated = |text: &str| text.bytes().filter(u8::is_ascii_digit).count() == 8 && text.starts_with("-20");
    ["-YYYY-MM-DD", "-YYYYMMDD"].into_iter().find_map(|shape| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(shape.len())?)?;
        dated(date).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn dated_versions_cost_what_their_model_costs() {
        for (dated, model) in [
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("claude-sonnet-4-20250514", "claude-sonnet-4"),
            ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ] {
            assert!(find(model).is_some());
            assert_eq!(find(dated), find(model), "{dated}");
        }
        for unknown in ["", "gpt-4o-preview", "gpt-4o-audio-2024-08-06x", "ü-20250514", "llama-3"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn models_are_listed_once_and_cost_something() {
        let mut seen = BTreeSet::new();
        for listed in SOURCES.iter().flat_map(|source| source.models) {
            let Price { input, cache_read, cache_write, output, reasoning } = listed.price();
            assert!(seen.insert(listed.model), "{}", listed.model);
            assert!(input > Nanos::ZERO && output > input && reasoning == output, "{}", listed.model);
            assert!(cache_read <= input && cache_write >= input, "{}", listed.model);
        }
    }

    #[test]
    fn every_mock_has_a_price() {
        assert!(crate::runtime::models::mock::MODELS.into_iter().all(|model| find(model).is_some()));
    }
}
