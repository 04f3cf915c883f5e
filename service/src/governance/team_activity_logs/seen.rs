//! Which rows a caller is told: what happened in a STRICT workspace is for who is of its team now, also when the
//! workspace is gone, and so is what happened before to what is there now.

use entity::governance::audit_log::Column;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, Condition};
use uuid::Uuid;

use crate::ctx::Ctx;

/// Where what may be moved, and what moves along, is now; the rest is where its row of the log says.
const NOW: &str = "(CASE audit_log.resource \
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
     WHEN 'scheduled-task' THEN (SELECT r.workspace_id FROM scheduled_task r \
         WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
     WHEN 'batch-task' THEN (SELECT r.workspace_id FROM batch_task r \
         WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
     WHEN 'inbound-hook' THEN (SELECT r.workspace_id FROM inbound_hook r \
         WHERE r.tenant_id = audit_log.tenant_id AND r.id = audit_log.resource_id) \
     END)";

/// `None` is all.
pub(super) fn by(ctx: &Ctx) -> Option<Condition> {
    let hidden = ctx.view.hidden();
    if hidden.is_empty() {
        return None;
    }
    // A place in a team always has a workspace; who left one before that was written down is told of to nobody.
    let placed = Condition::any()
        .add(Column::WorkspaceId.is_not_null())
        .add(Column::Resource.is_null())
        .add(Column::Resource.ne("team-member"));
    let told = Condition::all()
        .add(outside(Expr::col(Column::WorkspaceId.as_column_ref()), hidden))
        .add(outside(Expr::cust(NOW), hidden))
        .add(placed);
    Some(told)
}

fn outside(place: Expr, hidden: &[Uuid]) -> Condition {
    let elsewhere = place.clone().is_not_in(hidden.iter().copied());
    Condition::any().add(place.is_null()).add(elsewhere)
}
