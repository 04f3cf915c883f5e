//! The audit log: one row for each change and each refusal, chained by hashes within its tenant.
//!
//! Invariant: a tenant-scoped transaction commits only with its row ([`Recorded`]), and the row's
//! number and hash follow the last ones committed, whatever node wrote them.

mod chain;
mod change;
mod checkpoint;
mod export;
mod record;
mod refusals;
mod verifier;
mod verify;

use chrono::{DateTime, Utc};
use entity::governance::audit_log::{AuditOutcome, Column, Entity, Model};
use sea_orm::{ColumnTrait as _, Condition};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::crud::{self, Page, Paging, page};
use crate::ctx::Ctx;
use crate::error::{Error, Result};

pub use chain::{data_hash, ip_hash, row_hash};
pub use change::Change;
pub use export::{AuditExport, AuditExportRow, export};
pub use record::Recorded;
pub(crate) use record::{Entry, Scribe, append};
pub(crate) use refusals::failed_sign_in;
pub use refusals::{Refusals, refused};
pub use verifier::{Break, Fault, Link, Verifier, Weighed};
pub use verify::{
    AuditCheckpoint, AuditVerification, CheckpointVerdict, VerifyAuditLogs, take_checkpoint, verify,
    verify_stored,
};

/// A change that was made, or a call that was refused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditLogView {
    pub id: Uuid,
    /// Counts from 1 in each tenant, without gaps.
    pub number: i64,
    /// `user:<id>`, `api-key:<id>`, `client-token:<id>`, `platform-admin:<id>`, `operator` (at the command line) or `system`.
    #[schema(example = "user:0199a000-0000-7000-8000-000000000001")]
    pub actor: String,
    /// The person behind the call; for an API key its maker.
    #[schema(required)]
    pub user_id: Option<Uuid>,
    /// The operation's id, as in the OpenAPI document.
    #[schema(example = "update_agent")]
    pub action: String,
    pub outcome: AuditOutcome,
    /// Of a refusal: the problem's code.
    #[schema(required)]
    pub code: Option<String>,
    #[schema(required, example = "agent")]
    pub resource: Option<String>,
    #[schema(required)]
    pub resource_id: Option<Uuid>,
    /// What was before: the changed fields, or all of what was deleted. Secrets are masked.
    #[schema(required)]
    pub old_data: Option<Value>,
    /// What is now: the changed fields, or all of what was created. Secrets are masked.
    #[schema(required)]
    pub new_data: Option<Value>,
    #[schema(required, example = "192.0.2.7")]
    pub ip_address: Option<String>,
    pub request_id: String,
    /// Whether old and new data were erased; the chain still holds. An address may be erased alone.
    pub erased: bool,
    /// SHA-256 over the row and the hash before it, in hex.
    pub hash: String,
    pub created_at: DateTime<Utc>,
}

page!(AuditLogPage, AuditLogView);

impl From<Model> for AuditLogView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            number,
            actor,
            user_id,
            action,
            outcome,
            code,
            resource,
            resource_id,
            request_id,
            ip_salt: _,
            ip_address,
            data_salt,
            old_data,
            new_data,
            detail_hash: _,
            hash,
            created_at,
            workspace_id: _,
        } = row;
        let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            id,
            number,
            actor,
            user_id,
            action,
            outcome,
            code,
            resource,
            resource_id,
            old_data: json(old_data),
            new_data: json(new_data),
            ip_address,
            request_id,
            erased: data_salt.is_none(),
            hash: chain::hex(&hash),
            created_at,
        }
    }
}

/// What a list of audit rows may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct AuditLogFilter {
    /// As it stands in `actor`.
    #[param(max_length = 80)]
    pub actor: Option<String>,
    pub user_id: Option<Uuid>,
    #[param(max_length = 80)]
    pub action: Option<String>,
    pub outcome: Option<AuditOutcome>,
    #[param(max_length = 80)]
    pub resource: Option<String>,
    pub resource_id: Option<Uuid>,
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: AuditLogFilter) -> Result<Page<AuditLogView>> {
    let AuditLogFilter { actor, user_id, action, outcome, resource, resource_id } = filter;
    let all = Condition::all()
        .add_option(actor.map(|actor| Column::Actor.eq(actor)))
        .add_option(user_id.map(|user| Column::UserId.eq(user)))
        .add_option(action.map(|action| Column::Action.eq(action)))
        .add_option(outcome.map(|outcome| Column::Outcome.eq(outcome)))
        .add_option(resource.map(|resource| Column::Resource.eq(resource)))
        .add_option(resource_id.map(|id| Column::ResourceId.eq(id)));
    Ok(crud::rows::<Entity>(ctx, paging, all).await?.map(Into::into))
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<AuditLogView> {
    Ok(ctx.db().get::<Entity>(id).await?.ok_or(Error::not_found("audit log"))?.into())
}
