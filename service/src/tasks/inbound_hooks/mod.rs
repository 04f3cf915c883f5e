//! Inbound hooks: the signed URLs of WEBHOOK task definitions.
//!
//! Invariants: the token of a URL is stored as its hash and a secret sealed, each is shown once; of each at most two
//! work, the older one for a bounded time.

pub mod config;
pub(super) mod secrets;
pub mod signatures;
mod views;

use chrono::TimeDelta;
use entity::tasks::inbound_hook::{ActiveModel, Column, Entity, HookScheme, Model};
use entity::tasks::task_definition::TaskType;
use sea_orm::{ColumnTrait as _, Condition, Set};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

pub use config::HookConfig;
pub use views::{
    CreateInboundHook, InboundHookFilter, InboundHookPage, InboundHookView, NewInboundHookView,
    RotateInboundHook, Rotated, UpdateInboundHook,
};

use super::task_definitions::TaskDefinitions;
use crate::auth::opaque::HOOK_TOKEN;
use crate::crud::{self, Expected, Once, Page, Paging, Resource, document, metadata};
use crate::ctx::Ctx;
use crate::db::{Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::workspaces::require_open;

/// Hooks of one definition.
const MOST: u64 = 20;

pub struct InboundHooks;

impl Resource for InboundHooks {
    type Entity = Entity;
    type View = InboundHookView;

    fn taken() -> Error {
        Error::conflict("name_taken", "An inbound hook of this name exists.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &InboundHookFilter) -> Result<Page<InboundHookView>> {
    let InboundHookFilter { definition_id, workspace_id, scheme, is_active } = filter;
    let all = Condition::all()
        .add_option(definition_id.map(|id| Column::DefinitionId.eq(id)))
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)))
        .add_option(scheme.map(|scheme| Column::Scheme.eq(scheme)))
        .add_option(is_active.map(|active| Column::IsActive.eq(active)));
    crud::list::<InboundHooks>(ctx, paging, all).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<InboundHookView> {
    crud::get::<InboundHooks>(ctx, id).await
}

/// # Errors
/// 422 for a definition that is not of type WEBHOOK, and for a secret that the scheme does not take or lacks; 409
/// `too_many_hooks`.
pub async fn create(ctx: &Ctx, body: CreateInboundHook) -> Result<NewInboundHookView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let CreateInboundHook { name, definition_id, scheme, config, secret, is_active, metadata } = body;
    config.check(scheme)?;
    let definition = crud::load_named::<TaskDefinitions>(ctx, definition_id, "/definitionId").await?;
    if definition.kind != TaskType::Webhook {
        let message = "Only a task definition of type WEBHOOK has inbound hooks.";
        return Err(Error::invalid("/definitionId", "mismatch", message));
    }
    require_open(ctx, definition.workspace_id).await?;
    let id = ctx.core.ids.next();
    let secret = secrets::new(ctx, scheme, secret)?;
    let (token, hash) = HOOK_TOKEN.generate(&ctx.core.ids);
    let now = ctx.core.clock.now();
    let row = Model {
        tenant_id: ctx.tenant,
        id,
        workspace_id: definition.workspace_id,
        definition_id,
        name,
        scheme,
        config: document::stored(&config)?,
        secret: secrets::seal(ctx, id, secret.as_ref().map(|secret| secret.value.expose_secret()))?,
        previous_secret: None,
        previous_secret_until: None,
        token_hash: hash.as_bytes().to_vec(),
        previous_token_hash: None,
        previous_token_until: None,
        is_active,
        metadata: metadata::stored(metadata),
        revision: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    tx.lock_tenant().await?;
    let others = tx.everywhere::<Entity>().filter(Column::DefinitionId.eq(definition_id));
    if others.filter(Column::DeletedAt.is_null()).count(MOST).await? >= MOST {
        return Err(Error::conflict(
            "too_many_hooks",
            format!("A task definition has at most {MOST} hooks."),
        ));
    }
    let taken = on_violation(Violation::Unique, InboundHooks::taken());
    let hook = InboundHookView::from(tx.insert::<Entity>(row).await.map_err(taken)?);
    let change = Change::created::<Entity>(id, &hook);
    let view = NewInboundHookView {
        hook,
        url: Some(url(ctx, token.expose_secret())),
        secret: secret.and_then(secrets::NewSecret::shown),
    };
    tx.finish(change, &view).await?;
    Ok(view)
}

fn url(ctx: &Ctx, token: &str) -> String {
    let base = ctx.core.config.public_url.as_str().trim_end_matches('/');
    format!("{base}/v1/hooks/{token}")
}

pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    body: UpdateInboundHook,
) -> Result<InboundHookView> {
    crud::update::<InboundHooks>(ctx, id, expected, |row| changes(row, &body)).await
}

