//! A remote executor, as it registered itself. Whether it is alive is told by its times.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "worker")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub labels: Json,
    #[sea_orm(column_type = "JsonBinary")]
    pub capabilities: Json,
    /// Runs that it executes at once, at most.
    pub slots: i32,
    pub paused_at: Option<DateTimeUtc>,
    pub paused_reason: Option<String>,
    /// Since when it takes no new run.
    pub drained_at: Option<DateTimeUtc>,
    pub last_seen_at: DateTimeUtc,
    /// When it last asked for runs, or had no slot free to ask for.
    pub last_claim_at: Option<DateTimeUtc>,
    pub registered_by: String,
    /// Where its runs are sent; null for one that asks for them.
    pub delivery_url: Option<String>,
    /// What deliveries are signed with, sealed.
    pub delivery_secret: Option<Vec<u8>>,
    /// Deliveries in a row that it did not take.
    pub delivery_failures: i32,
    /// It is sent nothing before this time.
    pub delivery_after: Option<DateTimeUtc>,
    pub delivery_error: Option<String>,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("worker", deleted: None, metadata: None, name: name);
