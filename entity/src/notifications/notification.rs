//! Something that one person is told, of a tenant or of their own account.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NotificationType {
    /// Somebody invites the person to their tenant.
    InviteReceived,
    /// A run waits for somebody who may decide.
    ApprovalRequested,
    /// A key that the person made ends soon.
    KeyExpiring,
    /// A key was made in the person's name.
    KeyCreated,
    /// A sign-in from a device that was not seen before.
    NewDevice,
    PasswordChanged,
    EmailChanged,
    /// A second factor was set up or taken away.
    SecondFactorChanged,
    /// The platform suspended a tenant that the person owns.
    TenantSuspended,
    /// Somebody closed a tenant that the person owns.
    TenantClosing,
    /// Somebody stopped every agent of a tenant that the person administers.
    EmergencyStop,
}

/// In the order of their weight.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "notification")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The tenant it is of; NULL for the person's own account.
    pub tenant_id: Option<Uuid>,
    /// Counts from 1 for each person, in the order of the commits.
    pub number: i64,
    #[sea_orm(column_name = "type")]
    pub kind: NotificationType,
    pub severity: Severity,
    pub resource: Option<String>,
    pub resource_id: Option<Uuid>,
    #[sea_orm(column_type = "JsonBinary")]
    pub data: Json,
    /// Whether it is shown; else it only waits to be mailed.
    pub in_app: bool,
    pub read_at: Option<DateTimeUtc>,
    /// When it goes out with others in one mail.
    pub email_due_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

// It is to a person, who stands above tenants: no tenant's store reaches it.
crate::scope::tenant_owned!("notification", Id, scope: UserId);

impl crate::scope::Record for Entity {
    const REVISION: Column = Column::Number;
    const CREATED_AT: Column = Column::CreatedAt;
    const UPDATED_AT: Column = Column::CreatedAt;
    const DELETED_AT: Option<Column> = None;
    const METADATA: Option<Column> = None;
    const NAME: Option<Column> = None;
    const SORTS_BY_UPDATE: bool = false;

    fn id(model: &Model) -> Uuid {
        model.id
    }

    fn revision(model: &Model) -> i64 {
        model.number
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.created_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}
