//! How a person wishes to be told: by type and channel, from which severity on, together or at once, and
//! when not at all.
//!
//! Invariant: notices of the safety of an account go out whatever is wished.

mod times;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::notifications::notification::{NotificationType, Severity};
use entity::notifications::notification_preference::{Column, Digest, Entity, Model};
use sea_orm::{
    ActiveEnum as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, Iterable as _, QueryFilter as _,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::notify::notice::{is_fixed, severity};
use crate::crud::{Expected, Patch, document, patch};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::users;
use times::{hour_and_minute, mail_at};

/// The first row of a person, or the next revision of it.
const WRITE: &str = "INSERT INTO notification_preference (user_id, channels, min_severity, digest, quiet_from, \
     quiet_until, time_zone, revision, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
     ON CONFLICT (user_id) DO UPDATE SET channels = $2, min_severity = $3, digest = $4, quiet_from = $5, \
     quiet_until = $6, time_zone = $7, revision = $8, updated_at = $9 \
     WHERE notification_preference.revision = $8 - 1";

/// On which channels one type reaches the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Channels {
    in_app: bool,
    email: bool,
}

const BOTH: Channels = Channels { in_app: true, email: true };

/// One type, and the channels on which it reaches the person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TypePreferenceView {
    #[serde(rename = "type")]
    pub kind: NotificationType,
    pub in_app: bool,
    pub email: bool,
    /// Whether it concerns the safety of the account: it reaches both, at once, whatever is wished.
    pub is_fixed: bool,
}

/// From `from` until `until` no mail is sent; what came meanwhile goes out together afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietHours {
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length = 5, example = "22:00")]
    pub from: String,
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length = 5, example = "07:00")]
    pub until: String,
}

/// How the caller wishes to be told.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationPreferenceView {
    pub types: Vec<TypePreferenceView>,
    /// What weighs less reaches the person on no channel.
    pub min_severity: Severity,
    /// When mails go out.
    pub digest: Digest,
    #[schema(required)]
    pub quiet_hours: Option<QuietHours>,
    /// Of the IANA database: what quiet hours and the daily digest are told in.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// 0 while nothing was chosen.
    pub revision: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTypePreference {
    #[serde(rename = "type")]
    pub kind: NotificationType,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub in_app: Option<bool>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub email: Option<bool>,
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateNotificationPreference {
    /// The types to change; the others stay.
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(max = 32), nested)]
    #[schema(nullable = false, max_items = 32)]
    pub types: Option<Vec<UpdateTypePreference>>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub min_severity: Option<Severity>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub digest: Option<Digest>,
    #[serde(default)]
    #[schema(value_type = Option<QuietHours>)]
    pub quiet_hours: Patch<QuietHours>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 64))]
    #[schema(nullable = false, min_length = 1, max_length = 64, example = "Europe/Berlin")]
    pub time_zone: Option<String>,
}

/// What a person wishes, as the sender asks it.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    channels: BTreeMap<NotificationType, Channels>,
    min_severity: Severity,
    digest: Digest,
    quiet_hours: Option<QuietHours>,
    zone: Tz,
    revision: i64,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            channels: BTreeMap::new(),
            min_severity: Severity::Info,
            digest: Digest::Off,
            quiet_hours: None,
            zone: Tz::UTC,
            revision: 0,
        }
    }
}

/// Whether and when a mail goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mailing {
    Never,
    AtOnce,
    /// With others that are due by then.
    At(DateTime<Utc>),
}

impl Wishes {
    fn channels(&self, kind: NotificationType) -> Channels {
        if is_fixed(kind) { BOTH } else { self.channels.get(&kind).copied().unwrap_or(BOTH) }
    }

    /// Whether a notification is shown, and when it is mailed.
    pub(super) fn delivery(&self, kind: NotificationType, now: DateTime<Utc>) -> (bool, Mailing) {
        if is_fixed(kind) {
            return (true, Mailing::AtOnce);
        }
        if severity(kind) < self.min_severity {
            return (false, Mailing::Never);
        }
        let Channels { in_app, email } = self.channels(kind);
        (in_app, if email { mail_at(self, now) } else { Mailing::Never })
    }

    fn view(&self) -> NotificationPreferenceView {
        let of = |kind: NotificationType| {
            let Channels { in_app, email } = self.channels(kind);
            TypePreferenceView { kind, in_app, email, is_fixed: is_fixed(kind) }
        };
        NotificationPreferenceView {
            types: NotificationType::iter().map(of).collect(),
            min_severity: self.min_severity,
            digest: self.digest,
            quiet_hours: self.quiet_hours.clone(),
            time_zone: self.zone.name().to_owned(),
            revision: self.revision,
        }
    }
}

