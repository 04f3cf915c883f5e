//! What the steps of a graph name, as the rows that are meant: checked when a definition is saved, and again when
//! a run of it is admitted.

use std::collections::HashSet;

use entity::agents::{agent, tool};
use entity::tasks::task_definition;
use sea_orm::{ColumnTrait as _, Condition};
use uuid::Uuid;

use super::{GraphStep, StepTarget};
use crate::ctx::Ctx;
use crate::db::TenantDb;
use crate::error::{Error, FieldError, Result, pointer_to};
use crate::tasks::DefinitionConfig;

/// Levels of runs below that of a graph: what runs there is no graph.
const DEEPEST: usize = 4;
/// Definitions that one graph leads to.
const MOST_DEFINITIONS: usize = 200;

/// The rows of `db` that the steps name, in their order: of the graph's workspace, or of none. `at` is where the
/// steps stand.
///
/// # Errors
/// [`Error::Invalid`] with a pointer to each name that means nothing.
pub async fn targets(
    ctx: &Ctx,
    db: &TenantDb,
    workspace: Option<Uuid>,
    steps: &[GraphStep],
    at: &str,
) -> Result<Vec<StepTarget>> {
    let (mut found, mut errors) = (Vec::with_capacity(steps.len()), Vec::new());
    for (index, step) in steps.iter().enumerate() {
        match target(ctx, db, workspace, step).await? {
            Ok(target) => found.push(target),
            Err((field, message)) => {
                let place = pointer_to(&pointer_to(at, index), field);
                errors.push(FieldError::new(place, "not_found", message));
            }
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(Error::Invalid { errors }) }
}

type Named = Result<StepTarget, (&'static str, String)>;

async fn target(ctx: &Ctx, db: &TenantDb, workspace: Option<Uuid>, step: &GraphStep) -> Result<Named> {
    let reach = &ctx.rights.reach;
    let found = match (&step.tool, &step.agent, &step.definition) {
        // Who is limited to agents uses nothing else.
        (Some(_), ..) | (None, None, Some(_)) if reach.is_limited() => None,
        (Some(name), ..) => find_tool(db, workspace, name).await?.map(StepTarget::Tool),
        (None, Some(name), _) => {
            let found = find_agent(db, workspace, name).await?;
            found.filter(|id| reach.holds_agent(Some(*id))).map(StepTarget::Agent)
        }
        (None, None, Some(name)) => {
            let found = find_definition(db, workspace, name).await?;
            found.map(|row| StepTarget::Definition(row.id))
        }
        (None, None, None) => None,
    };
    let (field, kind) = match (&step.agent, &step.definition) {
        (Some(_), _) => ("agent", "agent"),
        (None, Some(_)) => ("definition", "task definition"),
        (None, None) => ("tool", "tool"),
    };
    Ok(found.ok_or_else(|| (field, format!("There is no such {kind}."))))
}

/// By id where the name is one.
fn named<C: sea_orm::ColumnTrait>(id: C, name: C, given: &str) -> Condition {
    match Uuid::parse_str(given) {
        Ok(uuid) => Condition::all().add(id.eq(uuid)),
        Err(_) => Condition::all().add(name.eq(given)),
    }
}

fn is_within(used: Option<Uuid>, workspace: Option<Uuid>) -> bool {
    used.is_none() || used == workspace
}

async fn find_tool(db: &TenantDb, workspace: Option<Uuid>, given: &str) -> Result<Option<Uuid>> {
    let rows = db.find::<tool::Entity>();
    let rows = rows.filter(named(tool::Column::Id, tool::Column::Name, given));
    let found = rows.filter(tool::Column::DeletedAt.is_null()).one().await?;
    Ok(found.filter(|row| is_within(row.workspace_id, workspace)).map(|row| row.id))
}

async fn find_agent(db: &TenantDb, workspace: Option<Uuid>, given: &str) -> Result<Option<Uuid>> {
    let rows = db.find::<agent::Entity>();
    let rows = rows.filter(named(agent::Column::Id, agent::Column::Slug, given));
    let found = rows.filter(agent::Column::DeletedAt.is_null()).one().await?;
    Ok(found.filter(|row| is_within(row.workspace_id, workspace)).map(|row| row.id))
}

async fn find_definition(
    db: &TenantDb,
    workspace: Option<Uuid>,
    given: &str,
) -> Result<Option<task_definition::Model>> {
    let rows = db.find::<task_definition::Entity>();
    let rows = rows.filter(named(task_definition::Column::Id, task_definition::Column::Name, given));
    let found = rows.filter(task_definition::Column::DeletedAt.is_null()).one().await?;
    Ok(found.filter(|row| is_within(row.workspace_id, workspace)))
}

/// Whether a definition of this id or name would lead back to itself through the definitions that its steps
/// name, or deeper than runs may go.
///
/// # Errors
/// [`Error::Invalid`] at the step that does.
pub async fn check_nesting(
    ctx: &Ctx,
    own: (Option<Uuid>, &str),
    workspace: Option<Uuid>,
    steps: &[GraphStep],
    at: &str,
) -> Result<()> {
    let db = ctx.core.db.tenant(ctx.tenant);
    for (index, step) in steps.iter().enumerate() {
        let Some(name) = &step.definition else { continue };
        let place = || pointer_to(&pointer_to(at, index), "definition");
        let is_own = |id: Option<Uuid>, name: &str| (own.0.is_some() && own.0 == id) || own.1 == name;
        if is_own(None, name) {
            return Err(Error::invalid(place(), "cycle", "The definition cannot be a step of itself."));
        }
        let mut level = vec![name.clone()];
        let mut seen: HashSet<Uuid> = HashSet::new();
        for depth in 1.. {
            let mut next = Vec::new();
            for name in level {
                let Some(row) = find_definition(&db, workspace, &name).await? else {
                    continue;
                };
                if is_own(Some(row.id), &row.name) {
                    let message = "The definition leads back to itself.";
                    return Err(Error::invalid(place(), "cycle", message));
                }
                if !seen.insert(row.id) {
                    continue;
                }
                let config: DefinitionConfig = serde_json::from_value(row.config).map_err(Error::internal)?;
                let is_graph = !config.steps.is_empty();
                if (is_graph && depth >= DEEPEST) || seen.len() > MOST_DEFINITIONS {
                    let message = format!("Runs would be nested more than {DEEPEST} levels deep.");
                    return Err(Error::invalid(place(), "too_deep", message));
                }
                next.extend(config.steps.into_iter().filter_map(|step| step.definition));
            }
            if next.is_empty() {
                break;
            }
            level = next;
        }
    }
    Ok(())
}
