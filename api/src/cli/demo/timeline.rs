//! A run's timeline for a terminal, as it happens.

use std::pin::pin;

use futures_util::StreamExt as _;
use serde_json::Value;
use service::ctx::Ctx;
use service::tasks::task_runs::{self, EventFilter, RunEventView, TaskRunView};
use uuid::Uuid;

use crate::cli::Failure;

const LONGEST: usize = 110;

/// Prints every event until the run has ended.
pub async fn print(ctx: &Ctx, run: Uuid) -> Result<(), Failure> {
    println!("\nTask run {run}");
    let mut events = pin!(task_runs::follow(ctx.clone(), run, EventFilter::default()).await?);
    while let Some(event) = events.next().await {
        println!("{}", line(&event?));
    }
    Ok(())
}

fn line(event: &RunEventView) -> String {
    let time = event.created_at.format("%H:%M:%S%.3f");
    let details = details(&event.data);
    let details: String = match details.chars().count() > LONGEST {
        true => details.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => details,
    };
    format!("  {time}  {:>3}  {:<20} {details}", event.seq, event.kind)
}

fn details(data: &Value) -> String {
    let Value::Object(fields) = data else { return data.to_string() };
    let shown = fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| match value {
        Value::String(text) => format!("{name}={}", text.replace('\n', " ")),
        other => format!("{name}={other}"),
    });
    shown.collect::<Vec<_>>().join("  ")
}

/// The result, and what it took.
pub fn sum_up(run: &TaskRunView) {
    println!("\n{:?} ({:?}) after {} ms", run.status, run.reason, run.duration_ms.unwrap_or_default());
    if let Some(output) = &run.output {
        let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
        println!("\n{text}");
    }
    if let Some(error) = &run.error {
        println!("\n{}: {}", error.code, error.message);
    }
    let tokens = run.tokens_used;
    println!(
        "\n{} tokens ({} in, {} out), {} {}, attempt {}",
        tokens.total,
        tokens.input,
        tokens.output,
        run.cost.to_decimal(),
        run.currency,
        run.attempt
    );
}
