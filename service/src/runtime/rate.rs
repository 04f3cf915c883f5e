//! A token of a rate limit, before a call is made.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::agents::tool;
use entity::integrations::integration;
use serde_json::{Value, json};
use uuid::Uuid;

use super::end::{End, Flow};
use super::race;
use crate::engine::Attempt;
use crate::engine::rates::{self, RateLimit};

/// A token that comes so soon is waited for; for a later one the run gives its slot back.
const IN_PLACE: Duration = Duration::from_secs(1);

/// The rate limit of a tool or of a model provider.
#[derive(Clone, Debug)]
pub struct Bucket {
    kind: &'static str,
    id: Uuid,
    name: String,
    limit: RateLimit,
}

impl Bucket {
    pub(super) fn of_tool(row: &tool::Model) -> Option<Self> {
        let limit = RateLimit::stored(row.rate_limit.as_ref())?;
        Some(Self { kind: "TOOL", id: row.id, name: row.name.clone(), limit })
    }

    pub fn of_integration(row: &integration::Model) -> Option<Self> {
        let limit = RateLimit::stored(row.rate_limit.as_ref())?;
        Some(Self { kind: "INTEGRATION", id: row.id, name: row.name.clone(), limit })
    }

    /// As the timeline names it.
    fn shown(&self) -> Value {
        json!({ "kind": self.kind, "id": self.id, "name": self.name, "perMinute": self.limit.per_minute })
    }
}

/// Takes a token, or ends the attempt: the run waits in the queue until its place comes.
pub(super) async fn take(attempt: &dyn Attempt, deadline: DateTime<Utc>, bucket: &Bucket) -> Flow {
    match soon(attempt, deadline, bucket).await? {
        None => Ok(()),
        Some(until) => Err(End::Limited { until, limit: bucket.shown() }),
    }
}

/// Takes a token that is there or comes soon; else gives the place of who asked.
pub(super) async fn soon(
    attempt: &dyn Attempt,
    deadline: DateTime<Utc>,
    bucket: &Bucket,
) -> Flow<Option<DateTime<Utc>>> {
    let (core, tenant) = (attempt.core(), attempt.run().tenant_id);
    loop {
        let now = core.clock.now();
        let Some(until) = rates::take(&core.db, tenant, bucket.id, bucket.limit, now).await? else {
            return Ok(None);
        };
        let wait = (until - now).to_std().unwrap_or_default();
        if wait > IN_PLACE {
            return Ok(Some(until));
        }
        race::pause(attempt, deadline, wait).await?;
    }
}
