//! The people of the platform, for its administrators.

use chrono::{DateTime, Utc};
use entity::identity::app_user::{Column, Entity, Model, PlatformRole};
use sea_orm::{ColumnTrait as _, Condition};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{DELETED, ERASED, fold_email, is_gone};
use crate::crud::{self, Page, Paging, page};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};

/// A person, as administrators of the platform see them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    pub id: Uuid,
    #[schema(example = "ada@example.org")]
    pub email: String,
    /// Null until the person has proved that the address is theirs.
    #[schema(required)]
    pub email_verified_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub name: Option<String>,
    /// The tenant that they enter when they name none.
    #[schema(required)]
    pub tenant_id: Option<Uuid>,
    pub platform_role: PlatformRole,
    /// Whether they may sign in and act.
    pub is_active: bool,
    #[schema(required)]
    pub deactivated_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(UserPage, UserView);

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct UserFilter {
    /// The whole address, in any case.
    #[param(max_length = 254)]
    pub email: Option<String>,
    pub is_active: Option<bool>,
}

impl From<Model> for UserView {
    fn from(row: Model) -> Self {
        let Model {
            id,
            email,
            name,
            image: _,
            tenant_id,
            platform_role,
            is_active,
            password_hash: _,
            email_verified_at,
            deactivated_at,
            terms_version: _,
            terms_accepted_at: _,
            privacy_version: _,
            privacy_accepted_at: _,
            revision: _,
            created_at,
            updated_at,
        } = row;
        Self {
            id,
            email,
            email_verified_at,
            name,
            tenant_id,
            platform_role,
            is_active,
            deactivated_at,
            created_at,
            updated_at,
        }
    }
}

/// Everybody but those who deleted themselves or were erased.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: &UserFilter) -> Result<Page<UserView>> {
    let UserFilter { email, is_active } = filter;
    let condition = Condition::all()
        .add(Column::Email.not_like(format!("%{DELETED}")))
        .add(Column::Email.not_like(format!("%{ERASED}")))
        .add_option(email.as_deref().map(|email| Column::Email.eq(fold_email(email))))
        .add_option(is_active.map(|is_active| Column::IsActive.eq(is_active)));
    let system = ctx.core.db.system(Reason::Platform);
    let rows = crud::rows_of(ctx, paging, condition, || system.find::<Entity>()).await?;
    Ok(rows.map(Into::into))
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<UserView> {
    let system = ctx.core.db.system(Reason::Platform);
    let row = system.find::<Entity>().filter(Column::Id.eq(id)).one().await?;
    let row = row.filter(|row| !is_gone(row));
    row.map(Into::into).ok_or(Error::not_found("user"))
}
