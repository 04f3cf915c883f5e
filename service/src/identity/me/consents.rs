//! What a person agreed to: the version of each document, and when. The audit log keeps the versions of before.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::MeView;
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::users;

const TERMS: &str = "UPDATE app_user SET terms_version = $2, terms_accepted_at = $3, updated_at = $3,
    revision = revision + 1 WHERE id = $1 AND is_active AND terms_version IS DISTINCT FROM $2";
const PRIVACY: &str = "UPDATE app_user SET privacy_version = $2, privacy_accepted_at = $3, updated_at = $3,
    revision = revision + 1 WHERE id = $1 AND is_active AND privacy_version IS DISTINCT FROM $2";

/// A document that a person agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsentDocument {
    /// The terms of use.
    Terms,
    /// The privacy notice.
    Privacy,
}

/// What a person agreed to; null where they did not.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentsView {
    #[schema(required)]
    pub terms: Option<ConsentView>,
    #[schema(required)]
    pub privacy: Option<ConsentView>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentView {
    #[schema(example = "2026-11")]
    pub version: String,
    pub accepted_at: DateTime<Utc>,
}

impl ConsentView {
    pub(super) fn of(version: Option<String>, accepted_at: Option<DateTime<Utc>>) -> Option<Self> {
        Some(Self { version: version?, accepted_at: accepted_at? })
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptDocument {
    pub document: ConsentDocument,
    /// The version that the person has read.
    #[validate(length(min = 1, max = 64), custom(function = "is_version"))]
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "2026-11")]
    pub version: String,
}

fn is_version(text: &str) -> Result<(), ValidationError> {
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(ValidationError::new("pattern")
            .with_message("must have letters, digits, `.`, `_` and `-` only".into()))
    }
}

/// Writes down that the person agrees. The same version again changes nothing: the first time counts.
///
/// # Errors
/// 403 `person_only`; 422.
pub async fn accept(ctx: &Ctx, accept: AcceptDocument) -> Result<MeView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let AcceptDocument { document, version } = accept;
    let user = users::caller(ctx).await?;
    let before = match document {
        ConsentDocument::Terms => user.terms_version.clone(),
        ConsentDocument::Privacy => user.privacy_version.clone(),
    };
    let sql = match document {
        ConsentDocument::Terms => TERMS,
        ConsentDocument::Privacy => PRIVACY,
    };
    let tx = ctx.core.db.system(Reason::People).begin().await?;
    let values = vec![user.id.into(), version.as_str().into(), ctx.core.clock.now().into()];
    let is_new = tx.execute(sql, values).await?.rows_affected() > 0;
    let user = users::by_id(tx.connection(), user.id).await?.ok_or_else(|| Error::not_found("user"))?;
    let view = MeView::from(user);
    ctx.keep_answer(&tx, &view).await?;
    if is_new {
        let change = json!({ "document": document, "version": version, "before": before });
        let _recorded = ctx.record(tx.connection(), Change::to("user", view.id).with(change)).await?;
    }
    tx.commit().await?;
    Ok(view)
}
