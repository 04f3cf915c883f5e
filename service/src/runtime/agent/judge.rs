//! What happens to each open call of a turn: made, refused, or put before a person.
//!
//! Invariant: a tool marked ONCE whose intent is written is made again only after a person said so,
//! each time anew.

use std::collections::HashMap;

use entity::agents::tool::SideEffect;
use entity::tasks::approval::{self, ApprovalKind};
use serde_json::{Value, json};

use super::history::{Entry, State};
use super::plan::{Bound, Plan};
use super::repetition::{INVALID_ARGUMENTS, UNKNOWN_TOOL};
use super::session::Session;
use crate::agents::ToolPolicy;
use crate::engine::{Question, Step};
use crate::runtime::call;
use crate::runtime::decision::{self, Answer, Decision};
use crate::runtime::end::Flow;
use crate::runtime::waiting::{self, Settled};

pub(super) struct Judged {
    pub call_id: String,
    pub name: String,
    pub verdict: Verdict,
}

impl Judged {
    /// Whether the call is to be waited for.
    pub fn is_wait(&self, plan: &Plan) -> bool {
        matches!(&self.verdict, Verdict::Make { tool, .. } if plan.tools.get(*tool).is_some_and(Bound::is_wait))
    }
}

pub(super) enum Verdict {
    Make {
        tool: usize,
        arguments: Value,
        note: Option<String>,
        written: Option<Written>,
    },
    /// Closed without being executed. `step` is the intent that it closes.
    Refuse {
        code: String,
        message: String,
        step: Option<Box<Step>>,
    },
    /// Closed with an output that a reviewer gave.
    Answer {
        output: Value,
        note: Option<String>,
        step: Box<Step>,
    },
    Ask {
        tool: usize,
        arguments: Value,
    },
    Review {
        tool: usize,
        step: Box<Step>,
    },
}

/// The intent of an earlier attempt at the same call.
pub(super) enum Written {
    /// Made again under the same step and key.
    Same(Box<Step>),
    /// Closed as unknown; the call gets a new step.
    Replaced(Box<Step>),
}

/// Judges the open calls of the last turn, in order.
pub(super) async fn judge(session: &Session<'_>) -> Flow<Vec<Judged>> {
    let Some(turn) = session.history.turns.last() else { return Ok(Vec::new()) };
    let mut used = Used::of(session);
    let mut judged = Vec::new();
    for entry in turn.calls.iter().filter(|entry| !entry.is_closed()) {
        let verdict = match &entry.state {
            State::Started(step) => resume(session, entry, step)?,
            State::Open | State::Done { .. } => fresh(session, entry, &mut used).await?,
        };
        judged.push(Judged { call_id: entry.call.id.clone(), name: entry.call.name.clone(), verdict });
    }
    Ok(judged)
}

/// Executed calls of the run, in all and by tool.
struct Used<'a> {
    all: u32,
    by_tool: HashMap<&'a str, u32>,
}

impl<'a> Used<'a> {
    fn of(session: &'a Session<'_>) -> Self {
        let mut used = Self { all: 0, by_tool: HashMap::new() };
        session
            .history
            .entries()
            .filter(|entry| entry.is_executed())
            .for_each(|entry| used.count(&entry.call.name));
        used
    }

    fn count(&mut self, name: &'a str) {
        self.all = self.all.saturating_add(1);
        let by_tool = self.by_tool.entry(name).or_default();
        *by_tool = by_tool.saturating_add(1);
    }
}

async fn fresh<'a>(session: &'a Session<'_>, entry: &'a Entry, used: &mut Used<'a>) -> Flow<Verdict> {
    let name = entry.call.name.as_str();
    let Some((index, bound)) = find(session, name) else {
        return Ok(refuse(UNKNOWN_TOOL, format!("There is no tool {name:?}.")));
    };
    let arguments = match parse(&entry.call.arguments) {
        Ok(given) => bound.policy.arguments(given),
        Err(message) => return Ok(refuse(INVALID_ARGUMENTS, message)),
    };
    if let Err(message) = fits(session, bound, &arguments).await? {
        return Ok(refuse(INVALID_ARGUMENTS, message));
    }
    let limits = &session.plan.config.limits;
    if used.all >= limits.max_tool_calls {
        let message = format!("Not executed: the run's {} tool calls are used up.", limits.max_tool_calls);
        return Ok(refuse("tool_call_limit", message));
    }
    if let Some(most) = bound.policy.max_calls
        && used.by_tool.get(name).is_some_and(|used| *used >= most)
    {
        return Ok(refuse("max_calls", format!("Not executed: {name} may be called {most} times in a run.")));
    }
    let verdict = match bound.policy.decide(&arguments, &session.attempt.core().schemas).await? {
        ToolPolicy::Allow => Verdict::Make { tool: index, arguments, note: None, written: None },
        ToolPolicy::Deny => {
            refuse("denied", format!("The agent's policy does not allow this call of {name}."))
        }
        ToolPolicy::Ask => asked(session, entry, index, bound, arguments).await?,
    };
    if !matches!(verdict, Verdict::Refuse { .. }) {
        used.count(name);
    }
    Ok(verdict)
}

