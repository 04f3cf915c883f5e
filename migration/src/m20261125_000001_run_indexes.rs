//! Fewer index entries for each run. Few runs are RUNNING at once, so those whose lease is over are found
//! among them; and a run that names no agent, or no definition, is in no list of theirs.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261125_000001_run_indexes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(
            manager,
            "
DROP INDEX task_run_leases;
DROP INDEX task_run_of_agent;
DROP INDEX task_run_of_definition;
CREATE INDEX task_run_of_agent ON task_run (tenant_id, agent_id, id) WHERE agent_id IS NOT NULL;
CREATE INDEX task_run_of_definition ON task_run (tenant_id, definition_id, id) WHERE definition_id IS NOT NULL;
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(
            manager,
            "
DROP INDEX task_run_of_agent;
DROP INDEX task_run_of_definition;
CREATE INDEX task_run_leases ON task_run (lease_expires_at) WHERE status = 'RUNNING';
CREATE INDEX task_run_of_agent ON task_run (tenant_id, agent_id, id);
CREATE INDEX task_run_of_definition ON task_run (tenant_id, definition_id, id);
",
        )
        .await
    }
}
