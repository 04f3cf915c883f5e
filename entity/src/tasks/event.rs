//! Something that happened elsewhere, as a program posted it. Written once.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Option<Uuid>,
    #[sea_orm(column_name = "type")]
    pub kind: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub data: Json,
    pub source: Option<String>,
    /// At most one event has it.
    pub dedupe_id: Option<String>,
    /// Satisfies the waits with this key.
    pub correlation_key: Option<String>,
    /// How many waits it satisfied.
    pub resumed: i32,
    pub created_by: String,
    pub request_id: String,
    pub created_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("event", Id, within);

impl crate::scope::Record for Entity {
    const REVISION: Column = Column::Resumed;
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
        i64::from(model.resumed)
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.created_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}
