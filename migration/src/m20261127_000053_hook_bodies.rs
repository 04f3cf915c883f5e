//! Bodies of deliveries stand apart, so that a list of deliveries does not read them. And the waiting runs of a tenant
//! can be counted.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261127_000053_hook_bodies"
    }
}

const UP: &str = "
CREATE TABLE hook_body (
    tenant_id UUID NOT NULL,
    delivery_id UUID NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, delivery_id),
    FOREIGN KEY (tenant_id, delivery_id) REFERENCES hook_delivery (tenant_id, id)
);
INSERT INTO hook_body (tenant_id, delivery_id, body) SELECT tenant_id, id, body FROM hook_delivery;
ALTER TABLE hook_delivery DROP COLUMN body;
CREATE INDEX task_run_waiting ON task_run (tenant_id, id) WHERE status = 'WAITING';
";

const DOWN: &str = "
DROP INDEX task_run_waiting;
ALTER TABLE hook_delivery ADD COLUMN body BYTEA;
UPDATE hook_delivery SET body = (SELECT b.body FROM hook_body b
    WHERE b.tenant_id = hook_delivery.tenant_id AND b.delivery_id = hook_delivery.id);
DROP TABLE hook_body;
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
