//! To which workspace what an audit row tells of belonged when it was written: the feed shows the row to who sees
//! that workspace. It is no part of the chain: hashes of rows that there are stay what they were.

use sea_orm_migration::prelude::*;

use crate::ddl::{self, Guard};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261128_000110_audit_places"
    }
}

/// Rows of before get the place that their resource has now.
const UP: &str = "
ALTER TABLE audit_log ADD COLUMN workspace_id UUID;
UPDATE audit_log SET workspace_id = CASE resource
    WHEN 'workspace' THEN resource_id
    WHEN 'team-member' THEN (SELECT r.workspace_id FROM team_member r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'api-key' THEN (SELECT r.workspace_id FROM api_key r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'agent' THEN (SELECT r.workspace_id FROM agent r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'tool-binding' THEN (SELECT r.workspace_id FROM agent r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'agent-version' THEN (SELECT r.workspace_id FROM agent_version v JOIN agent r ON r.tenant_id = v.tenant_id AND r.id = v.agent_id
        WHERE v.tenant_id = audit_log.tenant_id AND v.id = audit_log.resource_id)
    WHEN 'tool' THEN (SELECT r.workspace_id FROM tool r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'task-definition' THEN (SELECT r.workspace_id FROM task_definition r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'task-run' THEN (SELECT r.workspace_id FROM task_run r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'approval' THEN (SELECT r.workspace_id FROM approval r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'wait' THEN (SELECT r.workspace_id FROM run_wait r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'event' THEN (SELECT r.workspace_id FROM event r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'inbound-hook' THEN (SELECT r.workspace_id FROM inbound_hook r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'hook-delivery' THEN (SELECT r.workspace_id FROM hook_delivery r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'scheduled-task' THEN (SELECT r.workspace_id FROM scheduled_task r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'schedule-fire' THEN (SELECT r.workspace_id FROM schedule_fire r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    WHEN 'batch-task' THEN (SELECT r.workspace_id FROM batch_task r WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id)
    END
    WHERE resource_id IS NOT NULL;
";

const DOWN: &str = "
ALTER TABLE audit_log DROP COLUMN workspace_id;
";

const STAYS: Guard = Guard {
    table: "audit_log",
    event: "UPDATE OF workspace_id",
    when: "NEW.workspace_id IS DISTINCT FROM OLD.workspace_id",
    message: "an audit row does not change",
};

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, UP).await?;
        STAYS.set(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        STAYS.lift(manager).await?;
        ddl::run(manager, DOWN).await
    }
}
