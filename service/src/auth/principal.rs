//! From a credential to a caller with a tenant and rights.
//!
//! A verified credential is cached for a second: authentication on the hot path is no query, and a
//! change of a membership, key or user acts within that second.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use entity::identity::membership::{self, MembershipStatus};
use entity::identity::tenant::{Plan, TenantStatus};
use entity::identity::{api_key, app_user, session, tenant};
use moka::future::Cache;
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::access_tokens::{AccessClaims, AccessTokens, ClientGrant, Parent, Subject};
use super::api_keys;
use super::networks::Networks;
use super::opaque::Sha256Hash;
use super::permissions::{self, Permission};
use super::rights::Rights;
use super::scopes::Scopes;
use super::sight::{self, Sight, View};
use super::standing;
use crate::clock::Clock;
use crate::core::Core;
use crate::ctx::{Actor, Ctx, IdempotencyKey};
use crate::db::{Reach, Reason};
use crate::error::{Error, Result};
use crate::identity::second_factors;

const FRESH: Duration = Duration::from_secs(1);
const MOST_CACHED: u64 = 50_000;

/// A credential as it was sent.
#[derive(Clone)]
pub enum Credential {
    Bearer(String),
    ApiKey(String),
}

/// What is known of a request beside its credential.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    pub request_id: String,
    /// The id of the operation, or a verb where no operation is called.
    pub operation: &'static str,
    pub ip: Option<IpAddr>,
    pub idempotency: Option<IdempotencyKey>,
}

/// An authenticated caller in a tenant.
#[derive(Clone, Debug)]
pub struct Principal {
    pub actor: Actor,
    pub tenant: Uuid,
    pub tenant_status: TenantStatus,
    pub plan: Plan,
    /// The session of a signed-in user.
    pub session: Option<Uuid>,
    pub rights: Rights,
    /// `None` where nothing is hidden from the caller.
    pub sight: Option<Arc<Sight>>,
    /// Where the credential may be used from.
    pub networks: Networks,
}

#[derive(Clone)]
pub struct PrincipalCache {
    entries: Cache<CacheKey, (Principal, chrono::DateTime<chrono::Utc>)>,
    clock: Clock,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum CacheKey {
    Session { id: Uuid, tenant: Uuid },
    ApiKey([u8; 32]),
    ClientToken(Uuid),
}

impl PrincipalCache {
    pub fn new(clock: &Clock) -> Self {
        let entries = Cache::builder().max_capacity(MOST_CACHED).time_to_live(FRESH).build();
        Self { entries, clock: clock.clone() }
    }

    /// Forgets everything: for changes made by this node, which then act at once.
    pub fn clear(&self) {
        self.entries.invalidate_all();
    }

    async fn fresh(&self, key: CacheKey) -> Option<Principal> {
        let (principal, until) = self.entries.get(&key).await?;
        (self.clock.now() < until).then_some(principal)
    }

    async fn keep(&self, key: CacheKey, principal: &Principal) {
        self.entries.insert(key, (principal.clone(), self.clock.after(FRESH))).await;
    }
}

impl Principal {
    /// The operator at the command line of this process, who holds its database and keys anyway.
    pub fn operator() -> Self {
        Self {
            actor: Actor::System,
            tenant: Uuid::nil(),
            tenant_status: TenantStatus::Active,
            plan: Plan::Enterprise,
            session: None,
            rights: Rights {
                role: None,
                is_platform_admin: true,
                scopes: None,
                workspace: None,
                second_factor_due: false,
                reach: Reach::Tenant,
            },
            sight: None,
            networks: Networks::default(),
        }
    }

    /// # Errors
    /// 403 `address_not_allowed` for an address that the credential may not be used from.
    pub fn admit(&self, ip: Option<IpAddr>) -> Result<()> {
        if self.networks.admit(ip) {
            return Ok(());
        }
        Err(Error::denied("address_not_allowed", "This API key may not be used from your address."))
    }

    /// The context in which the named permission was checked.
    pub fn authorize<P: Permission>(&self, core: &Core, request: &RequestInfo) -> Result<Ctx> {
        self.rights.require::<P>()?;
        standing::require(self.tenant_status, &P::ROW, request.operation)?;
        let view = View::new(self.sight.clone(), Some(P::ROW));
        Ok(Ctx { view, ..self.ctx(core, request) })
    }

