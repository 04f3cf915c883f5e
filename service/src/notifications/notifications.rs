//! What the signed-in person was told: of their account, and of the tenant they are in. What other tenants
//! told them is seen there.

mod upkeep;

use std::time::Duration;

use async_stream::try_stream;
use chrono::{DateTime, Utc};
use entity::notifications::notification::{Column, Entity, Model, NotificationType, Severity};
use futures_util::Stream;
use sea_orm::{ColumnTrait as _, Condition, Order};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::notify::notice::words;
use crate::crud::{self, Page, Paging, page};
use crate::ctx::Ctx;
use crate::db::{Reason, SystemDb};
use crate::error::{Error, Result};
use crate::identity::users;

pub use upkeep::sweep;

const PAGE: u64 = 200;
/// Other nodes' notifications are seen by looking.
const LOOK: Duration = Duration::from_millis(500);
const COUNT_CAP: u64 = 1_000;

/// `$1` is the person, `$2` the tenant, `$3` the time.
const READ: &str = "UPDATE notification SET read_at = $3 WHERE user_id = $1 AND in_app = $5 AND read_at IS NULL \
     AND (tenant_id IS NULL OR tenant_id = $2)";

/// Something that the caller was told.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationView {
    pub id: Uuid,
    /// Grows with time; `Last-Event-ID` of the stream.
    pub number: i64,
    #[serde(rename = "type")]
    pub kind: NotificationType,
    pub severity: Severity,
    #[schema(example = "The API key “Nightly import” expires")]
    pub title: String,
    pub text: String,
    /// The tenant it is of; null for the person's own account.
    #[schema(required)]
    pub tenant_id: Option<Uuid>,
    /// What it is about.
    #[schema(required, example = "api-key")]
    pub resource: Option<String>,
    #[schema(required)]
    pub resource_id: Option<Uuid>,
    #[schema(required)]
    pub read_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

page!(NotificationPage, NotificationView);

/// What is not read yet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnreadCount {
    /// Counted up to 1,000.
    pub count: u64,
}

/// How many were marked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarkedRead {
    pub marked: u64,
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReadAll {
    /// Only those up to this number, so that what came meanwhile stays unread.
    #[validate(range(min = 0))]
    #[schema(minimum = 0, example = 17)]
    pub up_to: Option<i64>,
}

/// What the list may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct NotificationFilter {
    /// Only what was read, or only what was not.
    pub read: Option<bool>,
    #[serde(rename = "type")]
    #[param(rename = "type")]
    pub kind: Option<NotificationType>,
    /// Only what weighs at least so much.
    pub min_severity: Option<Severity>,
    /// Only what has a greater number; the stream also takes `Last-Event-ID`.
    #[param(minimum = 0)]
    pub after: Option<i64>,
}

impl NotificationFilter {
    fn condition(&self) -> Result<Condition> {
        use sea_orm::Iterable as _;
        if self.after.is_some_and(|after| after < 0) {
            return Err(Error::invalid("after", "range", "must not be negative"));
        }
        let read = self.read.map(|read| match read {
            true => Column::ReadAt.is_not_null(),
            false => Column::ReadAt.is_null(),
        });
        let enough = self
            .min_severity
            .map(|least| Column::Severity.is_in(Severity::iter().filter(|severity| *severity >= least)));
        Ok(Condition::all()
            .add_option(read)
            .add_option(enough)
            .add_option(self.kind.map(|kind| Column::Kind.eq(kind))))
    }
}

impl From<Model> for NotificationView {
    fn from(row: Model) -> Self {
        let Model {
            user_id: _,
            id,
            tenant_id,
            number,
            kind,
            severity,
            resource,
            resource_id,
            data,
            in_app: _,
            read_at,
            email_due_at: _,
            created_at,
        } = row;
        let (title, text) = words(kind, &data);
        Self {
            id,
            number,
            kind,
            severity,
            title,
            text,
            tenant_id,
            resource,
            resource_id,
            read_at,
            created_at,
        }
    }
}

fn people(ctx: &Ctx) -> SystemDb {
    ctx.core.db.system(Reason::People)
}

/// What the person sees from where they are.
fn seen_by(ctx: &Ctx, user: Uuid) -> Condition {
    let here = Condition::any().add(Column::TenantId.is_null()).add(Column::TenantId.eq(ctx.tenant));
    Condition::all().add(Column::UserId.eq(user)).add(Column::InApp.eq(true)).add(here)
}

