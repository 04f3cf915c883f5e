//! The tool calls of a turn: judged together, made in order, safe neighbours side by side, and those that are
//! child runs side by side and last.

use entity::tasks::task_run::RunReason;

use super::judge::{self, Judged, Verdict};
use super::session::Session;
use super::{delegation, execution, output, repetition};
use crate::runtime::end::{End, Flow};

/// Closes every open call of the last turn, or ends the attempt: with questions, with the output of a
/// terminal tool, or because the model goes round in circles.
pub(super) async fn finish(session: &mut Session<'_>) -> Flow {
    check_terminal(session)?;
    if let Some(turn) =
        session.history.turns.last().filter(|turn| turn.calls.iter().any(|call| !call.is_closed()))
    {
        repetition::check_calls(turn)?;
    }
    let judged = judge::judge(session).await?;
    ask(session, &judged)?;
    let mut rest = judged.as_slice();
    while let [first, others @ ..] = rest {
        if first.is_wait(session.plan) {
            execution::wait(session, rest)?;
            // None can be waited for and all are closed: what is open is judged without them.
            return Box::pin(finish(session)).await;
        }
        let made = match &first.verdict {
            Verdict::Make { tool, .. } if is_safe(session, *tool) => {
                let safe = rest.iter().take_while(
                    |judged| matches!(judged.verdict, Verdict::Make { tool, .. } if is_safe(session, tool)),
                );
                let count = safe.count();
                let (side_by_side, others) = rest.split_at(count);
                execution::make_safe(session, side_by_side).await?;
                others
            }
            _ => {
                execution::make_one(session, first).await?;
                others
            }
        };
        rest = made;
        check_terminal(session)?;
    }
    delegation::wait(session).await
}

/// Executed here, and harmless to execute again.
fn is_safe(session: &Session<'_>, tool: usize) -> bool {
    session.plan.tools.get(tool).is_some_and(|bound| bound.is_safe() && bound.tool.child().is_none())
}

/// All questions of a turn are asked together, before any of its calls is made.
fn ask(session: &Session<'_>, judged: &[Judged]) -> Flow {
    let first = session.history.next_step();
    let questions: Vec<_> = (first..)
        .zip(judged)
        .filter_map(|(number, judged)| match &judged.verdict {
            Verdict::Ask { tool, arguments } => {
                let bound = session.plan.tools.get(*tool)?;
                Some(judge::question(bound, &judged.call_id, number, arguments))
            }
            _ => None,
        })
        .collect();
    if questions.is_empty() {
        return Ok(());
    }
    Err(End::Asked { reason: RunReason::Approval, questions })
}

fn check_terminal(session: &Session<'_>) -> Flow {
    let calls = session.history.turns.last().map(|turn| turn.calls.as_slice()).unwrap_or_default();
    let ended = calls.iter().find_map(|entry| {
        let bound = session.plan.tool(&entry.call.name)?;
        entry.output().filter(|_| bound.policy.terminal)
    });
    match ended {
        Some(output) => Err(output::terminal(session.plan, output)),
        None => Ok(()),
    }
}
