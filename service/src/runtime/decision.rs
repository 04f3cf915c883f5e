//! What people decided about calls, as approvals store it.

use entity::tasks::approval::{ApprovalKind, ApprovalStatus, Model, OnExpire};
use entity::tasks::task_run::RunReason;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::end::{End, Flow};

pub(super) enum Answer {
    Approved(Decision),
    Rejected(Decision),
    Expired,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Decision {
    /// Approved instead of the proposed ones.
    pub arguments: Option<Map<String, Value>>,
    /// Given in place of the outcome of a call that is not repeated.
    pub output: Option<Value>,
    pub comment: Option<String>,
}

/// The last answer among the approvals that match; `None` while there is none. An expiry that fails
/// the run does so here.
pub(super) fn answer(decisions: &[Model], mine: impl Fn(&Model) -> bool) -> Flow<Option<Answer>> {
    let Some(approval) = decisions.iter().rev().find(|approval| mine(approval)) else { return Ok(None) };
    let decision = || {
        let decision = approval.decision.clone().unwrap_or_default();
        serde_json::from_value::<Option<Decision>>(decision).ok().flatten().unwrap_or_default()
    };
    Ok(match (approval.status, approval.on_expire) {
        (ApprovalStatus::Pending | ApprovalStatus::Cancelled, _) => None,
        (ApprovalStatus::Approved, _) | (ApprovalStatus::Expired, OnExpire::Approve) => {
            Some(Answer::Approved(decision()))
        }
        (ApprovalStatus::Rejected, _) => Some(Answer::Rejected(decision())),
        (ApprovalStatus::Expired, OnExpire::Reject) => Some(Answer::Expired),
        (ApprovalStatus::Expired, OnExpire::Fail) => {
            let message = "Nobody decided in time.";
            return Err(End::failed(RunReason::ApprovalExpired, "approval_expired", message));
        }
    })
}

/// The review of a call whose intent is this step.
pub(super) fn review(decisions: &[Model], step: i32) -> Flow<Option<Answer>> {
    answer(decisions, |approval| approval.kind == ApprovalKind::Review && approval.step_number == step)
}

impl Decision {
    /// The approved arguments, and what the model is told when they are not its own.
    pub fn edit(self, proposed: Value) -> (Value, Option<String>) {
        match self.arguments.map(Value::Object) {
            Some(edited) if edited != proposed => {
                let note = format!("A person changed the arguments to {edited} before the call was made.");
                (edited, Some(note))
            }
            _ => (proposed, None),
        }
    }

    /// `what` with the reviewer's reason.
    pub fn reason(&self, what: &str) -> String {
        match &self.comment {
            Some(comment) => format!("{what}: {comment}"),
            None => format!("{what}."),
        }
    }
}
