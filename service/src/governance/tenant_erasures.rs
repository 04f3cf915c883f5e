//! Erasing closed tenants, and the receipts that are left of them.
//!
//! Invariant: a tenant's rows go in the order of [`tables::ERASED`], in bounded batches that each count
//! themselves in the receipt; what was broken off is found again by looking. The tenant's own row goes last,
//! with the end of its receipt, and the database refuses that while anything refers to it.

mod removal;
pub mod tables;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::governance::tenant_erasure::{Column, Entity, Model};
use sea_orm::{ColumnTrait as _, Condition};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::crud::{self, Page, Paging, document, page};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};

pub use removal::sweep;

/// The receipt of a closed tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantErasureView {
    /// The tenant's.
    pub id: Uuid,
    /// It stays taken.
    #[schema(example = "example")]
    pub slug: String,
    /// Who closed the tenant.
    #[schema(example = "user:0199a000-0000-7000-8000-000000000001")]
    pub requested_by: String,
    pub requested_at: DateTime<Utc>,
    pub began_at: DateTime<Utc>,
    /// Null while rows are being removed.
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
    /// How many rows of each table are gone. `app_user` counts people who belonged nowhere else and are
    /// forgotten; `audit_chain` and this receipt stay.
    #[schema(example = json!({ "agent": 4, "app_user": 2, "task_run": 1200 }))]
    pub removed: BTreeMap<String, u64>,
}

page!(TenantErasurePage, TenantErasureView);

impl From<Model> for TenantErasureView {
    fn from(row: Model) -> Self {
        let Model {
            id,
            slug,
            requested_by,
            requested_at,
            removed,
            completed_at,
            revision: _,
            created_at,
            updated_at: _,
        } = row;
        Self {
            id,
            slug,
            requested_by,
            requested_at,
            began_at: created_at,
            completed_at,
            removed: document::read(removed),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TenantErasureFilter {
    /// Only those that are completed, or that are not.
    pub is_completed: Option<bool>,
}

pub async fn list(
    ctx: &Ctx,
    paging: &Paging,
    filter: &TenantErasureFilter,
) -> Result<Page<TenantErasureView>> {
    let TenantErasureFilter { is_completed } = filter;
    let condition = Condition::all().add_option(is_completed.map(|is_completed| match is_completed {
        true => Column::CompletedAt.is_not_null(),
        false => Column::CompletedAt.is_null(),
    }));
    let system = ctx.core.db.system(Reason::Platform);
    let rows = crud::rows_of(ctx, paging, condition, || system.find::<Entity>()).await?;
    Ok(rows.map(Into::into))
}

/// # Errors
/// 404.
pub async fn get(ctx: &Ctx, id: Uuid) -> Result<TenantErasureView> {
    let system = ctx.core.db.system(Reason::Platform);
    let row = system.find::<Entity>().filter(Column::Id.eq(id)).one().await?;
    row.map(Into::into).ok_or(Error::not_found("tenant erasure"))
}