/// A call that needs an approval: the decision if there is one.
async fn asked(
    session: &Session<'_>,
    entry: &Entry,
    tool: usize,
    bound: &Bound,
    arguments: Value,
) -> Flow<Verdict> {
    let mine = |approval: &approval::Model| {
        approval.kind == ApprovalKind::Tool
            && approval.proposal.get("callId").and_then(Value::as_str) == Some(entry.call.id.as_str())
    };
    Ok(match decision::answer(&session.decisions, mine)? {
        None => Verdict::Ask { tool, arguments },
        Some(Answer::Approved(decision)) => {
            let (arguments, note) = decision.edit(arguments);
            match fits(session, bound, &arguments).await? {
                Ok(()) => Verdict::Make { tool, arguments, note, written: None },
                Err(message) => refuse("invalid_edit", message),
            }
        }
        Some(Answer::Rejected(decision)) => {
            refuse("rejected", decision.reason("A person rejected this call"))
        }
        Some(Answer::Expired) => refuse("expired", "Nobody approved this call in time.".to_owned()),
    })
}

/// A call whose intent is written and whose outcome is not.
fn resume(session: &Session<'_>, entry: &Entry, step: &Step) -> Flow<Verdict> {
    let arguments = step.request.get("arguments").cloned().unwrap_or_default();
    let step = Box::new(step.clone());
    let Some((tool, bound)) = find(session, &entry.call.name) else {
        let message = "The tool is gone; whether the call had an effect is not known.".to_owned();
        return Ok(Verdict::Refuse { code: "outcome_unknown".to_owned(), message, step: Some(step) });
    };
    if bound.is_wait() {
        return Ok(match waiting::settled(&session.waits, step.number)? {
            None => Verdict::Make { tool, arguments, note: None, written: Some(Written::Same(step)) },
            Some(Settled::Answered(output)) => {
                let step = Box::new(Step { cost: bound.tool.row.cost_per_call_nanos, ..*step });
                Verdict::Answer { output, note: None, step }
            }
            Some(Settled::Expired(message)) => {
                Verdict::Refuse { code: waiting::EXPIRED.to_owned(), message, step: Some(step) }
            }
        });
    }
    // Whatever a child run does, it is there, and started once.
    if bound.tool.child().is_some() || bound.tool.row.side_effect != SideEffect::Once {
        return Ok(Verdict::Make { tool, arguments, note: None, written: Some(Written::Same(step)) });
    }
    Ok(match decision::review(&session.decisions, step.number)? {
        None => Verdict::Review { tool, step },
        Some(Answer::Approved(decision)) => {
            let (arguments, note) = decision.edit(arguments);
            Verdict::Make { tool, arguments, note, written: Some(Written::Replaced(step)) }
        }
        Some(Answer::Rejected(Decision { output: Some(output), comment, .. })) => {
            let note = comment.map(|comment| format!("A reviewer gave this result: {comment}"));
            Verdict::Answer { output, note, step }
        }
        Some(Answer::Rejected(decision)) => {
            let message = decision.reason("Not repeated; whether it had an effect is not known");
            Verdict::Refuse { code: "outcome_unknown".to_owned(), message, step: Some(step) }
        }
        Some(Answer::Expired) => {
            let message = "Nobody reviewed this call in time; it is not repeated.".to_owned();
            Verdict::Refuse { code: "outcome_unknown".to_owned(), message, step: Some(step) }
        }
    })
}

/// What a person is asked about a call.
pub(super) fn question(bound: &Bound, call_id: &str, step: i32, arguments: &Value) -> Question {
    call::question(&bound.spec.name, bound.tool.row.id, Some(call_id), step, arguments)
}

fn find<'a>(session: &'a Session<'_>, name: &str) -> Option<(usize, &'a Bound)> {
    session.plan.tools.iter().enumerate().find(|(_, bound)| bound.spec.name == name)
}

/// The arguments as an object; no text at all stands for none.
fn parse(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_str(text) {
        Ok(arguments @ Value::Object(_)) => Ok(arguments),
        Ok(_) => Err("The arguments have to be a JSON object.".to_owned()),
        Err(error) => Err(format!("The arguments are not JSON: {error}.")),
    }
}

async fn fits(session: &Session<'_>, bound: &Bound, arguments: &Value) -> Flow<Result<(), String>> {
    let schema = session.attempt.core().schemas.get(&bound.tool.row.schema).await?;
    Ok(schema.check(arguments, "").map_err(|errors| call::explain(&errors)))
}

fn refuse(code: &str, message: String) -> Verdict {
    Verdict::Refuse { code: code.to_owned(), message, step: None }
}