impl From<Model> for Wishes {
    fn from(row: Model) -> Self {
        let Model {
            user_id: _,
            channels,
            min_severity,
            digest,
            quiet_from,
            quiet_until,
            time_zone,
            revision,
            updated_at: _,
        } = row;
        Self {
            channels: document::read(channels),
            min_severity,
            digest,
            quiet_hours: quiet_from.zip(quiet_until).map(|(from, until)| QuietHours { from, until }),
            zone: time_zone.parse().unwrap_or(Tz::UTC),
            revision,
        }
    }
}

/// What these people wish; who has chosen nothing is missing.
#[expect(clippy::disallowed_methods, reason = "preferences belong to people, not to a tenant")]
pub(super) async fn of(db: &impl ConnectionTrait, people: &[Uuid]) -> Result<BTreeMap<Uuid, Wishes>> {
    let rows = Entity::find().filter(Column::UserId.is_in(people.iter().copied())).all(db).await?;
    Ok(rows.into_iter().map(|row| (row.user_id, Wishes::from(row))).collect())
}

/// # Errors
/// 403 `person_only`.
pub async fn get(ctx: &Ctx) -> Result<NotificationPreferenceView> {
    let user = users::caller(ctx).await?.id;
    let system = ctx.core.db.system(Reason::People);
    Ok(of(system.connection(), &[user]).await?.remove(&user).unwrap_or_default().view())
}

/// # Errors
/// 403 `person_only`; 409 `concurrent_update`; 412; 422, also for what is fixed.
pub async fn update(
    ctx: &Ctx,
    expected: Expected,
    update: UpdateNotificationPreference,
) -> Result<NotificationPreferenceView> {
    let UpdateNotificationPreference { types, min_severity, digest, quiet_hours, time_zone } = update;
    let user = users::caller(ctx).await?.id;
    let tx = ctx.core.db.system(Reason::People).begin().await?;
    let before = of(tx.connection(), &[user]).await?.remove(&user).unwrap_or_default();
    expected.check(before.revision)?;
    let mut after = before.clone();
    for (index, wish) in types.into_iter().flatten().enumerate() {
        if is_fixed(wish.kind) {
            let message = "Notices of the safety of your account cannot be turned off.";
            return Err(Error::invalid(format!("/types/{index}/type"), "fixed", message));
        }
        let channels = after.channels.entry(wish.kind).or_insert(BOTH);
        channels.in_app = wish.in_app.unwrap_or(channels.in_app);
        channels.email = wish.email.unwrap_or(channels.email);
    }
    after.min_severity = min_severity.unwrap_or(after.min_severity);
    after.digest = digest.unwrap_or(after.digest);
    after.quiet_hours = checked(quiet_hours)?.over(after.quiet_hours);
    if let Some(name) = time_zone {
        let unknown = |_| Error::invalid("/timeZone", "unknown", "There is no such time zone.");
        after.zone = name.parse().map_err(unknown)?;
    }
    after.revision = before.revision + 1;
    let quiet = after.quiet_hours.clone();
    let values = vec![
        user.into(),
        json!(after.channels).into(),
        after.min_severity.to_value().into(),
        after.digest.to_value().into(),
        quiet.as_ref().map(|quiet| quiet.from.clone()).into(),
        quiet.map(|quiet| quiet.until).into(),
        after.zone.name().into(),
        after.revision.into(),
        ctx.core.clock.now().into(),
    ];
    if tx.execute(WRITE, values).await?.rows_affected() == 0 {
        let message = "Your preferences are being changed elsewhere: try again.";
        return Err(Error::conflict("concurrent_update", message));
    }
    let (old, new) = (before.view(), after.view());
    let change = Change::to("notification preference", user).with(json!({ "old": old, "new": new }));
    let _recorded = ctx.record(tx.connection(), change).await?;
    tx.commit().await?;
    Ok(new)
}

fn checked(quiet: Patch<QuietHours>) -> Result<Patch<QuietHours>> {
    let Some(QuietHours { from, until }) = quiet.as_set() else { return Ok(quiet) };
    for (name, time) in [("from", from), ("until", until)] {
        if hour_and_minute(time).is_none() {
            let message = "must be a time of day such as 22:00";
            return Err(Error::invalid(format!("/quietHours/{name}"), "time", message));
        }
    }
    if from == until {
        return Err(Error::invalid("/quietHours/until", "range", "must differ from the beginning"));
    }
    Ok(quiet)
}
