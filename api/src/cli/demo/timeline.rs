//! A run's timeline for a person at a terminal, as it happens: what the model says while it says it,
//! what its tools are called with and answer, what each step took and cost.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::pin::pin;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use service::ctx::Ctx;
use service::tasks::run_steps::{self, RunStepView, StepFilter};
use service::tasks::task_runs::{self, EventFilter, RunEventView, TaskRunView};
use uuid::Uuid;

use crate::cli::Failure;

const LONGEST: usize = 96;

/// Prints every event until the run has ended.
pub async fn print(ctx: &Ctx, run: Uuid) -> Result<(), Failure> {
    println!("\nTask run {run}\n");
    let mut screen = Screen { colours: stdout().is_terminal(), began: None, speaking: false };
    let mut events = pin!(task_runs::follow(ctx.clone(), run, EventFilter::default()).await?);
    while let Some(event) = events.next().await {
        let event = event?;
        let step = match event.kind.as_str() {
            "step.completed" | "tool.completed" => step(ctx, run, &event.data).await?,
            _ => None,
        };
        screen.show(&event, step.as_ref());
    }
    Ok(())
}

/// The journal's entry that an event is about.
async fn step(ctx: &Ctx, run: Uuid, data: &Value) -> Result<Option<RunStepView>, Failure> {
    let Some(number) = data["step"].as_i64() else { return Ok(None) };
    let filter = StepFilter { limit: Some(1), cursor: Some((number - 1).to_string()) };
    Ok(run_steps::list(ctx, run, &filter).await?.data.into_iter().next())
}

struct Screen {
    colours: bool,
    began: Option<DateTime<Utc>>,
    /// The model's text stands on a line that has not ended.
    speaking: bool,
}

impl Screen {
    fn show(&mut self, event: &RunEventView, step: Option<&RunStepView>) {
        let data = &event.data;
        match (event.kind.as_str(), step) {
            ("model.delta", _) => self.say(event, &text(&data["text"])),
            ("step.started", _) => {}
            ("step.completed", Some(step)) => {
                self.end_speech();
                let tokens = step.tokens_used;
                let took = format!("{} tokens in, {} out", tokens.input, tokens.output + tokens.reasoning);
                self.note(&format!("{}: {took}, {}", step.name, cost(step)));
            }
            ("tool.called", _) => {
                let call = format!("{} {}", text(&data["name"]), data["arguments"]);
                self.line(event, "tool", &call);
            }
            ("tool.completed", Some(step)) => {
                let output = step.response.as_ref().and_then(|response| response.get("output"));
                self.note(&format!("→ {}  ({})", short(&text(output.unwrap_or(&Value::Null))), cost(step)));
            }
            ("tool.failed", _) => self.note(&format!("→ failed: {}", short(&data["error"].to_string()))),
            ("run.created", _) => self.line(event, "run", "created"),
            ("run.started", _) => self.line(event, "run", &format!("attempt {} started", data["attempt"])),
            (kind, _) => {
                let (subject, verb) = kind.split_once('.').unwrap_or(("run", kind));
                self.line(event, subject, &format!("{verb}  {}", details(data)));
            }
        }
    }

    fn say(&mut self, event: &RunEventView, words: &str) {
        if !self.speaking {
            self.start(event, "model");
            self.speaking = true;
        }
        print!("{}", words.replace('\n', "\n                   "));
        // Whoever closed the terminal does not watch any more.
        let _ = stdout().flush();
    }

    fn line(&mut self, event: &RunEventView, subject: &str, words: &str) {
        self.end_speech();
        self.start(event, subject);
        println!("{}", short(words));
    }

    fn start(&mut self, event: &RunEventView, subject: &str) {
        let began = *self.began.get_or_insert(event.created_at);
        let tenths = (event.created_at - began).num_milliseconds() / 100;
        let time = format!("{:>5}.{} s", tenths / 10, tenths % 10);
        print!("{}  {}", self.paint(2, &time), self.paint(1, &format!("{subject:<9}")));
    }

    fn note(&self, words: &str) {
        println!("                    {}", self.paint(2, words));
    }

    fn end_speech(&mut self) {
        if std::mem::take(&mut self.speaking) {
            println!();
        }
    }

    /// Bold (1) or faint (2), where that is shown.
    fn paint(&self, style: u8, words: &str) -> String {
        if self.colours { format!("\u{1b}[{style}m{words}\u{1b}[0m") } else { words.to_owned() }
    }
}

fn cost(step: &RunStepView) -> String {
    format!("{} ms, {} USD", step.latency_ms, step.cost.to_decimal())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn short(words: &str) -> String {
    let words = words.replace('\n', " ");
    if words.chars().count() <= LONGEST {
        return words;
    }
    words.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// An event on a line of its own, as it is.
pub fn line(event: &RunEventView) -> String {
    let time = event.created_at.format("%H:%M:%S%.3f");
    format!("  {time}  {:>3}  {:<20} {}", event.seq, event.kind, short(&details(&event.data)))
}

fn details(data: &Value) -> String {
    let Value::Object(fields) = data else { return data.to_string() };
    let shown = fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        let value = text(value);
        format!("{name}={value}")
    });
    shown.collect::<Vec<_>>().join("  ")
}

/// The result, and what it took.
pub fn sum_up(run: &TaskRunView) {
    let seconds = run.duration_ms.unwrap_or_default() / 100;
    println!("\n{} after {}.{} s of work", status(run), seconds / 10, seconds % 10);
    if let Some(output) = &run.output {
        println!("\n  {}", text(output).replace('\n', "\n  "));
    }
    if let Some(error) = &run.error {
        println!("\n  {}: {}", error.code, error.message);
    }
    let tokens = run.tokens_used;
    println!(
        "\n{} tokens, {} {}, {} {}",
        tokens.total,
        run.cost.to_decimal(),
        run.currency,
        run.attempt,
        if run.attempt == 1 { "attempt" } else { "attempts" },
    );
}

/// As the API names it.
fn status(run: &TaskRunView) -> String {
    let named = json!({ "status": run.status, "reason": run.reason });
    format!("{} ({})", text(&named["status"]), text(&named["reason"]))
}