fn changes(row: &Model, body: &UpdateInboundHook) -> Result<ActiveModel> {
    let UpdateInboundHook { name, is_active, metadata } = body;
    let mut changes = ActiveModel::default();
    if let Some(name) = name.as_ref().filter(|name| **name != row.name) {
        changes.name = Set(name.clone());
    }
    if let Some(active) = is_active.filter(|active| *active != row.is_active) {
        changes.is_active = Set(active);
    }
    let metadata = metadata::patched(&row.metadata, metadata)?;
    if metadata != row.metadata {
        changes.metadata = Set(metadata);
    }
    Ok(changes)
}

/// Gives the hook another URL or another secret; the one before works for a while, the one before that no more.
///
/// # Errors
/// 422 for a secret that the scheme does not take or lacks.
pub async fn rotate(ctx: &Ctx, id: Uuid, body: RotateInboundHook) -> Result<NewInboundHookView> {
    let RotateInboundHook { what, secret, overlap_seconds } = body;
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let hook = crud::load::<InboundHooks>(ctx, id).await?;
    let until = (overlap_seconds > 0).then(|| ctx.core.clock.now() + TimeDelta::seconds(overlap_seconds));
    let mut changes = ActiveModel::default();
    let (mut new_url, mut new_secret) = (None, None);
    match what {
        Rotated::Url => {
            if secret.is_some() {
                return Err(Error::invalid("/secret", "exclusive", "A new URL has no secret."));
            }
            let (token, hash) = HOOK_TOKEN.generate(&ctx.core.ids);
            changes.previous_token_hash = Set(until.map(|_| hook.token_hash.clone()));
            changes.previous_token_until = Set(until);
            changes.token_hash = Set(hash.as_bytes().to_vec());
            new_url = Some(url(ctx, token.expose_secret()));
        }
        Rotated::Secret => {
            if hook.scheme == HookScheme::None {
                return Err(Error::invalid("/what", "unsupported", "Nothing is signed."));
            }
            let secret = secrets::new(ctx, hook.scheme, secret)?;
            let sealed = secrets::seal(ctx, id, secret.as_ref().map(|secret| secret.value.expose_secret()))?;
            let before = if until.is_some() { secrets::seal_previous(&ctx.core, &hook)? } else { None };
            changes.previous_secret_until = Set(before.as_ref().and(until));
            changes.previous_secret = Set(before);
            changes.secret = Set(sealed);
            new_secret = secret.and_then(secrets::NewSecret::shown);
        }
    }
    let written = crud::write::<InboundHooks>(ctx, &tx, id, hook.revision, changes).await?;
    let written = written.ok_or_else(|| {
        Error::conflict("concurrent_update", "The hook is being changed by others: try again.")
    })?;
    let (old, new) = (InboundHookView::from(hook), InboundHookView::from(written));
    let change = Change::updated::<Entity>(id, &old, &new);
    let view = NewInboundHookView { hook: new, url: new_url, secret: new_secret };
    tx.finish(change, &view).await?;
    Ok(view)
}

/// Its URL is unknown from then on; its deliveries stay as long as runs do.
pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    crud::delete::<InboundHooks>(ctx, id, expected).await
}
