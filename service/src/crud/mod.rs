//! What every resource does the same way: list, get, create, update, delete, within one tenant.
//!
//! Invariant: a write checks the revision it read in the same statement that changes the row, and
//! the answer kept for `Idempotency-Key` and the audit row are committed with their effect.

mod cursor;
pub mod document;
pub mod metadata;
pub mod objects;
mod once;
mod page;
pub mod patch;
pub mod slug;
pub mod time;
pub mod words;

use entity::scope::{Record, TenantOwned};
use sea_orm::sea_query::{BinOper, Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, Condition, IntoActiveModel, ModelTrait};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use metadata::{Metadata, MetadataPatch};
pub use once::{Once, OnceTx};
pub(crate) use once::{in_flight, record};
pub use page::{MOST_METADATA_FILTERS, Page, Paging, page};
pub(crate) use page::{rows, rows_of};
pub use patch::Patch;

use crate::ctx::Ctx;
use crate::db::{TenantTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::tenant_limits::{self, Quota};

const UPDATE_TRIES: usize = 5;

/// A user's object with a view. What is special about a resource stands in functions of its own file.
pub trait Resource {
    type Entity: Record;
    type View: From<<Self::Entity as sea_orm::EntityTrait>::Model>
        + Serialize
        + DeserializeOwned
        + Send
        + Sync;

    /// What the tenant's plan limits of it.
    const QUOTA: Option<Quota> = None;

    /// What a broken unique index means: which name is taken.
    fn taken() -> Error;

    /// What else changes with a row, in the same transaction: `old` is none for a new row, `new` for one that
    /// is deleted.
    fn follow(
        ctx: &Ctx,
        tx: &TenantTx,
        old: Option<&ModelOf<Self>>,
        new: Option<&ModelOf<Self>>,
    ) -> impl Future<Output = Result<()>> + Send
    where
        Self: Sized,
    {
        let _ = (ctx, tx, old, new);
        std::future::ready(Ok(()))
    }
}

type ModelOf<R> = <<R as Resource>::Entity as sea_orm::EntityTrait>::Model;
type ActiveOf<R> = <<R as Resource>::Entity as sea_orm::EntityTrait>::ActiveModel;

/// The revisions that the caller expects one of (`If-Match`), or any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Any,
    OneOf(Vec<i64>),
}

/// What counts no changes: no tag that a caller can name is its revision.
pub const UNREVISED: i64 = 0;

impl Expected {
    pub fn check(&self, revision: i64) -> Result<()> {
        match self {
            Self::OneOf(expected) if !expected.contains(&revision) => Err(Error::PreconditionFailed),
            Self::Any | Self::OneOf(_) => Ok(()),
        }
    }
}

/// The live row, or "not found".
pub async fn load<R: Resource>(ctx: &Ctx, id: Uuid) -> Result<ModelOf<R>> {
    let db = ctx.db();
    let mut query = db.find::<R::Entity>().filter(<R::Entity as TenantOwned>::ID.eq(id));
    if let Some(deleted_at) = R::Entity::DELETED_AT {
        query = query.filter(deleted_at.is_null());
    }
    query.one().await?.ok_or(Error::not_found(<R::Entity as TenantOwned>::KIND))
}

/// The live row that a body names at `pointer`: missing or another tenant's are the same 422.
pub async fn load_named<R: Resource>(ctx: &Ctx, id: Uuid, pointer: &str) -> Result<ModelOf<R>> {
    match load::<R>(ctx, id).await {
        Err(Error::NotFound { kind }) => {
            Err(Error::invalid(pointer, "not_found", format!("There is no such {kind}.")))
        }
        other => other,
    }
}

pub async fn get<R: Resource>(ctx: &Ctx, id: Uuid) -> Result<R::View> {
    Ok(load::<R>(ctx, id).await?.into())
}

/// One page of the live rows that fulfil `filter`.
pub async fn list<R: Resource>(ctx: &Ctx, paging: &Paging, filter: Condition) -> Result<Page<R::View>> {
    let rows = rows::<R::Entity>(ctx, paging, filter).await?;
    Ok(rows.map(Into::into))
}

