//! Which of a tenant's rows a caller may see at all. What is out of reach is as if it were missing: the
//! store adds the limit to each query, as it adds the tenant.

use std::collections::BTreeSet;
use std::sync::Arc;

use entity::scope::TenantOwned;
use entity::tasks::task_run;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ColumnTrait as _, Condition};
use uuid::Uuid;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    #[default]
    Tenant,
    /// These agents, and what is of them: their versions, tools, definitions, runs and approvals.
    Agents(Arc<BTreeSet<Uuid>>),
    /// This run, and what is of it.
    Run(Uuid),
}

impl Reach {
    /// What a row of this table has to fulfil. Tables of neither agents nor runs are kept from limited
    /// callers by their permissions.
    pub(super) fn condition<E: TenantOwned>(&self) -> Option<Condition> {
        let only = |condition| Some(Condition::all().add(condition));
        match (self, E::AGENT, E::RUN) {
            (Self::Tenant, ..) | (Self::Agents(_), None, None) | (Self::Run(_), _, None) => None,
            (Self::Agents(agents), Some(column), _) => only(column.is_in(agents.iter().copied())),
            (Self::Agents(agents), None, Some(column)) => {
                let run = (task_run::Entity, task_run::Column::Id);
                let tenant = (task_run::Entity, task_run::Column::TenantId);
                let of_theirs = Query::select()
                    .expr(Expr::val(1))
                    .from(task_run::Entity)
                    .and_where(Expr::col(run).equals((E::default(), column)))
                    .and_where(Expr::col(tenant).equals((E::default(), E::TENANT)))
                    .and_where(task_run::Column::AgentId.is_in(agents.iter().copied()))
                    .to_owned();
                only(Expr::exists(of_theirs))
            }
            (Self::Run(id), _, Some(column)) => only(column.eq(*id)),
        }
    }

    pub fn is_limited(&self) -> bool {
        *self != Self::Tenant
    }

    /// Whether what has this agent, or none, is in reach.
    pub fn holds_agent(&self, agent: Option<Uuid>) -> bool {
        match self {
            Self::Tenant => true,
            Self::Agents(agents) => agent.is_some_and(|agent| agents.contains(&agent)),
            Self::Run(_) => false,
        }
    }
}
