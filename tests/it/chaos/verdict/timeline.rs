//! A run's events are a walk through the states of engine.md, and its steps belong to the attempts on it.

use std::collections::HashMap;

use entity::tasks::run_event;
use entity::tasks::run_step::{self, StepStatus};
use entity::tasks::task_run::{Model, RunStatus};

/// Where the walk stands.
struct Walk<'a> {
    at: Option<RunStatus>,
    attempt: i64,
    cancel_requested: bool,
    /// By step number, the attempts that ended it.
    ended: HashMap<i64, Vec<i64>>,
    events: &'a [run_event::Model],
}

pub fn check(run: &Model, events: &[run_event::Model], steps: &[run_step::Model]) -> Vec<String> {
    let mut walk = Walk { at: None, attempt: 0, cancel_requested: false, ended: HashMap::new(), events };
    let mut wrong = walk.walk();
    if walk.at != Some(run.status) {
        wrong.push(format!("its events end at {:?}, it is {:?}", walk.at, run.status));
    }
    let last = events.last().map_or(0, |event| event.seq);
    if last != run.event_seq {
        wrong.push(format!("it counts {} events, the last is {last}", run.event_seq));
    }
    if walk.attempt != i64::from(run.attempt) {
        wrong.push(format!("it counts {} attempts, {} were started", run.attempt, walk.attempt));
    }
    wrong.extend(numbered(run, steps));
    for step in steps.iter().filter(|step| step.status != StepStatus::Started) {
        let ended = walk.ended.get(&i64::from(step.number)).map_or(&[][..], Vec::as_slice);
        if ended != [i64::from(step.attempt)] {
            wrong.push(format!("step {} of attempt {} was ended by {ended:?}", step.number, step.attempt));
        }
    }
    if run.status == RunStatus::Completed {
        let open = steps.iter().filter(|step| step.status == StepStatus::Started);
        wrong.extend(open.map(|step| format!("it is completed and step {} is open", step.number)));
    }
    wrong
}

fn numbered(run: &Model, steps: &[run_step::Model]) -> Option<String> {
    let numbers: Vec<_> = steps.iter().map(|step| step.number).collect();
    let expected: Vec<_> = (1..=run.step_count).collect();
    (numbers != expected).then(|| format!("it counts {} steps and has {numbers:?}", run.step_count))
}

impl Walk<'_> {
    fn walk(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (expected, event) in (1..).zip(self.events) {
            if event.seq != expected {
                wrong.push(format!("event {expected} is missing"));
                return wrong;
            }
            wrong.extend(self.step(event).map(|what| format!("event {expected} {}: {what}", event.kind)));
        }
        wrong
    }

    fn step(&mut self, event: &run_event::Model) -> Option<String> {
        use RunStatus::{Cancelled, Completed, Failed, Pending, Running, Waiting};
        let (from, to): (&[Option<RunStatus>], _) = match event.kind.as_str() {
            "run.created" => (&[None], Some(Pending)),
            "run.started" => (&[Some(Pending)], Some(Running)),
            "run.completed" => (&[Some(Running)], Some(Completed)),
            "run.failed" => (&[Some(Pending), Some(Running), Some(Waiting)], Some(Failed)),
            "run.cancelled" => (&[Some(Pending), Some(Running), Some(Waiting)], Some(Cancelled)),
            "run.waiting" => (&[Some(Running)], Some(Waiting)),
            "run.retrying" | "run.released" | "run.lease_lost" => (&[Some(Running)], Some(Pending)),
            "run.resumed" => (&[Some(Waiting)], Some(Pending)),
            "run.retried" => (&[Some(Failed), Some(Cancelled)], Some(Pending)),
            kind if is_work(kind) => (&[Some(Running)], self.at),
            "run.cancel_requested" => (&[Some(Running)], self.at),
            _ => (&[Some(Pending), Some(Running), Some(Waiting)], self.at),
        };
        if !from.contains(&self.at) {
            return Some(format!("it was {:?}", self.at));
        }
        self.at = to;
        let number = |name: &str| event.data[name].as_i64();
        match event.kind.as_str() {
            "run.started" => {
                self.attempt += 1;
                if number("attempt") != Some(self.attempt) {
                    return Some(format!("attempt {:?} instead of {}", number("attempt"), self.attempt));
                }
                if self.cancel_requested {
                    return Some("its cancel was requested".to_owned());
                }
            }
            // To wait for children is no attempt, as to be given back is none.
            "run.waiting" if event.data["started"].is_u64() => self.attempt -= 1,
            "run.released" => self.attempt -= 1,
            "run.cancel_requested" => self.cancel_requested = true,
            "run.retried" => self.cancel_requested = false,
            "step.completed" | "tool.completed" | "tool.failed" => {
                self.ended.entry(number("step").unwrap_or(0)).or_default().push(self.attempt);
            }
            _ => {}
        }
        None
    }
}

/// What only the holder of a lease writes.
fn is_work(kind: &str) -> bool {
    ["step.", "tool.", "model."].iter().any(|prefix| kind.starts_with(prefix))
}
