//! The outbox of mails. Each is a row of the transaction that caused it; a loop of the node delivers it
//! later, at least once, under one Message-ID.
//!
//! Invariant: a text may hold a token, so it is stored sealed, shown where no server could take it and
//! to administrators of the platform only, and gone once it was sent.

mod delivery;
mod letters;
mod smtp;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::notifications::mail::{Column, Entity, MailKind, MailStatus, Model};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _,
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::core::Core;
use crate::crud::{self, Page, Paging, page};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::secrets::Place;

pub use delivery::deliver;
pub use letters::{Letter, Line};
pub use smtp::{MailSettings, Smtp, check_from, check_url};

/// A mail that could not be delivered by then is given up.
const DELIVERED_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Mails of one kind to one recipient in an [`HOUR`].
const MOST_AN_HOUR: u64 = 5;
const HOUR: TimeDelta = TimeDelta::hours(1);

/// A mail, without its text.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailView {
    pub id: Uuid,
    pub kind: MailKind,
    #[schema(example = "ada@example.org")]
    pub recipient: String,
    pub subject: String,
    /// `KEPT` where no SMTP server is configured, `DROPPED` where nobody is to get it.
    pub status: MailStatus,
    /// Why it was not sent: `SMTP_` and the server's code, `CONNECTION`, `TIMEOUT`, `TLS`, `ADDRESS`,
    /// `EXPIRED`; for a dropped one `UNKNOWN_RECIPIENT` or `TOO_MANY`.
    #[schema(required, example = "SMTP_450")]
    pub reason: Option<String>,
    pub attempts: i32,
    /// When a queued mail is tried next.
    #[schema(required)]
    pub next_attempt_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub sent_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(MailPage, MailView);

/// A mail with its text.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailTextView {
    #[serde(flatten)]
    pub mail: MailView,
    /// What the recipient reads; null unless the mail is `KEPT`.
    #[schema(required)]
    pub text: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct MailFilter {
    pub status: Option<MailStatus>,
    pub kind: Option<MailKind>,
    /// The whole address, in any case.
    #[param(max_length = 254)]
    pub recipient: Option<String>,
}

impl From<Model> for MailView {
    fn from(row: Model) -> Self {
        let Model {
            id,
            kind,
            recipient,
            subject,
            sealed: _,
            status,
            reason,
            attempts,
            next_attempt_at,
            expires_at: _,
            sent_at,
            revision: _,
            created_at,
            updated_at,
        } = row;
        let next_attempt_at = (status == MailStatus::Queued).then_some(next_attempt_at);
        Self {
            id,
            kind,
            recipient,
            subject,
            status,
            reason,
            attempts,
            next_attempt_at,
            sent_at,
            created_at,
            updated_at,
        }
    }
}

/// Every mail of the platform that is remembered.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: &MailFilter) -> Result<Page<MailView>> {
    let MailFilter { status, kind, recipient } = filter;
    let condition = Condition::all()
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(recipient.as_deref().map(|to| Column::Recipient.eq(to.trim().to_lowercase())));
    let system = ctx.core.db.system(Reason::Platform);
    let rows = crud::rows_of(ctx, paging, condition, || system.find::<Entity>()).await?;
    Ok(rows.map(Into::into))
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<MailTextView> {
    let system = ctx.core.db.system(Reason::Platform);
    let row = system.find::<Entity>().filter(Column::Id.eq(id)).one().await?;
    let row = row.ok_or(Error::not_found("mail"))?;
    let text = match (&row.sealed, row.status) {
        (Some(sealed), MailStatus::Kept) => Some(ctx.core.keys.open_text(&place(id), sealed)?),
        _ => None,
    };
    let text = text.map(|text| text.expose_secret().to_owned());
    Ok(MailTextView { mail: row.into(), text })
}

/// Writes a mail within the transaction that causes it; what is too much for one recipient is dropped.
pub async fn queue(
    core: &Core,
    transaction: &impl ConnectionTrait,
    recipient: &str,
    letter: &Letter<'_>,
) -> Result<()> {
    queue_unless(core, transaction, recipient, letter, None).await
}

/// The same, but that nobody is to get it for the reason that `dropped` gives. That it was asked for is written
/// down with the same statements and sealed all the same: only the row is shorter.
pub async fn queue_unless(
    core: &Core,
    transaction: &impl ConnectionTrait,
    recipient: &str,
    letter: &Letter<'_>,
    dropped: Option<&str>,
) -> Result<()> {
    // Notices are of what was done to an account, and notifications wait by themselves: they all go.
    let always = matches!(letter.kind(), MailKind::SecurityNotice | MailKind::Notification);
    let is_too_much = !always && has_many(core, transaction, recipient, letter.kind()).await?;
    let reason = dropped.or(is_too_much.then_some("TOO_MANY"));
    let id = core.ids.next();
    let text = letter.text(&core.config.public_url);
    let sealed = core.keys.seal(&place(id), text.expose_secret().as_bytes())?;
    let row = row(core, id, recipient, letter.kind());
    let row = match reason {
        Some(reason) => Model { status: MailStatus::Dropped, reason: Some(reason.to_owned()), ..row },
        None => {
            let status = if core.smtp.is_some() { MailStatus::Queued } else { MailStatus::Kept };
            Model { sealed: Some(sealed), status, subject: letter.subject(), ..row }
        }
    };
    let status = row.status;
    row.into_active_model().reset_all().insert(transaction).await?;
    if status == MailStatus::Kept {
        tracing::info!(mail.id = %id, "no SMTP server is configured: a mail is kept at /v1/mails");
    }
    Ok(())
}

/// Whether a recipient got as many mails of a kind as they get in an hour: nobody can have us fill
/// another's mailbox.
#[expect(clippy::disallowed_methods, reason = "mails belong to no tenant")]
pub(super) async fn has_many(
    core: &Core,
    transaction: &impl ConnectionTrait,
    recipient: &str,
    kind: MailKind,
) -> Result<bool> {
    let sent = Entity::find()
        .filter(Column::Recipient.eq(recipient))
        .filter(Column::Kind.eq(kind))
        .filter(Column::Status.ne(MailStatus::Dropped))
        .filter(Column::CreatedAt.gt(core.clock.now() - HOUR))
        .limit(MOST_AN_HOUR)
        .count(transaction)
        .await?;
    Ok(sent >= MOST_AN_HOUR)
}

fn row(core: &Core, id: Uuid, recipient: &str, kind: MailKind) -> Model {
    let now = core.clock.now();
    Model {
        id,
        kind,
        recipient: recipient.to_owned(),
        subject: String::new(),
        sealed: None,
        status: MailStatus::Queued,
        reason: None,
        attempts: 0,
        next_attempt_at: now,
        expires_at: core.clock.after(DELIVERED_WITHIN),
        sent_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    }
}

fn place(row: Uuid) -> Place {
    Place { tenant: Uuid::nil(), table: "mail", column: "sealed", row }
}