    /// The context of a call that every member may make, such as `GET /v1/whoami`.
    pub fn ctx(&self, core: &Core, request: &RequestInfo) -> Ctx {
        Ctx {
            core: core.clone(),
            tenant: self.tenant,
            actor: self.actor,
            rights: self.rights.clone(),
            view: View::new(self.sight.clone(), None),
            session: self.session,
            request_id: request.request_id.clone(),
            operation: request.operation,
            ip: request.ip,
            idempotency: request.idempotency.clone(),
        }
    }
}

/// # Errors
/// [`Error::Unauthenticated`] for anything that is not a live credential.
pub async fn authenticate(core: &Core, credential: &Credential) -> Result<Principal> {
    Proof::of(core, credential)?.caller(core).await
}

/// A credential whose form and signature are right; whether it is live has to be looked up.
pub struct Proof(Proved);

enum Proved {
    Client(ClientGrant),
    Session(AccessClaims),
    Key(Sha256Hash),
}

impl Proof {
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub fn of(core: &Core, credential: &Credential) -> Result<Self> {
        let now = core.clock.now();
        Ok(Self(match credential {
            Credential::Bearer(text) if AccessTokens::is_client(text) => {
                Proved::Client(core.access_tokens.verify_client(text, now)?)
            }
            Credential::Bearer(text) if !api_keys::is_api_key(text) => {
                Proved::Session(core.access_tokens.verify(text, now)?)
            }
            Credential::Bearer(text) | Credential::ApiKey(text) => Proved::Key(api_keys::parse(text)?),
        }))
    }

    fn key(&self) -> CacheKey {
        match &self.0 {
            Proved::Client(grant) => CacheKey::ClientToken(grant.id),
            Proved::Session(claims) => CacheKey::Session { id: claims.sid, tenant: claims.tid },
            Proved::Key(hash) => CacheKey::ApiKey(*hash.as_bytes()),
        }
    }

    /// The caller as they were looked up a moment ago: no query, so that any runtime may ask.
    pub async fn remembered(&self, core: &Core) -> Option<Principal> {
        let known = core.principals.fresh(self.key()).await?;
        let is_theirs = match &self.0 {
            Proved::Session(claims) => known.actor.user() == Some(claims.sub),
            Proved::Client(_) | Proved::Key(_) => true,
        };
        is_theirs.then_some(known)
    }

