//! What a person may ask of a tenant: all it has of them, or that it forgets who they are.
//!
//! Invariant: a request is about a person whom the tenant knows; anybody else's id is answered like one
//! that does not exist. What is erased is what [`super::personal_data`] calls personal.

mod erasure;
mod export;
mod traces;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::governance::audit_log;
use entity::governance::privacy_request::{Column, Entity, Model, PrivacyKind, PrivacyStatus};
use entity::identity::membership::{self, MembershipStatus};
use sea_orm::{ColumnTrait as _, Condition};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::crud::{self, Once, Page, Paging, Resource, document, page};
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::governance::personal_data::{self, Holds};

pub(super) use erasure::forget_account;
pub use erasure::sweep;
pub use export::{PersonalRow, export};

/// A request about one person's data.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivacyRequestView {
    pub id: Uuid,
    pub kind: PrivacyKind,
    /// The person.
    pub user_id: Uuid,
    /// An erasure is carried out in the background, in small steps.
    pub status: PrivacyStatus,
    #[schema(required)]
    pub note: Option<String>,
    #[schema(example = "user:0199a000-0000-7000-8000-000000000001")]
    pub requested_by: String,
    pub receipt: PrivacyReceipt,
    pub created_at: DateTime<Utc>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
}

/// What was done.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivacyReceipt {
    /// How many rows of what were erased so far.
    #[schema(example = json!({ "auditAddresses": 31, "auditData": 4, "sessions": 2, "answers": 0 }))]
    pub erased: BTreeMap<String, u64>,
    /// Columns that still have the person's id, which leads to nobody; they go with retention.
    #[serde(default)]
    #[schema(example = json!(["audit_log.actor", "task_run.created_by"]))]
    pub kept: Vec<String>,
}

page!(PrivacyRequestPage, PrivacyRequestView);

impl From<Model> for PrivacyRequestView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            kind,
            user_id,
            status,
            note,
            requested_by,
            position: _,
            gathered: _,
            traces: _,
            receipt,
            revision: _,
            created_at,
            updated_at: _,
            completed_at,
        } = row;
        let mut receipt: PrivacyReceipt = document::read(receipt);
        if kind == PrivacyKind::Erase {
            let kept = personal_data::columns(Holds::Pseudonym);
            receipt.kept = kept.map(|(table, column)| format!("{table}.{column}")).collect();
        }
        Self { id, kind, user_id, status, note, requested_by, receipt, created_at, completed_at }
    }
}

pub(super) struct PrivacyRequests;

impl Resource for PrivacyRequests {
    type Entity = Entity;
    type View = PrivacyRequestView;

    fn taken() -> Error {
        Error::conflict("already_exists", "There is such a request.")
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreatePrivacyRequest {
    pub kind: PrivacyKind,
    /// A person who belongs to the tenant, or did.
    pub user_id: Uuid,
    /// Such as a ticket's number; not who the person is.
    #[serde(default)]
    #[validate(length(max = 500))]
    #[schema(max_length = 500, example = "Ticket 4711")]
    pub note: Option<String>,
}

/// What a list of requests may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct PrivacyRequestFilter {
    pub kind: Option<PrivacyKind>,
    pub status: Option<PrivacyStatus>,
    pub user_id: Option<Uuid>,
}

pub async fn list(
    ctx: &Ctx,
    paging: &Paging,
    filter: PrivacyRequestFilter,
) -> Result<Page<PrivacyRequestView>> {
    let PrivacyRequestFilter { kind, status, user_id } = filter;
    let all = Condition::all()
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(user_id.map(|user| Column::UserId.eq(user)));
    crud::list::<PrivacyRequests>(ctx, paging, all).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<PrivacyRequestView> {
    crud::get::<PrivacyRequests>(ctx, id).await
}

/// # Errors
/// 409 `still_member` for the erasure of a person who belongs to the tenant; 422 at `/userId`.
pub async fn create(ctx: &Ctx, create: CreatePrivacyRequest) -> Result<PrivacyRequestView> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let CreatePrivacyRequest { kind, user_id, note } = create;
    let place = place(ctx, user_id).await?;
    if !is_known(ctx, user_id, place.as_ref()).await? {
        return Err(Error::invalid("/userId", "not_found", "There is no such person."));
    }
    let now = ctx.core.clock.now();
    let (status, completed_at) = match kind {
        PrivacyKind::Export => (PrivacyStatus::Completed, Some(now)),
        PrivacyKind::Erase if place.is_some() => {
            let message = "The person belongs to the tenant: end the membership first.";
            return Err(Error::conflict("still_member", message));
        }
        PrivacyKind::Erase => (PrivacyStatus::Pending, None),
    };
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        kind,
        user_id,
        status,
        note,
        requested_by: ctx.actor.to_string(),
        position: 0,
        gathered: 0,
        traces: json!({}),
        receipt: json!({ "erased": {} }),
        revision: 1,
        created_at: now,
        updated_at: now,
        completed_at,
    };
    let view = PrivacyRequestView::from(tx.insert::<Entity>(row).await?);
    tx.finish(Change::created::<Entity>(view.id, &view), &view).await?;
    Ok(view)
}

/// The person's place in the tenant; an invitation that they did not accept makes nobody known.
async fn place(ctx: &Ctx, user: Uuid) -> Result<Option<membership::Model>> {
    let db = ctx.db();
    let place = db.find::<membership::Entity>().filter(membership::Column::UserId.eq(user));
    place.filter(membership::Column::Status.ne(MembershipStatus::Invited)).one().await
}

async fn is_known(ctx: &Ctx, user: Uuid, place: Option<&membership::Model>) -> Result<bool> {
    if place.is_some() {
        return Ok(true);
    }
    let db = ctx.db();
    Ok(db.find::<audit_log::Entity>().filter(audit_log::Column::UserId.eq(user)).one().await?.is_some())
}
