//! From an audit row to a sentence.

/// The first words of operations, or a whole one that says something else, and what one says of them.
const VERBS: &[(&str, &str)] = &[
    ("abort", "aborted"),
    ("accept", "accepted"),
    ("activate", "activated"),
    ("add", "added to"),
    ("apply", "applied"),
    ("archive", "archived"),
    ("backfill", "made up for times of"),
    ("cancel", "cancelled"),
    ("close", "closed"),
    ("complete", "completed"),
    ("confirm", "confirmed"),
    ("create", "created"),
    ("deactivate", "deactivated"),
    ("decide", "decided"),
    ("decline", "declined"),
    ("delete", "deleted"),
    ("erase", "began to erase"),
    ("invite", "invited"),
    ("link", "linked"),
    ("pause", "paused"),
    ("put", "set"),
    ("reactivate", "reactivated"),
    ("release", "released from"),
    ("release_emergency_stop", "released"),
    ("reopen", "reopened"),
    ("replay", "replayed"),
    ("resend", "sent again"),
    ("restore", "restored"),
    ("resume", "resumed"),
    ("retry", "retried"),
    ("revoke", "revoked"),
    ("rotate", "rotated"),
    ("start", "started"),
    ("suspend", "suspended"),
    ("test", "tested"),
    ("transfer", "transferred to"),
    ("trigger", "triggered"),
    ("unarchive", "unarchived"),
    ("update", "changed"),
];

/// Whether the platform acted, whose people are not shown to a tenant.
pub fn is_platform(actor: &str) -> bool {
    actor.starts_with("platform-admin:")
}

/// `Ada Lovelace changed the agent “Support bot”.`
pub fn of(actor: &str, person: Option<&str>, action: &str, resource: &str, name: Option<&str>) -> String {
    let person = person.unwrap_or("Somebody");
    let who = match actor.split(':').next().unwrap_or_default() {
        "user" => person.to_owned(),
        "api-key" => format!("An API key of {person}"),
        "client-token" => format!("A client token of {person}"),
        "platform-admin" => "An administrator of the platform".to_owned(),
        "operator" => "The operator".to_owned(),
        _ => "The system".to_owned(),
    };
    let word = action.split('_').next().unwrap_or_default();
    let verb = |of: &str| VERBS.iter().find(|(first, _)| *first == of);
    let did = match verb(action).or_else(|| verb(word)) {
        Some((_, verb)) => (*verb).to_owned(),
        None => format!("did “{}” to", action.replace('_', " ")),
    };
    let what = resource.replace('-', " ");
    match name {
        Some(name) => format!("{who} {did} the {what} “{name}”."),
        None => format!("{who} {did} the {what}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        for (actor, person, action, resource, name, text) in [
            ("user:1", Some("Ada"), "update_agent", "agent", Some("Bot"), "Ada changed the agent “Bot”."),
            (
                "api-key:1",
                Some("Ada"),
                "cancel_task_run",
                "task-run",
                None,
                "An API key of Ada cancelled the task run.",
            ),
            (
                "platform-admin:1",
                Some("Root"),
                "update_tenant",
                "tenant",
                None,
                "An administrator of the platform changed the tenant.",
            ),
            (
                "user:1",
                None,
                "put_agent_tool",
                "tool-binding",
                Some("echo"),
                "Somebody set the tool binding “echo”.",
            ),
            (
                "user:1",
                Some("Ada"),
                "release_emergency_stop",
                "emergency-stop",
                None,
                "Ada released the emergency stop.",
            ),
            ("system", None, "frobnicate_all", "tool", None, "The system did “frobnicate all” to the tool."),
        ] {
            assert_eq!(of(actor, person, action, resource, name), text);
        }
        assert!(VERBS.is_sorted());
    }
}
