//! Which rows a caller is told: what happened in a STRICT workspace is for who is of its team now, also when the
//! workspace is gone.

use sea_orm::sea_query::Expr;
use uuid::Uuid;

use crate::ctx::Ctx;

const SEEN: &str = "NOT EXISTS (SELECT 1 FROM workspace w \
         WHERE w.tenant_id = audit_log.tenant_id AND w.isolation = 'STRICT' \
         AND NOT EXISTS (SELECT 1 FROM team_member m WHERE m.tenant_id = w.tenant_id \
             AND m.workspace_id = w.id AND m.user_id = {user}) \
         AND w.id = CASE audit_log.resource \
             WHEN 'workspace' THEN audit_log.resource_id \
             WHEN 'agent' THEN (SELECT r.workspace_id FROM agent r \
                 WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
             WHEN 'tool-binding' THEN (SELECT r.workspace_id FROM agent r \
                 WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
             WHEN 'agent-version' THEN (SELECT r.workspace_id FROM agent_version v \
                 JOIN agent r ON r.tenant_id = v.tenant_id AND r.id = v.agent_id \
                 WHERE v.tenant_id = audit_log.tenant_id AND v.id = audit_log.resource_id) \
             WHEN 'tool' THEN (SELECT r.workspace_id FROM tool r \
                 WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
             WHEN 'task-definition' THEN (SELECT r.workspace_id FROM task_definition r \
                 WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
             WHEN 'task-run' THEN (SELECT r.workspace_id FROM task_run r \
                 WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
             WHEN 'approval' THEN (SELECT r.workspace_id FROM approval r \
                 WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
             WHEN 'api-key' THEN (SELECT r.workspace_id FROM api_key r \
                 WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
             WHEN 'team-member' THEN (SELECT r.workspace_id FROM team_member r \
                 WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
         END)";

pub(super) fn by(ctx: &Ctx) -> Expr {
    let sql = SEEN.replace("{user}", ctx.core.db.dialect().custom_value());
    Expr::cust_with_values(sql, [ctx.actor.user().unwrap_or(Uuid::nil())])
}
