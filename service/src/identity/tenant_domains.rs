//! Domains that a tenant has proved to be its own, by a TXT record or a file. New people whose address at a proved
//! domain a provider has verified join the tenant by signing in.
//!
//! Invariants: a domain counts from its proof on, for one tenant at a time; nobody gets a role by it that
//! its maker could not give; domains where strangers have addresses are refused.

mod names;
mod proof;

use chrono::{DateTime, Utc};
use entity::identity::app_user;
use entity::identity::membership::Role;
use entity::identity::tenant_domain::{ActiveModel, DomainProof, Entity, Model};
use sea_orm::ActiveValue::Set;
use sea_orm::{Condition, FromQueryResult as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::memberships;
use super::tenant_limits::{self, Quota};
use super::users::{self, NewUser, Vouched};
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::crud::{self, Expected, Once, Page, Paging, Resource, page, patch};
use crate::ctx::Ctx;
use crate::db::{SystemTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, append};

/// Domains of one tenant.
const MOST: u64 = 50;
const PROOF_BYTES: usize = 16;

const PROVED: &str = "SELECT d.* FROM tenant_domain d JOIN tenant t ON t.id = d.tenant_id
    WHERE d.domain = $1 AND d.verified_at IS NOT NULL AND t.status = 'ACTIVE'";

/// A domain that the tenant claims, or has proved.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantDomainView {
    pub id: Uuid,
    #[schema(example = "example.org")]
    pub domain: String,
    /// The role that new people get.
    pub join_role: Role,
    /// Null until the domain is proved: then it does nothing yet.
    #[schema(required)]
    pub verified_at: Option<DateTime<Utc>>,
    /// Where the proof has to stand, as a TXT record.
    #[schema(example = "_mission-control.example.org")]
    pub record_name: String,
    /// What has to stand there, or in the file.
    #[schema(example = "mission-control-domain=5b0e3f6c8d9a4b1e8f7c2d3a4b5c6d7e")]
    pub record_value: String,
    /// Where the proof may stand instead, as a line of a text file.
    #[schema(format = Uri, example = "https://example.org/.well-known/mission-control-domain.txt")]
    pub file_url: String,
    /// How it was proved.
    #[schema(required)]
    pub verified_by: Option<DomainProof>,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(TenantDomainPage, TenantDomainView);

impl From<Model> for TenantDomainView {
    fn from(row: Model) -> Self {
        let record_value = proof::value(&row);
        let Model {
            tenant_id: _,
            id,
            domain,
            join_role,
            proof: _,
            verified_at,
            verified_by,
            revision,
            created_at,
            updated_at,
        } = row;
        let (record_name, file_url) = (proof::record_name(&domain), proof::file_url(&domain));
        Self {
            id,
            domain,
            join_role,
            verified_at,
            record_name,
            record_value,
            file_url,
            verified_by,
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTenantDomain {
    /// A host name; not one where anybody gets an address.
    #[validate(length(min = 3, max = 200))]
    #[schema(min_length = 3, max_length = 200, example = "example.org")]
    pub domain: String,
    #[serde(default = "lowest")]
    #[schema(default = "VIEWER")]
    pub join_role: Role,
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTenantDomain {
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub join_role: Option<Role>,
}

fn lowest() -> Role {
    Role::Viewer
}

struct Domains;

impl Resource for Domains {
    type Entity = Entity;
    type View = TenantDomainView;

    fn taken() -> Error {
        Error::conflict("domain_taken", "This tenant claims the domain already.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging) -> Result<Page<TenantDomainView>> {
    crud::list::<Domains>(ctx, paging, Condition::all()).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<TenantDomainView> {
    crud::get::<Domains>(ctx, id).await
}

/// Claims a domain: nothing follows from it before [`verify`].
///
/// # Errors
/// 403 `role_above_own`; 409 `domain_taken`, `too_many_domains`; 422 at `/domain`.
pub async fn create(ctx: &Ctx, create: CreateTenantDomain) -> Result<TenantDomainView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let CreateTenantDomain { domain, join_role } = create;
    memberships::require_cover(ctx, join_role)?;
    let domain = names::own(&domain)?;
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    tx.lock_tenant().await?;
    if tx.find::<Entity>().count(MOST).await? >= MOST {
        return Err(Error::conflict("too_many_domains", "The tenant claims as many domains as it may."));
    }
    let mut proof = [0; PROOF_BYTES];
    ctx.core.ids.fill(&mut proof);
    let now = ctx.core.clock.now();
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        domain,
        join_role,
        proof: proof.map(|byte| format!("{byte:02x}")).concat(),
        verified_at: None,
        verified_by: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let row = tx.insert::<Entity>(row).await.map_err(on_violation(Violation::Unique, Domains::taken()))?;
    let view = TenantDomainView::from(row);
    tx.finish(Change::created::<Entity>(view.id, &view), &view).await?;
    Ok(view)
}

/// # Errors
/// 403 `role_above_own`; 412.
pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    update: UpdateTenantDomain,
) -> Result<TenantDomainView> {
    let change = |row: &Model| {
        let role = update.join_role.unwrap_or(row.join_role);
        memberships::require_cover(ctx, role.max(row.join_role))?;
        let mut changes = ActiveModel::default();
        if role != row.join_role {
            changes.join_role = Set(role);
        }
        Ok(changes)
    };
    crud::update::<Domains>(ctx, id, expected, change).await
}

/// Looks for the record, then for the file. Once proved, a domain stays so until it is deleted.
///
/// # Errors
/// 403 `role_above_own`; 409 `domain_unproved`, `domain_taken`; 502 `upstream_failed`.
pub async fn verify(ctx: &Ctx, id: Uuid) -> Result<TenantDomainView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let row = crud::load::<Domains>(ctx, id).await?;
    memberships::require_cover(ctx, row.join_role)?;
    if row.verified_at.is_some() {
        let view = row.into();
        ctx.keep(&view).await?;
        return Ok(view);
    }
    let by = proof::look(&ctx.core, &row).await?;
    let taken = Error::conflict("domain_taken", "Another tenant has proved this domain.");
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let changes = ActiveModel {
        verified_at: Set(Some(ctx.core.clock.now())),
        verified_by: Set(Some(by)),
        ..ActiveModel::default()
    };
    let written = crud::write::<Domains>(ctx, &tx, id, row.revision, changes).await;
    let written = written.map_err(|error| match error {
        Error::Conflict { code: "domain_taken", .. } => taken,
        error => error,
    })?;
    let concurrent = || Error::conflict("concurrent_update", "The domain was just changed: try again.");
    let (old, new) = (TenantDomainView::from(row), TenantDomainView::from(written.ok_or_else(concurrent)?));
    tx.finish(Change::updated::<Entity>(id, &old, &new), &new).await?;
    Ok(new)
}

/// Nobody joins by it any more; who joined stays.
///
/// # Errors
/// 403 `role_above_own`; 412.
pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    crud::delete::<Domains>(ctx, id, expected).await
}

/// Makes somebody new, of whom a provider says that the address is theirs, a member of the tenant that has
/// proved its domain. `None` when none has.
pub(super) async fn join(
    core: &Core,
    tx: &SystemTx,
    email: &str,
    name: Option<&str>,
    request: &RequestInfo,
) -> Result<Option<app_user::Model>> {
    let Some((_, domain)) = email.rsplit_once('@') else { return Ok(None) };
    let rows = tx.query(PROVED, vec![domain.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let Model { tenant_id, id, join_role, .. } = Model::from_query_result(row, "")?;
    let new = NewUser {
        email: email.to_owned(),
        name: name.map(|name| name.chars().take(users::LONGEST_NAME).collect()),
        password_hash: None,
        tenant: tenant_id,
        platform_role: app_user::PlatformRole::Member,
        vouched: Vouched::ByPlatform,
    };
    let (user, _) = users::find_or_create(core, tx.connection(), new).await?;
    tenant_limits::admit_in(core, tx.connection(), tenant_id, Quota::Members).await?;
    memberships::insert_active(core, tx.connection(), tenant_id, user.id, join_role).await?;
    let joined = json!({ "joined": user.id, "role": join_role });
    let entry = Entry::of_person(request, tenant_id, user.id, Change::of::<Entity>(id).with(joined));
    let _recorded = append(core, tx.connection(), entry).await?;
    Ok(Some(user))
}
