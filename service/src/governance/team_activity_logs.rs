//! The readable feed: who did what to what, as a sentence. It is the audit log told to everybody in the
//! tenant, so it cannot say anything else than the log; refusals and sign-ins are not for everybody, and what
//! belongs to a STRICT workspace is for its team.

mod seen;
mod sentence;

use std::collections::BTreeMap;
use std::time::Duration;

use async_stream::try_stream;
use chrono::{DateTime, Utc};
use entity::governance::audit_log::{AuditOutcome, Column, Entity, Model};
use entity::identity::app_user;
use futures_util::Stream;
use sea_orm::{ColumnTrait as _, Condition, Order};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::crud::{self, Page, Paging, page};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::Result;
use crate::identity::users;

const PAGE: u64 = 200;
/// Changes are seen by looking, whichever node made them.
const LOOK: Duration = Duration::from_millis(500);
/// Nobody else's business.
const PRIVATE: [&str; 3] = ["session", "notification-preference", "privacy-request"];

/// Something that somebody did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamActivityLogView {
    /// That of the audit row.
    pub id: Uuid,
    /// Grows with time; `Last-Event-ID` of the stream.
    pub number: i64,
    #[schema(example = "Ada Lovelace changed the agent “Support bot”.")]
    pub text: String,
    /// The person behind it; null for what the platform did.
    #[schema(required)]
    pub user_id: Option<Uuid>,
    #[schema(example = "update_agent")]
    pub action: String,
    #[schema(required, example = "agent")]
    pub resource: Option<String>,
    #[schema(required)]
    pub resource_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

page!(TeamActivityLogPage, TeamActivityLogView);

/// What the feed may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TeamActivityLogFilter {
    pub user_id: Option<Uuid>,
    #[param(max_length = 80)]
    pub resource: Option<String>,
    pub resource_id: Option<Uuid>,
    /// Only what has a greater number; the stream also takes `Last-Event-ID`.
    #[param(minimum = 0)]
    pub after: Option<i64>,
}

impl TeamActivityLogFilter {
    fn condition(&self, ctx: &Ctx) -> Condition {
        Condition::all()
            .add_option(seen::by(ctx))
            .add(Column::Outcome.eq(AuditOutcome::Succeeded))
            .add(Column::Resource.is_not_in(PRIVATE))
            .add_option(self.user_id.map(|user| Column::UserId.eq(user)))
            .add_option(self.resource.as_deref().map(|resource| Column::Resource.eq(resource)))
            .add_option(self.resource_id.map(|id| Column::ResourceId.eq(id)))
    }
}

pub async fn list(
    ctx: &Ctx,
    paging: &Paging,
    filter: &TeamActivityLogFilter,
) -> Result<Page<TeamActivityLogView>> {
    let after = filter.after.map(|after| Column::Number.gt(after));
    let rows = crud::rows::<Entity>(ctx, paging, filter.condition(ctx).add_option(after)).await?;
    let Page { data, next_cursor, has_more, total } = rows;
    Ok(Page { data: told(ctx, data).await?, next_cursor, has_more, total })
}

/// What happens from now on, or behind the filter's `after`.
pub async fn follow(
    ctx: Ctx,
    filter: TeamActivityLogFilter,
) -> Result<impl Stream<Item = Result<TeamActivityLogView>> + Send> {
    let mut after = match filter.after {
        Some(after) => after,
        None => {
            let db = ctx.db();
            let last = db.find::<Entity>().order_by(Column::Number, Order::Desc).limit(1).one().await?;
            last.map_or(0, |row| row.number)
        }
    };
    Ok(try_stream! {
        loop {
            let rows = {
                let db = ctx.db();
                let query = db.find::<Entity>().filter(filter.condition(&ctx)).filter(Column::Number.gt(after));
                query.order_by(Column::Number, Order::Asc).limit(PAGE).all().await?
            };
            let more = rows.len() as u64 == PAGE;
            for view in told(&ctx, rows).await? {
                after = view.number;
                yield view;
            }
            if !more {
                tokio::time::sleep(LOOK).await;
            }
        }
    })
}

async fn told(ctx: &Ctx, rows: Vec<Model>) -> Result<Vec<TeamActivityLogView>> {
    let ids: Vec<Uuid> = rows.iter().filter_map(|row| row.user_id).collect();
    let people = match ids.is_empty() {
        true => BTreeMap::new(),
        false => users::by_ids(ctx.core.db.system(Reason::People).connection(), ids).await?,
    };
    Ok(rows.into_iter().map(|row| tell(row, &people)).collect())
}

fn tell(row: Model, people: &BTreeMap<Uuid, app_user::Model>) -> TeamActivityLogView {
    let person = row.user_id.and_then(|id| people.get(&id));
    let person = person.map(|user| user.name.clone().unwrap_or_else(|| user.email.clone()));
    let name = name(row.new_data.as_deref()).or_else(|| name(row.old_data.as_deref()));
    let resource = row.resource.as_deref().unwrap_or_default();
    TeamActivityLogView {
        text: sentence::of(&row.actor, person.as_deref(), &row.action, resource, name.as_deref()),
        id: row.id,
        number: row.number,
        user_id: row.user_id.filter(|_| !sentence::is_platform(&row.actor)),
        action: row.action,
        resource: row.resource,
        resource_id: row.resource_id,
        created_at: row.created_at,
    }
}

fn name(data: Option<&str>) -> Option<String> {
    let data: Value = serde_json::from_str(data?).ok()?;
    data.get("name").and_then(Value::as_str).map(str::to_owned)
}