/// # Errors
/// 403 `person_only`.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: &NotificationFilter) -> Result<Page<NotificationView>> {
    let user = users::caller(ctx).await?.id;
    let after = filter.after.map(|after| Column::Number.gt(after));
    let all = seen_by(ctx, user).add(filter.condition()?).add_option(after);
    let system = people(ctx);
    Ok(crud::rows_of(ctx, paging, all, || system.find::<Entity>()).await?.map(Into::into))
}

/// # Errors
/// 403 `person_only`.
pub async fn unread_count(ctx: &Ctx) -> Result<UnreadCount> {
    let user = users::caller(ctx).await?.id;
    let system = people(ctx);
    let unread = system.find::<Entity>().filter(seen_by(ctx, user)).filter(Column::ReadAt.is_null());
    Ok(UnreadCount { count: unread.count(COUNT_CAP).await? })
}

/// Marking one again changes nothing.
///
/// # Errors
/// 403 `person_only`; 404.
pub async fn mark_read(ctx: &Ctx, id: Uuid) -> Result<NotificationView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let user = users::caller(ctx).await?.id;
    let this = seen_by(ctx, user).add(Column::Id.eq(id));
    let missing = || Error::not_found("notification");
    let system = people(ctx);
    let row = system.find::<Entity>().filter(this).one().await?.ok_or_else(missing)?;
    let now = ctx.core.clock.now();
    let tx = system.begin().await?;
    let values = vec![user.into(), ctx.tenant.into(), now.into(), id.into(), true.into()];
    tx.execute(&format!("{READ} AND id = $4"), values).await?;
    let view = NotificationView::from(Model { read_at: row.read_at.or(Some(now)), ..row });
    ctx.keep_answer(&tx, &view).await?;
    tx.commit().await?;
    Ok(view)
}

/// # Errors
/// 403 `person_only`.
pub async fn mark_all_read(ctx: &Ctx, all: ReadAll) -> Result<MarkedRead> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let user = users::caller(ctx).await?.id;
    let now = ctx.core.clock.now();
    let tx = people(ctx).begin().await?;
    let up_to = all.up_to.unwrap_or(i64::MAX);
    let values = vec![user.into(), ctx.tenant.into(), now.into(), up_to.into(), true.into()];
    let marked = tx.execute(&format!("{READ} AND number <= $4"), values).await?.rows_affected();
    let answer = MarkedRead { marked };
    ctx.keep_answer(&tx, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// What comes from now on, or behind the filter's `after`.
///
/// # Errors
/// 403 `person_only`; 422.
pub async fn follow(
    ctx: Ctx,
    filter: NotificationFilter,
) -> Result<impl Stream<Item = Result<NotificationView>> + Send> {
    let user = users::caller(&ctx).await?.id;
    let all = seen_by(&ctx, user).add(filter.condition()?);
    let mut after = match filter.after {
        Some(after) => after,
        None => newest(&ctx, user).await?,
    };
    Ok(try_stream! {
        loop {
            let rows = behind(&ctx, &all, after).await?;
            let more = rows.len() as u64 == PAGE;
            for row in rows {
                after = row.number;
                yield row.into();
            }
            if !more {
                tokio::time::sleep(LOOK).await;
            }
        }
    })
}

/// The newest of all tenants, for the person's own export.
pub(crate) async fn newest_of(ctx: &Ctx, user: Uuid, most: u64) -> Result<Vec<NotificationView>> {
    let system = people(ctx);
    let query = system.find::<Entity>().filter(Column::UserId.eq(user));
    let rows = query.order_by(Column::Number, Order::Desc).limit(most).all().await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

async fn newest(ctx: &Ctx, user: Uuid) -> Result<i64> {
    let system = people(ctx);
    let query = system.find::<Entity>().filter(Column::UserId.eq(user));
    let last = query.order_by(Column::Number, Order::Desc).limit(1).one().await?;
    Ok(last.map_or(0, |row| row.number))
}

async fn behind(ctx: &Ctx, all: &Condition, after: i64) -> Result<Vec<Model>> {
    let system = people(ctx);
    let query = system.find::<Entity>().filter(all.clone()).filter(Column::Number.gt(after));
    query.order_by(Column::Number, Order::Asc).limit(PAGE).all().await
}
