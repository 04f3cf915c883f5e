//! Which definitions an event starts, and with what.

use entity::tasks::event::Model as Event;
use entity::tasks::event_run;
use entity::tasks::task_definition::{Column, Entity, Model as Definition};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, Order};
use uuid::Uuid;

use super::context;
use crate::crud::document;
use crate::ctx::{Automation, Ctx};
use crate::error::{Error, Result};
use crate::tasks::launch::{Launch, Launched};
use crate::tasks::targets::Wanted;
use crate::tasks::triggers::Trigger;

/// Definitions that one event may start.
const MOST: usize = 100;
/// Definitions that are looked at together.
const PAGE: u64 = 200;
/// Characters kept of why a run was refused.
const LONGEST: usize = 500;

/// The admitted runs of an event, and what is written of each definition that it matched.
#[derive(Default)]
pub struct Started {
    pub launch: Launch,
    pub rows: Vec<event_run::Model>,
}

impl Started {
    /// What became of the runs when they were inserted.
    pub fn settle(&mut self, launched: &Launched) -> Result<()> {
        for row in &mut self.rows {
            let Some(run) = row.run_id.take() else { continue };
            match launched.of(run) {
                Ok(run) => row.run_id = Some(run),
                Err(error) => refuse(row, error)?,
            }
        }
        Ok(())
    }
}

/// Admits a run of each definition that the caller sees and that the event matches. One that is refused holds back
/// no other.
pub async fn start(ctx: &Ctx, event: &Event) -> Result<Started> {
    let mut started = Started::default();
    for (definition, trigger) in matching(ctx, event).await? {
        let automation =
            Ctx::automation(&ctx.core, ctx.tenant, Automation::Trigger, definition.id, "create_event");
        let mut row = event_run::Model {
            tenant_id: ctx.tenant,
            event_id: event.id,
            definition_id: definition.id,
            workspace_id: definition.workspace_id,
            agent_id: definition.agent_id,
            run_id: None,
            code: None,
            message: None,
        };
        let admitted = async {
            let input = trigger.input_of(&context(event), &event.data)?;
            started.launch.add(&automation, Wanted::Definition(definition.id), input).await.map(|run| run.id)
        };
        match admitted.await {
            Ok(run) => row.run_id = Some(run),
            Err(error) => refuse(&mut row, error)?,
        }
        started.rows.push(row);
    }
    Ok(started)
}

/// Says why a run is not started; a failure of ours is not a refusal.
fn refuse(row: &mut event_run::Model, error: Error) -> Result<()> {
    if matches!(error, Error::Internal(_) | Error::Unavailable { .. }) {
        return Err(error);
    }
    let (code, message) = refusal_of(&error);
    row.code = Some(code.to_owned());
    row.message = Some(message.chars().take(LONGEST).collect());
    Ok(())
}

/// The code and the words of a refusal.
pub(crate) fn refusal_of(error: &Error) -> (&'static str, String) {
    let code = match error {
        Error::Conflict { code, .. }
        | Error::Denied { code, .. }
        | Error::RateLimited { code, .. }
        | Error::PaymentRequired { code, .. } => code,
        Error::NotFound { .. } => "not_found",
        _ => "validation_failed",
    };
    let message = match error {
        Error::Invalid { errors } => {
            let lines = errors.iter().map(|error| format!("{}: {}", error.pointer, error.message));
            lines.collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    };
    (code, message)
}

async fn matching(ctx: &Ctx, event: &Event) -> Result<Vec<(Definition, Trigger)>> {
    let db = ctx.db();
    // As the index says it.
    let is_of_events = Expr::cust("(trigger_config ->> 'type') = 'EVENT'");
    let mut found = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let page = db
            .list::<Entity>()
            .filter(Column::DeletedAt.is_null())
            .filter(is_of_events.clone())
            .filter(Column::Id.gt(after))
            .order_by(Column::Id, Order::Asc)
            .limit(PAGE);
        let page = page.all().await?;
        let is_last = (page.len() as u64) < PAGE;
        for definition in page {
            after = definition.id;
            let trigger: Trigger = document::read(definition.trigger_config.clone());
            let is_within = event.workspace_id.is_none() || definition.workspace_id == event.workspace_id;
            let fits = trigger.filter.as_ref().is_some_and(|filter| filter.matches(&event.kind, &event.data));
            if definition.is_active && is_within && fits {
                found.push((definition, trigger));
            }
        }
        if found.len() > MOST {
            let message =
                format!("The event matches more than {MOST} task definitions: nothing was started.");
            return Err(Error::conflict("too_many_matches", message));
        }
        if is_last {
            return Ok(found);
        }
    }
}
