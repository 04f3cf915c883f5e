//! Which rows belong to a tenant: the store in `service::db` reaches no others.

use sea_orm::EntityTrait;
use sea_orm::prelude::{DateTimeUtc, Uuid};

/// A table whose primary key starts with `tenant_id`, and the tenant's own row.
pub trait TenantOwned: EntityTrait<Model: Send + Sync> {
    /// What one row is called in messages: "task definition".
    const KIND: &'static str;
    const TENANT: Self::Column;
    /// The column that, with the tenant, finds a row (or, for a run's steps and events, its run).
    const ID: Self::Column;
    const PLACE: Place<Self::Column> = Place::Tenant;
    /// The agent that a row is, or is of: a caller who is limited to some agents sees no others.
    const AGENT: Option<Self::Column> = None;
    /// The run that a row is, or is of: a caller who is limited to a run sees no other.
    const RUN: Option<Self::Column> = None;

    /// The workspace that the row belongs to.
    fn workspace(model: &Self::Model) -> Option<Uuid> {
        let _ = model;
        None
    }
}

/// How the rows of a table stand to workspaces.
#[derive(Clone, Copy, Debug)]
pub enum Place<C> {
    /// They are the tenant's, or are reached through a row that has a place.
    Tenant,
    /// Each belongs to the workspace that this column names; where it is null, to the tenant.
    Within(C),
    /// The workspaces themselves and their teams.
    Frame(C),
}

/// A table of a user's objects: they are listed, have a revision for `ETag`, and may be soft-deleted.
pub trait Record: TenantOwned {
    const REVISION: Self::Column;
    const CREATED_AT: Self::Column;
    const UPDATED_AT: Self::Column;
    const DELETED_AT: Option<Self::Column>;
    const METADATA: Option<Self::Column>;
    /// What `sort=name` and `q=` look at.
    const NAME: Option<Self::Column>;
    /// Whether lists may be sorted by `updatedAt`: not where that would sort a table of millions.
    const SORTS_BY_UPDATE: bool = true;

    fn id(model: &Self::Model) -> Uuid;
    fn revision(model: &Self::Model) -> i64;
    fn updated_at(model: &Self::Model) -> DateTimeUtc;
    fn name(model: &Self::Model) -> Option<&str>;
}

/// Implements [`TenantOwned`] for the entity of the calling file. A tenant's own row has another `scope`;
/// `within` is for rows that may belong to a workspace, `frame` for workspaces and what they consist of.
macro_rules! tenant_owned {
    ($kind:literal, $id:ident $(, agent: $agent:ident)? $(, run: $run:ident)?) => {
        crate::scope::tenant_owned!(@impl $kind, $id, TenantId, {
            $(const AGENT: Option<Column> = Some(Column::$agent);)?
            $(const RUN: Option<Column> = Some(Column::$run);)?
        });
    };
    ($kind:literal, $id:ident, scope: $scope:ident) => {
        crate::scope::tenant_owned!(@impl $kind, $id, $scope, {});
    };
    ($kind:literal, $id:ident, within $(, agent: $agent:ident)? $(, run: $run:ident)?) => {
        crate::scope::tenant_owned!(@impl $kind, $id, TenantId, {
            $(const AGENT: Option<Column> = Some(Column::$agent);)?
            $(const RUN: Option<Column> = Some(Column::$run);)?
            const PLACE: crate::scope::Place<Column> = crate::scope::Place::Within(Column::WorkspaceId);

            fn workspace(model: &Model) -> Option<Uuid> {
                model.workspace_id
            }
        });
    };
    ($kind:literal, $id:ident, frame $column:ident $field:ident) => {
        crate::scope::tenant_owned!(@impl $kind, $id, TenantId, {
            const PLACE: crate::scope::Place<Column> = crate::scope::Place::Frame(Column::$column);

            fn workspace(model: &Model) -> Option<Uuid> {
                Some(model.$field)
            }
        });
    };
    (@impl $kind:literal, $id:ident, $scope:ident, { $($place:item)* }) => {
        impl crate::scope::TenantOwned for Entity {
            const KIND: &'static str = $kind;
            const TENANT: Column = Column::$scope;
            const ID: Column = Column::$id;
            $($place)*
        }
    };
}

/// Implements [`TenantOwned`] and [`Record`] for the entity of the calling file.
macro_rules! record {
    ($kind:literal, $(scope: $scope:ident,)? $(place: { $($place:tt)+ },)? deleted: $deleted:expr, metadata: $metadata:expr, name: $($name:ident)?) => {
        crate::scope::tenant_owned!($kind, Id $(, scope: $scope)? $(, $($place)+)?);

        impl crate::scope::Record for Entity {
            const REVISION: Column = Column::Revision;
            const CREATED_AT: Column = Column::CreatedAt;
            const UPDATED_AT: Column = Column::UpdatedAt;
            const DELETED_AT: Option<Column> = $deleted;
            const METADATA: Option<Column> = $metadata;
            const NAME: Option<Column> = crate::scope::record!(@column $($name)?);

            fn id(model: &Model) -> Uuid {
                model.id
            }

            fn revision(model: &Model) -> i64 {
                model.revision
            }

            fn updated_at(model: &Model) -> DateTimeUtc {
                model.updated_at
            }

            fn name(model: &Model) -> Option<&str> {
                crate::scope::record!(@name model $($name)?)
            }
        }
    };
    (@column) => { None };
    (@column $name:ident) => { Some(Column::Name) };
    (@name $model:ident) => {{ let _ = $model; None }};
    (@name $model:ident $name:ident) => { Some(&$model.$name) };
}

pub(crate) use {record, tenant_owned};
