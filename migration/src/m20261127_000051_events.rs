//! Events that programs post, and what each of them started. The index finds the definitions that an event may start;
//! the other one, waits that an event which came first may satisfy.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261127_000051_events"
    }
}

const UP: &str = "
CREATE TABLE event (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    workspace_id UUID,
    type TEXT NOT NULL,
    data JSONB NOT NULL,
    source TEXT,
    dedupe_id TEXT,
    correlation_key TEXT,
    resumed INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    request_id TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, workspace_id) REFERENCES workspace (tenant_id, id)
);
CREATE UNIQUE INDEX event_dedupe_id ON event (tenant_id, dedupe_id)
    WHERE dedupe_id IS NOT NULL AND workspace_id IS NULL;
CREATE UNIQUE INDEX event_workspace_dedupe_id ON event (tenant_id, workspace_id, dedupe_id)
    WHERE dedupe_id IS NOT NULL AND workspace_id IS NOT NULL;
CREATE INDEX event_of_key ON event (tenant_id, correlation_key, id) WHERE correlation_key IS NOT NULL;

CREATE TABLE event_run (
    tenant_id UUID NOT NULL,
    event_id UUID NOT NULL,
    definition_id UUID NOT NULL,
    workspace_id UUID,
    agent_id UUID,
    run_id UUID,
    code TEXT,
    message TEXT,
    PRIMARY KEY (tenant_id, event_id, definition_id),
    FOREIGN KEY (tenant_id, event_id) REFERENCES event (tenant_id, id),
    FOREIGN KEY (tenant_id, definition_id) REFERENCES task_definition (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES task_run (tenant_id, id)
);
CREATE INDEX event_run_of_run ON event_run (tenant_id, run_id) WHERE run_id IS NOT NULL;

CREATE INDEX task_definition_events ON task_definition (tenant_id, id)
    WHERE deleted_at IS NULL AND (trigger_config ->> 'type') = 'EVENT';
CREATE INDEX run_wait_of_late ON run_wait (created_at) WHERE status = 'OPEN' AND key IS NOT NULL;
";

const DOWN: &str = "
DROP INDEX run_wait_of_late;
DROP INDEX task_definition_events;
DROP TABLE event_run;
DROP TABLE event;
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, DOWN).await
    }
}
