//! What is stored about a person, for them to take along.

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use entity::identity::api_key;
use entity::notifications::mail;
use sea_orm::{ColumnTrait as _, Order};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::MeView;
use super::devices::{self, KnownSessionView};
use crate::crud::Paging;
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::Result;
use crate::identity::accounts::{self, AccountView};
use crate::identity::memberships::{self, MyMembershipView};
use crate::identity::second_factors::{self, SecondFactorView};
use crate::identity::users;
use crate::notifications::mails::MailView;
use crate::notifications::notification_preferences::{self, NotificationPreferenceView};
use crate::notifications::notifications::{self, NotificationView};

const PAGE: u64 = 200;
/// Of each kind; the newest. One answer holds no more.
const MOST: u64 = 2_000;
const DEVICES: &str =
    "SELECT fingerprint, last_seen_at FROM user_device WHERE user_id = $1 ORDER BY last_seen_at DESC";

/// What the platform itself keeps about a person, without secrets: tokens and codes are stored as hashes, and a
/// sign-in that is under way for minutes. What tenants keep is the tenants' to give.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyDataView {
    pub exported_at: DateTime<Utc>,
    /// The lists below that are longer than what is given, which is the newest 2,000 of each.
    #[schema(example = json!(["notifications"]))]
    pub incomplete: Vec<String>,
    pub profile: MeView,
    pub memberships: Vec<MyMembershipView>,
    /// Live and ended ones, until they are removed.
    pub sessions: Vec<KnownSessionView>,
    /// What is remembered to tell of a new one.
    pub devices: Vec<MyDeviceView>,
    pub second_factor: SecondFactorView,
    /// With which I sign in.
    pub accounts: Vec<AccountView>,
    /// Of all tenants.
    pub api_keys: Vec<MyKeyView>,
    /// What was sent to my address.
    pub mails: Vec<MailView>,
    /// Of all tenants.
    pub notifications: Vec<NotificationView>,
    pub notification_preferences: NotificationPreferenceView,
}

/// A device that I signed in from.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyDeviceView {
    /// SHA-256 of what it calls itself (`User-Agent`), in hex.
    pub fingerprint: String,
    pub last_seen_at: DateTime<Utc>,
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
    let system = ctx.core.db.system(Reason::People);
    let keys = system.find::<api_key::Entity>().filter(api_key::Column::CreatedBy.eq(user.id));
    let keys = keys.order_by(api_key::Column::Id, Order::Desc).limit(MOST + 1).all().await?;
    let mails = system.find::<mail::Entity>().filter(mail::Column::Recipient.eq(user.email.as_str()));
    let mails = mails.order_by(mail::Column::Id, Order::Desc).limit(MOST + 1).all().await?;
    let sessions = devices::known(system.connection(), ctx.session, user.id, MOST + 1).await?;
    let mut devices = Vec::new();
    for row in system.query(DEVICES, vec![user.id.into()]).await? {
        let fingerprint: Vec<u8> = row.try_get("", "fingerprint")?;
        let fingerprint = HEXLOWER.encode(&fingerprint);
        devices.push(MyDeviceView { fingerprint, last_seen_at: row.try_get("", "last_seen_at")? });
    }
    let mut incomplete = Vec::new();
    Ok(MyDataView {
        exported_at: ctx.core.clock.now(),
        memberships: most("memberships", memberships(ctx).await?, &mut incomplete),
        sessions: most("sessions", sessions, &mut incomplete),
        devices,
        second_factor: second_factors::get(ctx).await?,
        accounts: accounts::list(ctx).await?.data,
        api_keys: most("apiKeys", keys.into_iter().map(key).collect(), &mut incomplete),
        mails: most("mails", mails.into_iter().map(MailView::from).collect(), &mut incomplete),
        notifications: most(
            "notifications",
            notifications::newest_of(ctx, user.id, MOST + 1).await?,
            &mut incomplete,
        ),
        notification_preferences: notification_preferences::get(ctx).await?,
        profile: user.into(),
        incomplete,
    })
}

/// No more than [`MOST`], and a word where there was more.
fn most<T>(name: &str, mut rows: Vec<T>, incomplete: &mut Vec<String>) -> Vec<T> {
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    if rows.len() > most {
        rows.truncate(most);
        incomplete.push(name.to_owned());
    }
    rows
}

/// Page by page, as they are listed.
async fn memberships(ctx: &Ctx) -> Result<Vec<MyMembershipView>> {
    let mut paging = Paging { limit: Some(PAGE), ..Paging::default() };
    let mut all = Vec::new();
    loop {
        let page = memberships::list_mine(ctx, &paging).await?;
        all.extend(page.data);
        if page.next_cursor.is_none() || all.len() as u64 > MOST {
            return Ok(all);
        }
        paging.cursor = page.next_cursor;
    }
}

fn key(row: api_key::Model) -> MyKeyView {
    MyKeyView {
        id: row.id,
        tenant_id: row.tenant_id,
        name: row.name,
        prefix: row.prefix,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
        created_at: row.created_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_named() {
        let mut incomplete = Vec::new();
        let most_at_once = usize::try_from(MOST).unwrap();
        assert_eq!(most("a", vec![0; most_at_once], &mut incomplete).len(), most_at_once);
        assert_eq!(most("b", vec![0; most_at_once + 1], &mut incomplete).len(), most_at_once);
        assert_eq!(incomplete, ["b"]);
    }
}
