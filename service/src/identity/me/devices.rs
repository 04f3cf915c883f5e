//! Where a person is signed in.

use chrono::{DateTime, Utc};
use entity::identity::session::{Column, Entity, Model};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::crud::{Page, page};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::users;

/// More live sessions a person does not have.
const MOST: u64 = 50;

const END: &str = "UPDATE session SET revoked_at = $3 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL
    AND expires_at > $3";

/// A device on which one is signed in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MySessionView {
    pub id: Uuid,
    /// Whether it is the session of this request.
    pub is_current: bool,
    /// The `User-Agent` of the sign-in.
    #[schema(required, example = "Mozilla/5.0 (X11; Linux x86_64)")]
    pub device: Option<String>,
    /// The address of the sign-in.
    #[schema(required, example = "192.0.2.7")]
    pub ip: Option<String>,
    /// The tenant that the session acts in.
    pub tenant_id: Uuid,
    pub last_seen_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
}

page!(MySessionPage, MySessionView);

/// A session, live or ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnownSessionView {
    #[serde(flatten)]
    pub session: MySessionView,
    /// When it was ended, before its time or by signing out.
    #[schema(required)]
    pub ended_at: Option<DateTime<Utc>>,
}

impl MySessionView {
    pub(super) fn of(row: Model, current: Option<Uuid>) -> Self {
        let Model {
            id,
            user_id: _,
            tenant_id,
            device,
            ip,
            created_at,
            last_seen_at,
            expires_at,
            revoked_at: _,
        } = row;
        let is_current = current == Some(id);
        Self { id, is_current, device, ip, tenant_id, last_seen_at, expires_at, created_at }
    }
}

/// The live sessions, the last seen first: never more than a page.
///
/// # Errors
/// 403 `person_only`.
pub async fn list_sessions(ctx: &Ctx) -> Result<Page<MySessionView>> {
    let user = users::caller(ctx).await?;
    let data = live(ctx, user.id).await?;
    Ok(Page { data, next_cursor: None, has_more: false, total: None })
}

#[expect(clippy::disallowed_methods, reason = "sessions belong to people, not to a tenant")]
pub(super) async fn live(ctx: &Ctx, user: Uuid) -> Result<Vec<MySessionView>> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user))
        .filter(Column::RevokedAt.is_null())
        .filter(Column::ExpiresAt.gt(ctx.core.clock.now()))
        .order_by_desc(Column::LastSeenAt)
        .limit(MOST)
        .all(ctx.core.db.system(Reason::People).connection())
        .await?;
    Ok(rows.into_iter().map(|row| MySessionView::of(row, ctx.session)).collect())
}

/// Every session that is still known, also those that have ended, the newest first.
#[expect(clippy::disallowed_methods, reason = "sessions belong to people, not to a tenant")]
pub(super) async fn known(
    db: &impl ConnectionTrait,
    current: Option<Uuid>,
    user: Uuid,
    most: u64,
) -> Result<Vec<KnownSessionView>> {
    let rows = Entity::find().filter(Column::UserId.eq(user)).order_by_desc(Column::Id).limit(most).all(db);
    let shown =
        |row: Model| KnownSessionView { ended_at: row.revoked_at, session: MySessionView::of(row, current) };
    Ok(rows.await?.into_iter().map(shown).collect())
}

/// Signs a device out: at once on this node, within a second on others.
///
/// # Errors
/// 403 `person_only`; 404 for a session that has ended or is another person's.
pub async fn end_session(ctx: &Ctx, id: Uuid) -> Result<()> {
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    let tx = core.db.system(Reason::People).begin().await?;
    let values = vec![id.into(), user.id.into(), core.clock.now().into()];
    if tx.execute(END, values).await?.rows_affected() == 0 {
        return Err(Error::not_found("session"));
    }
    let change = Change::to("session", id).with(serde_json::json!({ "ended": "by its person" }));
    let _recorded = ctx.record(tx.connection(), change).await?;
    tx.commit().await?;
    core.principals.clear();
    Ok(())
}
