//! Telling people: rows of the transaction that causes them, and the mail, if one is wished at once, beside
//! them. Other features call [`notify`] and nothing else.

pub mod notice;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use entity::identity::app_user;
use entity::notifications::notification::{Model, NotificationType};
use sea_orm::{ActiveModelTrait as _, ConnectionTrait, IntoActiveModel as _, Statement};
use uuid::Uuid;

use super::mails::{self, Letter};
use super::notification_preferences::{self, Mailing};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::identity::users;
pub use notice::Notice;
use notice::{has_own_mail, is_fixed, severity, words};

/// People who are told of one thing.
pub const MOST_RECIPIENTS: usize = 50;
/// When one person got many mails of this kind, the next ones wait and go out together.
const PUT_OFF: TimeDelta = TimeDelta::hours(1);

/// The lock of a person's inbox is held until the commit, so that whoever reads on behind a number misses
/// nothing.
const NEXT_NUMBER: &str = "INSERT INTO notification_inbox (user_id, number) VALUES ($1, 1) \
     ON CONFLICT (user_id) DO UPDATE SET number = notification_inbox.number + 1 RETURNING number";

/// Tells active people what they wish to be told, at most [`MOST_RECIPIENTS`] of them.
pub async fn notify(
    core: &Core,
    transaction: &impl ConnectionTrait,
    to: &[Uuid],
    notice: &Notice,
) -> Result<()> {
    // In one order, so that two who tell the same people do not wait for each other.
    let mut to = to.to_vec();
    to.sort_unstable();
    to.dedup();
    to.truncate(MOST_RECIPIENTS);
    let people: BTreeMap<Uuid, app_user::Model> = users::by_ids(transaction, to.clone()).await?;
    let mut wishes = notification_preferences::of(transaction, &to).await?;
    let now = core.clock.now();
    for person in people.values().filter(|person| person.is_active) {
        let (in_app, mailing) = wishes.remove(&person.id).unwrap_or_default().delivery(notice.kind, now);
        let mailing = if has_own_mail(notice.kind) { Mailing::Never } else { mailing };
        // Nobody else's address is written to for what can wait.
        let is_proved = person.email_verified_at.is_some() || is_fixed(notice.kind);
        let mailing = if is_proved { mailing } else { Mailing::Never };
        if !in_app && mailing == Mailing::Never {
            continue;
        }
        let email_due_at = match mailing {
            Mailing::Never => None,
            Mailing::At(due) => Some(due),
            Mailing::AtOnce => mail_now(core, transaction, person, notice).await?.then(|| now + PUT_OFF),
        };
        let row = Model {
            user_id: person.id,
            id: core.ids.next(),
            tenant_id: notice.tenant,
            number: next_number(transaction, person.id).await?,
            kind: notice.kind,
            severity: severity(notice.kind),
            resource: notice.resource.map(|(kind, _)| kind.to_owned()),
            resource_id: notice.resource.map(|(_, id)| id),
            data: notice.data.clone(),
            in_app,
            read_at: None,
            email_due_at,
            created_at: now,
        };
        row.into_active_model().reset_all().insert(transaction).await?;
    }
    Ok(())
}

/// Queues a mail of its own; whether it has to wait instead, because there were too many.
async fn mail_now(
    core: &Core,
    transaction: &impl ConnectionTrait,
    person: &app_user::Model,
    notice: &Notice,
) -> Result<bool> {
    let (title, text) = words(notice.kind, &notice.data);
    let letter = Letter::Notice { title: &title, text: &text, is_security: is_fixed(notice.kind) };
    let may_wait = !is_fixed(notice.kind) || notice.kind == NotificationType::KeyCreated;
    if may_wait && mails::has_many(core, transaction, &person.email, letter.kind()).await? {
        return Ok(true);
    }
    mails::queue(core, transaction, &person.email, &letter).await?;
    Ok(false)
}

async fn next_number(transaction: &impl ConnectionTrait, user: Uuid) -> Result<i64> {
    let backend = transaction.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, NEXT_NUMBER, [user.into()]);
    let row = transaction.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| Error::internal("an inbox did not count"))?;
    Ok(row.try_get("", "number")?)
}
