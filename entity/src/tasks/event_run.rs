//! What an event made of a definition whose filter it matched: a run, or why there is none.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "event_run")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub definition_id: Uuid,
    /// That of the definition.
    pub workspace_id: Option<Uuid>,
    /// That of the definition.
    pub agent_id: Option<Uuid>,
    pub run_id: Option<Uuid>,
    /// Why no run was started.
    pub code: Option<String>,
    pub message: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("event run", EventId, within, agent: AgentId);
