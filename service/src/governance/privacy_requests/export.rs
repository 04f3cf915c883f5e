//! All that a tenant has of a person, read when it is asked for: no copy is kept.

use async_stream::try_stream;
use chrono::{DateTime, Utc};
use entity::governance::audit_log;
use entity::governance::privacy_request::PrivacyKind;
use entity::identity::{api_key, team_invite, team_member};
use futures_util::Stream;
use sea_orm::sea_query::LikeExpr;
use sea_orm::{ColumnTrait as _, Condition, Order};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{get, place, traces};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::AuditLogView;
use crate::identity::api_keys::ApiKeyView;
use crate::identity::team_invites::TeamInviteView;
use crate::identity::team_members::TeamMemberView;
use crate::identity::users;

/// Audit rows that one step looks through.
const WINDOW: i64 = 5_000;
/// Of the audit log.
const MOST: u64 = 100_000;
/// Invitations.
const MOST_INVITES: u64 = 1_000;

/// A line of the export.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PersonalRow {
    /// Where it stands: `person`, `membership`, `team-member`, `session`, `notification`, `api-key`,
    /// `invitation` or `audit-log`.
    #[schema(example = "session")]
    pub from: String,
    #[schema(value_type = Object)]
    pub data: Value,
}

fn row(from: &str, data: Value) -> PersonalRow {
    PersonalRow { from: from.to_owned(), data }
}

/// # Errors
/// 409 `not_exportable` for a request that asks to erase.
pub async fn export(ctx: Ctx, id: Uuid) -> Result<impl Stream<Item = Result<PersonalRow>> + Send> {
    let request = get(&ctx, id).await?;
    if request.kind != PrivacyKind::Export {
        return Err(Error::conflict("not_exportable", "This request asks to erase."));
    }
    let user = request.user_id;
    Ok(try_stream! {
        let mut about = About { user, resources: vec![user], emails: Vec::new() };
        for found in fixed(&ctx, user, &mut about).await? {
            yield found;
        }
        let (mut after, mut left) = (0, MOST);
        let end = last(&ctx).await?;
        while after < end && left > 0 {
            for entry in told(&ctx, &about, after, left).await? {
                left -= 1;
                yield row("audit-log", shown(user, entry));
            }
            after += WINDOW;
        }
    })
}

/// What there is little of. Who left is known by what they did, and by nothing else.
async fn fixed(ctx: &Ctx, user: Uuid, about: &mut About) -> Result<Vec<PersonalRow>> {
    let mut rows = Vec::new();
    if let Some(place) = place(ctx, user).await? {
        let person = users::by_id(ctx.core.db.system(Reason::People).connection(), user).await?;
        about.resources.push(place.id);
        about.emails.extend(person.as_ref().map(|person| person.email.clone()));
        rows.extend(person.map(|person| {
            row("person", json!({ "email": person.email, "name": person.name, "image": person.image }))
        }));
        let of = json!({ "id": place.id, "role": place.role, "status": place.status, "createdAt": place.created_at });
        rows.push(row("membership", of));
    }
    let db = ctx.db();
    let teams = db.everywhere::<team_member::Entity>().filter(team_member::Column::UserId.eq(user));
    let teams = teams.limit(1000).all().await?;
    about.resources.extend(teams.iter().map(|place| place.id));
    rows.extend(teams.into_iter().map(|place| row("team-member", json!(TeamMemberView::from(place)))));
    let sql = "SELECT device, ip, created_at, last_seen_at FROM session WHERE tenant_id = $1 AND user_id = $2 \
         ORDER BY id LIMIT 1000";
    for found in db.query(sql, vec![user.into()]).await? {
        let time = |name| found.try_get::<DateTime<Utc>>("", name);
        let (device, ip): (Option<String>, Option<String>) =
            (found.try_get("", "device")?, found.try_get("", "ip")?);
        let session = json!({ "device": device, "ip": ip, "createdAt": time("created_at")?, "lastSeenAt": time("last_seen_at")? });
        rows.push(row("session", session));
    }
    let sql = "SELECT type, severity, data, read_at, created_at FROM notification WHERE tenant_id = $1 AND user_id = $2 \
         ORDER BY id LIMIT 5000";
    for found in db.query(sql, vec![user.into()]).await? {
        let (kind, severity): (String, String) = (found.try_get("", "type")?, found.try_get("", "severity")?);
        let time = |name| found.try_get::<Option<DateTime<Utc>>>("", name);
        let data: Value = found.try_get("", "data")?;
        let told = json!({ "type": kind, "severity": severity, "data": data, "readAt": time("read_at")?, "createdAt": time("created_at")? });
        rows.push(row("notification", told));
    }
    let keys = db
        .everywhere::<api_key::Entity>()
        .filter(api_key::Column::CreatedBy.eq(user))
        .limit(1000)
        .all()
        .await?;
    rows.extend(keys.into_iter().map(|key| row("api-key", json!(ApiKeyView::from(key)))));
    let theirs = Condition::any()
        .add(team_invite::Column::AcceptedBy.eq(user))
        .add(team_invite::Column::Email.is_in(about.emails.clone()));
    let invites = db.everywhere::<team_invite::Entity>().filter(theirs).limit(MOST_INVITES).all().await?;
    for invite in invites {
        about.resources.push(invite.id);
        rows.push(row("invitation", json!(TeamInviteView::from(invite))));
    }
    Ok(rows)
}

/// By what the audit log's rows about a person are found.
struct About {
    user: Uuid,
    /// What was changed there is theirs.
    resources: Vec<Uuid>,
    emails: Vec<String>,
}

async fn last(ctx: &Ctx) -> Result<i64> {
    let db = ctx.db();
    let last = db.find::<audit_log::Entity>().order_by(audit_log::Column::Number, Order::Desc);
    Ok(last.limit(1).one().await?.map_or(0, |row| row.number))
}

/// What the person did, and what others did to their place here.
async fn told(ctx: &Ctx, about: &About, after: i64, most: u64) -> Result<Vec<audit_log::Model>> {
    use audit_log::Column;
    let mut any = Condition::any()
        .add(Column::UserId.eq(about.user))
        .add(Column::ResourceId.is_in(about.resources.iter().copied()));
    let emails = about.emails.iter().map(|email| traces::names(email));
    for pattern in emails.chain([traces::about(about.user)]) {
        let like = || LikeExpr::new(pattern.as_str()).escape('!');
        any = any.add(Column::OldData.like(like())).add(Column::NewData.like(like()));
    }
    let here =
        Condition::all().add(Column::Number.gt(after)).add(Column::Number.lte(after + WINDOW)).add(any);
    let db = ctx.db();
    db.find::<audit_log::Entity>().filter(here).order_by(Column::Number, Order::Asc).limit(most).all().await
}

/// Where somebody else was who changed something of the person's is not the person's to know.
fn shown(user: Uuid, mut entry: audit_log::Model) -> Value {
    if entry.user_id != Some(user) {
        entry.ip_address = None;
    }
    json!(AuditLogView::from(entry))
}
