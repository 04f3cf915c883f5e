//! The rows with all that it takes to verify them elsewhere, one after the other.

use async_stream::try_stream;
use chrono::{DateTime, Utc};
use entity::governance::audit_log::{AuditOutcome, Model};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::chain::hex;
use super::verify::{batch, ends};
use crate::ctx::Ctx;
use crate::error::Result;

const BATCH: u64 = 500;
const MOST: u64 = 100_000;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct AuditExport {
    /// Only rows behind this number: that of the last line of the export before.
    #[param(minimum = 0)]
    pub after: Option<i64>,
    /// How many rows are written at most.
    #[param(minimum = 1, maximum = 100_000, default = 100_000)]
    pub limit: Option<u64>,
}

/// A line of the export: an audit row with the bytes that its hashes were made of.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditExportRow {
    pub tenant_id: Uuid,
    pub number: i64,
    pub id: Uuid,
    pub created_at: DateTime<Utc>,
    pub actor: String,
    #[schema(required)]
    pub user_id: Option<Uuid>,
    pub action: String,
    pub outcome: AuditOutcome,
    #[schema(required)]
    pub code: Option<String>,
    #[schema(required)]
    pub resource: Option<String>,
    #[schema(required)]
    pub resource_id: Option<Uuid>,
    pub request_id: String,
    #[schema(required)]
    pub ip_address: Option<String>,
    /// JSON as the text that was hashed.
    #[schema(required)]
    pub old_data: Option<String>,
    /// JSON as the text that was hashed.
    #[schema(required)]
    pub new_data: Option<String>,
    /// In hex; null where the address was erased.
    #[schema(required)]
    pub ip_salt: Option<String>,
    /// In hex; null where old and new data were erased.
    #[schema(required)]
    pub data_salt: Option<String>,
    /// In hex.
    pub detail_hash: String,
    /// In hex.
    pub hash: String,
}

impl From<Model> for AuditExportRow {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id,
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
            ip_salt,
            ip_address,
            data_salt,
            old_data,
            new_data,
            detail_hash,
            hash,
            created_at,
            workspace_id: _,
        } = row;
        Self {
            tenant_id,
            number,
            id,
            created_at,
            actor,
            user_id,
            action,
            outcome,
            code,
            resource,
            resource_id,
            request_id,
            ip_address,
            old_data,
            new_data,
            ip_salt: ip_salt.as_deref().map(hex),
            data_salt: data_salt.as_deref().map(hex),
            detail_hash: hex(&detail_hash),
            hash: hex(&hash),
        }
    }
}

/// # Errors
/// 422 at `limit`.
pub async fn export(
    ctx: Ctx,
    export: AuditExport,
) -> Result<impl Stream<Item = Result<AuditExportRow>> + Send> {
    let limit = export.limit.unwrap_or(MOST);
    let start = export.after.unwrap_or(0);
    let last = ends(&ctx.db()).await?.end.number;
    Ok(try_stream! {
        let (mut after, mut left) = (start, limit);
        while left > 0 && after < last {
            let rows = batch(&ctx.db(), after, last, left.min(BATCH)).await?;
            if rows.is_empty() {
                return;
            }
            for row in rows {
                after = row.number;
                left -= 1;
                yield AuditExportRow::from(row);
            }
        }
    })
}