    /// # Errors
    /// [`Error::Unauthenticated`] when the credential is not live.
    pub async fn caller(self, core: &Core) -> Result<Principal> {
        if let Some(known) = self.remembered(core).await {
            return Ok(known);
        }
        let key = self.key();
        let principal = match self.0 {
            Proved::Client(grant) => load_client(core, grant).await?,
            Proved::Session(claims) => {
                let AccessClaims { sub: user, tid: tenant, sid: session, .. } = claims;
                load_session(core, Subject { user, tenant, session }).await?
            }
            Proved::Key(hash) => load_key(core, &hash).await?,
        };
        core.principals.keep(key, &principal).await;
        Ok(principal)
    }
}

async fn load_client(core: &Core, grant: ClientGrant) -> Result<Principal> {
    match parent_of(core, &grant).await {
        Err(Error::Unauthenticated { .. }) => {
            Err(Error::unauthenticated("invalid_token", "What made the client token has ended."))
        }
        parent => Ok(narrowed(parent?, grant)),
    }
}

/// The credential that made the token, as it is now.
async fn parent_of(core: &Core, grant: &ClientGrant) -> Result<Principal> {
    let refused = || api_keys::API_KEY.invalid();
    match grant.parent {
        Parent::Session(session) => {
            let subject = Subject { user: grant.user, tenant: grant.tenant, session };
            load_session(core, subject).await
        }
        Parent::Key(id) => {
            let key = core.db.tenant(grant.tenant).get::<api_key::Entity>(id).await?;
            let is_same =
                |key: &api_key::Model| key.created_by == grant.user && is_live(key, core.clock.now());
            of_key(core, key.filter(is_same).ok_or_else(refused)?).await
        }
    }
}

/// Who once asked for something that goes on without them, as they are now: a person, or a key of theirs. `None`
/// when they are gone, or belong to the tenant no more.
pub(crate) async fn of_maker(
    core: &Core,
    tenant: Uuid,
    user: Uuid,
    key: Option<Uuid>,
) -> Result<Option<Principal>> {
    if let Some(id) = key {
        let key = core.db.tenant(tenant).get::<api_key::Entity>(id).await?;
        let is_same = |key: &api_key::Model| key.created_by == user && is_live(key, core.clock.now());
        let Some(key) = key.filter(is_same) else { return Ok(None) };
        return match of_key(core, key).await {
            Err(Error::Unauthenticated { .. }) => Ok(None),
            principal => principal.map(Some),
        };
    }
    let found = person(core, user, tenant, None).await?.filter(|person| person.rights.role.is_some());
    let Some(person) = found else { return Ok(None) };
    let second_factor_due = second_factors::is_due(core, tenant, user).await?;
    Ok(Some(Principal {
        actor: Actor::User { id: user },
        tenant,
        tenant_status: person.tenant_status,
        plan: person.plan,
        session: None,
        rights: Rights { second_factor_due, ..person.rights },
        sight: person.sight,
        networks: Networks::default(),
    }))
}

/// What is left of a caller in a token that they gave away.
fn narrowed(parent: Principal, grant: ClientGrant) -> Principal {
    let ClientGrant { id, user, tenant, parent: _, run, scopes, expires_at: _ } = grant;
    let holds = |name: &String| permissions::find(name).is_some_and(|row| parent.rights.allow(row));
    let scopes: Vec<String> = scopes.into_iter().filter(holds).collect();
    let rights = Rights {
        role: parent.rights.role,
        is_platform_admin: false,
        scopes: Some(Scopes::from_stored(&scopes)),
        workspace: parent.rights.workspace,
        second_factor_due: parent.rights.second_factor_due,
        reach: Reach::Run(run),
    };
    Principal {
        actor: Actor::ClientToken { id, user, key: parent.actor.api_key() },
        tenant,
        tenant_status: parent.tenant_status,
        plan: parent.plan,
        session: None,
        rights,
        sight: parent.sight,
        networks: Networks::default(),
    }
}

/// A member of the tenant as they would be if they signed in now: for what acts in their name. `None` for nobody's.
pub(crate) async fn of_member(core: &Core, user: Uuid, tenant: Uuid) -> Result<Option<Principal>> {
    let Some(person) = person(core, user, tenant, None).await?.filter(|person| person.rights.role.is_some())
    else {
        return Ok(None);
    };
    let second_factor_due = second_factors::is_due(core, tenant, user).await?;
    Ok(Some(Principal {
        actor: Actor::User { id: user },
        tenant,
        tenant_status: person.tenant_status,
        plan: person.plan,
        session: None,
        rights: Rights { second_factor_due, ..person.rights },
        sight: person.sight,
        networks: Networks::default(),
    }))
}

/// What a client token is refused that goes beyond its run.
pub fn client_token_limited() -> Error {
    Error::denied("client_token_limited", "A client token may not do this: use the credential that made it.")
}

#[expect(clippy::disallowed_methods, reason = "a session is found before its tenant is known")]
async fn load_session(core: &Core, subject: Subject) -> Result<Principal> {
    let Subject { user, tenant, session } = subject;
    let ended = || Error::unauthenticated("session_ended", "The session has ended: sign in again.");
    let db = core.db.system(Reason::SignIn);
    let found = session::Entity::find_by_id(session).one(db.connection()).await?.ok_or_else(ended)?;
    if found.revoked_at.is_some() || found.user_id != user || found.expires_at <= core.clock.now() {
        return Err(ended());
    }
    let person = person(core, user, tenant, None).await?.ok_or_else(ended)?;
    if person.rights.role.is_none() && !person.rights.is_platform_admin {
        return Err(ended());
    }
    let second_factor_due =
        person.rights.role.is_some() && second_factors::is_due(core, tenant, user).await?;
    Ok(Principal {
        actor: Actor::User { id: user },
        tenant,
        tenant_status: person.tenant_status,
        plan: person.plan,
        session: Some(session),
        rights: Rights { second_factor_due, ..person.rights },
        sight: person.sight,
        networks: Networks::default(),
    })
}

#[expect(clippy::disallowed_methods, reason = "a key is found before its tenant is known")]
async fn load_key(core: &Core, hash: &Sha256Hash) -> Result<Principal> {
    let refused = || api_keys::API_KEY.invalid();
    let now = core.clock.now();
    let db = core.db.system(Reason::SignIn);
    let same = |column: api_key::Column| column.eq(hash.as_bytes().to_vec());
    let found = api_key::Entity::find()
        .filter(Condition::any().add(same(api_key::Column::Hash)).add(same(api_key::Column::PreviousHash)))
        .one(db.connection())
        .await?;
    let key = found.filter(|key| has_secret(key, hash, now) && is_live(key, now)).ok_or_else(refused)?;
    core.last_used.note(core, key.tenant_id, key.id, key.last_used_at);
    of_key(core, key).await
}

/// Who calls with a live key.
async fn of_key(core: &Core, key: api_key::Model) -> Result<Principal> {
    let refused = || api_keys::API_KEY.invalid();
    let maker = person(core, key.created_by, key.tenant_id, key.workspace_id).await?.ok_or_else(refused)?;
    if maker.rights.role.is_none() {
        return Err(refused());
    }
    Ok(Principal {
        actor: Actor::ApiKey { id: key.id, created_by: key.created_by },
        tenant: key.tenant_id,
        tenant_status: maker.tenant_status,
        plan: maker.plan,
        session: None,
        rights: rights_of(&key, maker.rights)?,
        networks: Networks::from_stored(key.ip_allow_list)?,
        sight: maker.sight,
    })
}

/// The key's secret, or the one before while it is still good.
fn has_secret(key: &api_key::Model, hash: &Sha256Hash, now: chrono::DateTime<chrono::Utc>) -> bool {
    let was = key.previous_hash.as_deref().is_some_and(|previous| hash.matches(previous));
    hash.matches(&key.hash) || (was && key.previous_expires_at.is_some_and(|until| until > now))
}

fn is_live(key: &api_key::Model, now: chrono::DateTime<chrono::Utc>) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now)
}

