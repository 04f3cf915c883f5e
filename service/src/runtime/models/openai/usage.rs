//! The `usage` object, mapped to disjoint kinds. Here `prompt_tokens` includes what the cache gave
//! and `completion_tokens` includes reasoning; ours exclude them.

use serde_json::Value;

use crate::runtime::models::{ModelRequest, Usage, estimate_prompt};

/// `answer` is our own estimate of the answer's tokens (output, reasoning), for what is not reported.
pub(super) fn read(reported: &Value, request: &ModelRequest, answer: (i64, i64)) -> Usage {
    let number = |path: &str| reported.pointer(path).and_then(count);
    let total = number("/total_tokens");
    let completion = number("/completion_tokens");
    let prompt = number("/prompt_tokens")
        .or_else(|| total.zip(completion).map(|(total, completion)| (total - completion).max(0)))
        .filter(|prompt| *prompt > 0);
    let completion = completion
        .or_else(|| total.zip(prompt).map(|(total, prompt)| (total - prompt).max(0)))
        .filter(|completion| *completion > 0 || prompt.is_some());

    let mut usage = Usage { estimated: prompt.is_none() || completion.is_none(), ..Usage::default() };
    match prompt {
        None => usage.input = estimate_prompt(request),
        Some(prompt) => {
            let read = number("/prompt_tokens_details/cached_tokens")
                .or_else(|| number("/prompt_cache_hit_tokens"))
                .unwrap_or(0);
            let written = number("/prompt_tokens_details/cache_write_tokens")
                .or_else(|| number("/cache_creation_input_tokens"))
                .unwrap_or(0);
            usage.cache_read = read.min(prompt);
            usage.cache_write = written.min(prompt - usage.cache_read);
            usage.input = prompt - usage.cache_read - usage.cache_write;
        }
    }
    match completion {
        None => (usage.output, usage.reasoning) = answer,
        Some(completion) => {
            let reasoning = number("/completion_tokens_details/reasoning_tokens").unwrap_or(0);
            // Some servers leave reasoning out of completion_tokens; their total tells.
            let apart = reasoning > 0
                && total.zip(prompt).is_some_and(|(total, prompt)| {
                    total == prompt.saturating_add(completion).saturating_add(reasoning)
                });
            usage.reasoning = if apart { reasoning } else { reasoning.min(completion) };
            usage.output = if apart { completion } else { completion - usage.reasoning };
        }
    }
    usage
}

/// A count that is not negative and small enough to add up.
fn count(value: &Value) -> Option<i64> {
    let number = value.as_i64().or_else(|| value.as_f64().map(|float| float as i64))?;
    Some(number.clamp(0, 1 << 40))
}
