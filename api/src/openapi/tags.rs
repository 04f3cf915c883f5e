//! Tags in the order of a user's journey.

use utoipa::openapi::tag::{Tag, TagBuilder};

const TAGS: &[(&str, &str)] = &[
    ("Authentication", "Sign in, refresh, sign out; who am I."),
    ("Account", "One's own account: e-mail, password, tenants."),
    ("Tenants", "The tenant of the caller, and the platform's tenants."),
    ("Members", "Who belongs to the tenant, with which role."),
    ("Workspaces", "Projects inside the tenant, and who works in them."),
    ("API keys", "Credentials for programs, with scopes."),
    ("Integrations", "Connections to model providers and others; credentials go in and never come out."),
    ("Model prices", "What a model's tokens cost."),
    ("Agents", "Agents, their immutable versions and their tools."),
    ("Tools", "What agents can call."),
    ("Task definitions", "What is to be done, by which agent or tool, within which limits."),
    ("Task runs", "Executions: create, watch, cancel, retry, replay."),
    ("Bulk actions", "Cancel, retry or replay all runs that a filter matches."),
    ("Scheduled tasks", "When definitions run, and what came of each time."),
    ("Events", "What happened elsewhere: it starts and resumes runs."),
    ("Inbound hooks", "Signed URLs that start and resume runs, and what they were sent."),
    ("Batch tasks", "A definition over many targets, one run each."),
    ("Workers", "Programs that execute runs elsewhere: they ask for runs, beat, report and end them."),
    ("Approvals", "Decisions that a run waits for."),
    ("Audit log", "Who did what, chained by hashes: read, verify, export."),
    ("Notifications", "What the signed-in person was told, and how they wish to be told."),
    ("Mails", "The outbox of this installation."),
    ("Team activity", "Who did what, in sentences, as pages and as a stream."),
    ("Retention and privacy", "How long data is kept, and what a person may ask of it."),
    ("Operations", "Health and metrics of this server."),
];

pub fn all() -> Vec<Tag> {
    TAGS.iter()
        .map(|(name, description)| TagBuilder::new().name(*name).description(Some(*description)).build())
        .collect()
}
