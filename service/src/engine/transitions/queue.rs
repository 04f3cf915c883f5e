//! The queues that claims take from: what waits in one order for one kind of executor.

use sea_orm::Value;
use uuid::Uuid;

/// Runs that stand in one order: those of a lane with one concurrency key, or with none, that need the same of who
/// executes them.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    pub tenant: Uuid,
    pub lane: Uuid,
    /// Empty for those without one.
    pub key: &'a str,
    /// What a worker must offer; nodes take what needs no worker.
    pub capability: Option<&'a str>,
    pub workspaces: &'a Workspaces,
}

/// Whose runs a worker's credential lets it take.
#[derive(Clone, Debug, Default)]
pub struct Workspaces {
    pub hidden: Vec<Uuid>,
    /// No other one, and not what belongs to the tenant.
    pub only: Option<Uuid>,
}

impl Workspaces {
    pub const ALL: &'static Self = &Self { hidden: Vec::new(), only: None };
}

/// The conditions of who takes from a queue.
pub(super) struct Taken {
    /// In words that the index of the queue answers to.
    pub indexed: String,
    /// In words that it does not, where another index is the one to read.
    pub unindexed: String,
}

/// Which pending runs a node takes, or a worker that offers this, in words that the queue's index answers to; the
/// capability is bound behind `values`.
pub fn taken_by(capability: Option<&str>, values: &mut Vec<Value>) -> String {
    let Some(capability) = capability else { return "capability IS NULL AND held_at IS NULL".to_owned() };
    values.push(capability.into());
    format!("capability IS NOT NULL AND held_at IS NULL AND capability = ${}", values.len())
}

impl<'a> Queue<'a> {
    /// What the engine's nodes take.
    pub fn of_nodes(tenant: Uuid, lane: Uuid, key: &'a str) -> Self {
        Self { tenant, lane, key, capability: None, workspaces: Workspaces::ALL }
    }

    /// The conditions of who takes, whose values are bound behind `values`.
    pub(super) fn taken(&self, values: &mut Vec<Value>) -> Taken {
        let indexed = taken_by(self.capability, values);
        if self.capability.is_none() {
            return Taken {
                indexed,
                unindexed: "COALESCE(capability, '') = '' AND held_at IS NULL".to_owned(),
            };
        }
        let capability = format!("${}", values.len());
        let mut bind = |value: Value| {
            values.push(value);
            format!("${}", values.len())
        };
        let mut seen = String::new();
        if let Some(only) = self.workspaces.only {
            seen.push_str(&format!(" AND workspace_id = {}", bind(only.into())));
        }
        if !self.workspaces.hidden.is_empty() {
            let hidden: Vec<_> = self.workspaces.hidden.iter().map(|id| bind((*id).into())).collect();
            seen.push_str(&format!(
                " AND (workspace_id IS NULL OR workspace_id NOT IN ({}))",
                hidden.join(", ")
            ));
        }
        Taken {
            indexed: format!("{indexed}{seen}"),
            unindexed: format!("COALESCE(capability, '') = {capability} AND held_at IS NULL{seen}"),
        }
    }
}
