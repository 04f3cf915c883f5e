//! Which rows belong to a tenant: the store in `service::db` reaches no others.

use sea_orm::EntityTrait;

/// A table whose primary key starts with `tenant_id`.
pub trait TenantOwned: EntityTrait {
    /// What one row is called in messages: "task definition".
    const KIND: &'static str;
    const TENANT: Self::Column;
    /// The column that, with the tenant, finds a row (or, for a run's steps and events, its run).
    const ID: Self::Column;
}