pub async fn create<R>(ctx: &Ctx, row: ModelOf<R>) -> Result<R::View>
where
    R: Resource,
    ModelOf<R>: IntoActiveModel<ActiveOf<R>>,
    ActiveOf<R>: Send,
{
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    if let Some(quota) = R::QUOTA {
        tenant_limits::admit(ctx, &tx, quota).await?;
    }
    let row = tx.insert::<R::Entity>(row).await.map_err(on_violation(Violation::Unique, R::taken()))?;
    R::follow(ctx, &tx, None, Some(&row)).await?;
    let id = R::Entity::id(&row);
    let view = R::View::from(row);
    tx.finish(Change::created::<R::Entity>(id, &view), &view).await?;
    Ok(view)
}

/// Applies `change` to the row and writes what it set. A concurrent change is merged by trying again,
/// unless the caller named a revision.
pub async fn update<R>(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    change: impl Fn(&ModelOf<R>) -> Result<ActiveOf<R>> + Send,
) -> Result<R::View>
where
    R: Resource,
    ModelOf<R>: ModelTrait + Sync,
    ActiveOf<R>: Send,
{
    for _ in 0..UPDATE_TRIES {
        let row = load::<R>(ctx, id).await?;
        let revision = R::Entity::revision(&row);
        expected.check(revision)?;
        let changes = change(&row)?;
        if !changes.is_changed() {
            return Ok(row.into());
        }
        let tx = ctx.db().begin().await?;
        if let Some(written) = write::<R>(ctx, &tx, id, revision, changes).await? {
            R::follow(ctx, &tx, Some(&row), Some(&written)).await?;
            let (old, new) = (R::View::from(row), R::View::from(written));
            ctx.commit(tx, Change::updated::<R::Entity>(id, &old, &new)).await?;
            return Ok(new);
        }
    }
    Err(Error::conflict("concurrent_update", "The resource is being changed by others: try again."))
}

/// Writes `changes` where the row still has `revision`, inside a transaction that does more.
pub async fn write<R: Resource>(
    ctx: &Ctx,
    tx: &TenantTx,
    id: Uuid,
    revision: i64,
    mut changes: ActiveOf<R>,
) -> Result<Option<ModelOf<R>>> {
    changes.set(R::Entity::REVISION, (revision + 1).into());
    changes.set(R::Entity::UPDATED_AT, ctx.core.clock.now().into());
    tx.update::<R::Entity>(id, R::Entity::REVISION.eq(revision), changes)
        .await
        .map_err(on_violation(Violation::Unique, R::taken()))
}

/// Deletes the row: softly where the table keeps deleted rows, whose names are free again at once.
pub async fn delete<R: Resource>(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()>
where
    ActiveOf<R>: Send,
{
    let row = load::<R>(ctx, id).await?;
    expected.check(R::Entity::revision(&row))?;
    let same = Condition::all()
        .add(<R::Entity as TenantOwned>::ID.eq(id))
        .add(R::Entity::REVISION.eq(R::Entity::revision(&row)));
    let tx = ctx.db().begin().await?;
    let gone = match R::Entity::DELETED_AT {
        None => tx.delete::<R::Entity>(same).await? > 0,
        Some(deleted_at) => {
            let mut changes = <ActiveOf<R> as sea_orm::ActiveModelTrait>::default();
            changes.set(deleted_at, ctx.core.clock.now().into());
            write::<R>(ctx, &tx, id, R::Entity::revision(&row), changes).await?.is_some()
        }
    };
    if gone {
        R::follow(ctx, &tx, Some(&row), None).await?;
        let workspace = R::Entity::workspace(&row);
        let was = R::View::from(row);
        return ctx.commit(tx, Change::deleted::<R::Entity>(id, workspace, &was)).await;
    }
    match expected {
        Expected::OneOf(_) => Err(Error::PreconditionFailed),
        Expected::Any => {
            Err(Error::conflict("concurrent_update", "The resource is being changed by others: try again."))
        }
    }
}

/// `metadata[key]=value`: equal text under that key.
pub(crate) fn metadata_is(column: impl sea_orm::sea_query::IntoColumnRef, key: &str, value: &str) -> Expr {
    Expr::col(column).binary(BinOper::Custom("->>"), Expr::val(key)).eq(value)
}
