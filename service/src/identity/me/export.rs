//! What is stored about a person, for them to take along.

use chrono::{DateTime, Utc};
use entity::identity::api_key;
use sea_orm::{ColumnTrait as _, Order};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::devices::live;
use super::{MeView, MySessionView};
use crate::crud::Paging;
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::Result;
use crate::identity::accounts::{self, AccountView};
use crate::identity::memberships::{self, MyMembershipView};
use crate::identity::second_factors::{self, SecondFactorView};
use crate::identity::users;
use crate::notifications::notification_preferences::{self, NotificationPreferenceView};
use crate::notifications::notifications::{self, NotificationView};

/// Of each kind; the newest.
const MOST: u64 = 200;

/// Everything that the platform itself keeps about a person. What tenants keep is the tenants' to give.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyDataView {
    pub exported_at: DateTime<Utc>,
    pub profile: MeView,
    /// The newest 200.
    pub memberships: Vec<MyMembershipView>,
    pub sessions: Vec<MySessionView>,
    pub second_factor: SecondFactorView,
    /// With which I sign in.
    pub accounts: Vec<AccountView>,
    /// The newest 200 of all tenants, without secrets.
    pub api_keys: Vec<MyKeyView>,
    /// The newest 200 of all tenants.
    pub notifications: Vec<NotificationView>,
    pub notification_preferences: NotificationPreferenceView,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyKeyView {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub name: String,
    #[schema(example = "mc_live_4Kd0")]
    pub prefix: String,
    #[schema(required)]
    pub last_used_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub revoked_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// # Errors
/// 403 `person_only`.
pub async fn export(ctx: &Ctx) -> Result<MyDataView> {
    let user = users::caller(ctx).await?;
    let all = Paging { limit: Some(MOST), ..Paging::default() };
    let system = ctx.core.db.system(Reason::People);
    let keys = system
        .find::<api_key::Entity>()
        .filter(api_key::Column::CreatedBy.eq(user.id))
        .order_by(api_key::Column::Id, Order::Desc)
        .limit(MOST)
        .all()
        .await?;
    let key = |row: api_key::Model| MyKeyView {
        id: row.id,
        tenant_id: row.tenant_id,
        name: row.name,
        prefix: row.prefix,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
        created_at: row.created_at,
    };
    Ok(MyDataView {
        exported_at: ctx.core.clock.now(),
        memberships: memberships::list_mine(ctx, &all).await?.data,
        sessions: live(ctx, user.id).await?,
        second_factor: second_factors::get(ctx).await?,
        accounts: accounts::list(ctx).await?.data,
        api_keys: keys.into_iter().map(key).collect(),
        notifications: notifications::newest_of(ctx, user.id, MOST).await?,
        notification_preferences: notification_preferences::get(ctx).await?,
        profile: user.into(),
    })
}
