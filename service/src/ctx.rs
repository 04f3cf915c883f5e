//! The context of one call: who calls, in which tenant. Only a checked credential makes one, and
//! without one there is no data.

use std::fmt;
use std::net::IpAddr;

use uuid::Uuid;

use crate::auth::rights::Rights;
use crate::auth::sight::View;
use crate::core::Core;
use crate::db::TenantDb;

#[derive(Clone)]
pub struct Ctx {
    pub core: Core,
    pub tenant: Uuid,
    pub actor: Actor,
    /// What the caller may do here; for a key, cut down from what its maker may do.
    pub rights: Rights,
    /// What they see of the tenant's workspaces.
    pub view: View,
    /// The session of a signed-in user.
    pub session: Option<Uuid>,
    pub request_id: String,
    /// The id of the operation, or a verb where no operation is called: what the audit log shows.
    pub operation: &'static str,
    pub ip: Option<IpAddr>,
    pub idempotency: Option<IdempotencyKey>,
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    User {
        id: Uuid,
    },
    ApiKey {
        id: Uuid,
        created_by: Uuid,
    },
    /// A front-end, with what a person, or their key, gave it for one run.
    ClientToken {
        id: Uuid,
        user: Uuid,
        key: Option<Uuid>,
    },
    /// What people set up acts on its own.
    Automation {
        kind: Automation,
        id: Uuid,
    },
    System,
}

/// What starts runs that no request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Automation {
    Schedule,
    /// The definition whose event filter matched, or whose hook was called.
    Trigger,
    Batch,
    /// The parent of a child.
    Run,
}

impl Automation {
    fn label(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Trigger => "trigger",
            Self::Batch => "batch",
            Self::Run => "run",
        }
    }
}

/// As it is stored: `user:<id>`, `api-key:<id>`, `client-token:<id>`, `schedule:<id>` and
/// so on, `system`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { id } => write!(f, "user:{id}"),
            Self::ApiKey { id, .. } => write!(f, "api-key:{id}"),
            Self::ClientToken { id, .. } => write!(f, "client-token:{id}"),
            Self::Automation { kind, id } => write!(f, "{}:{id}", kind.label()),
            Self::System => f.write_str("system"),
        }
    }
}

impl Actor {
    /// The key behind the call.
    pub fn api_key(self) -> Option<Uuid> {
        match self {
            Self::ApiKey { id, .. } => Some(id),
            Self::ClientToken { key, .. } => key,
            Self::User { .. } | Self::Automation { .. } | Self::System => None,
        }
    }

    /// The person behind the call; none behind the system's own acts.
    pub fn user(self) -> Option<Uuid> {
        match self {
            Self::User { id } | Self::ApiKey { created_by: id, .. } | Self::ClientToken { user: id, .. } => {
                Some(id)
            }
            Self::Automation { .. } | Self::System => None,
        }
    }
}

/// The caller's `Idempotency-Key` with the route it was used on.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    pub key: String,
    /// `POST /v1/agents`.
    pub route: String,
    /// SHA-256 of method, path, query and body.
    pub fingerprint: [u8; 32],
}

impl Ctx {
    /// The context in which something that people set up acts on its own: it sees the whole tenant, because
    /// what it may use was checked when it was saved.
    pub fn automation(
        core: &Core,
        tenant: Uuid,
        kind: Automation,
        id: Uuid,
        operation: &'static str,
    ) -> Self {
        Self {
            core: core.clone(),
            tenant,
            actor: Actor::Automation { kind, id },
            rights: Rights::automation(),
            view: View::default(),
            session: None,
            request_id: format!("{}-{}", kind.label(), core.ids.next()),
            operation,
            ip: None,
            idempotency: None,
        }
    }

    /// The tenant's rows that the caller sees.
    pub fn db(&self) -> TenantDb {
        let rows = self.core.db.tenant(self.tenant).within(self.rights.reach.clone());
        rows.seen_by(self.view.clone())
    }
}