/// What the key holds of its maker's rights.
fn rights_of(key: &api_key::Model, maker: Rights) -> Result<Rights> {
    let scopes: Vec<String> = serde_json::from_value(key.scopes.clone()).map_err(Error::internal)?;
    let reach = match key.agent_ids.clone() {
        None => Reach::Tenant,
        Some(agents) => {
            let agents: BTreeSet<Uuid> = serde_json::from_value(agents).map_err(Error::internal)?;
            Reach::Agents(Arc::new(agents))
        }
    };
    Ok(Rights { scopes: Some(Scopes::from_stored(&scopes)), reach, ..maker })
}

struct Person {
    rights: Rights,
    sight: Option<Arc<Sight>>,
    tenant_status: TenantStatus,
    plan: Plan,
}

/// What an active user may do and see in a tenant now, or a key of theirs that is bound to a workspace; `None`
/// when the user or the tenant is no more.
#[expect(clippy::disallowed_methods, reason = "rights are resolved before a scope exists")]
async fn person(core: &Core, user: Uuid, tenant: Uuid, workspace: Option<Uuid>) -> Result<Option<Person>> {
    let db = core.db.system(Reason::SignIn);
    let user = app_user::Entity::find_by_id(user).one(db.connection()).await?;
    let Some(user) = user.filter(|user| user.is_active) else { return Ok(None) };
    let tenant = tenant::Entity::find_by_id(tenant).one(db.connection()).await?;
    let Some(tenant) = tenant.filter(|tenant| tenant.status != TenantStatus::Erasing) else {
        return Ok(None);
    };
    let role = membership::Entity::find()
        .filter(membership::Column::TenantId.eq(tenant.id))
        .filter(membership::Column::UserId.eq(user.id))
        .filter(membership::Column::Status.eq(MembershipStatus::Active))
        .one(db.connection())
        .await?
        .map(|membership| membership.role);
    let is_platform_admin = user.platform_role == app_user::PlatformRole::Admin;
    let sight = match role {
        Some(role) => sight::load(&db, tenant.id, user.id, role, workspace).await?,
        None => None,
    };
    Ok(Some(Person {
        rights: Rights {
            role,
            is_platform_admin,
            scopes: None,
            workspace,
            second_factor_due: false,
            reach: Reach::Tenant,
        },
        sight,
        tenant_status: tenant.status,
        plan: tenant.plan,
    }))
}
