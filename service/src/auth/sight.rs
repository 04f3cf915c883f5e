//! What a caller sees of the tenant's workspaces, and what their role is in them. It is resolved and cached
//! with the caller's rights; the store filters by it, so that no handler can forget it.
//!
//! Invariant: what belongs to a STRICT workspace is seen by its team alone. Administrators of the tenant see
//! every workspace itself and its team, and may join; what belongs to it they see as its team only.

use std::sync::Arc;

use entity::identity::membership::Role;
use entity::identity::workspace::Isolation;
use entity::scope::{Place, TenantOwned};
use sea_orm::{ColumnTrait as _, Condition};
use uuid::Uuid;

use super::permissions::{Needs, PermissionRow};
use crate::db::SystemDb;
use crate::engine::transitions::Workspaces;
use crate::error::{Error, Result};

/// A deleted STRICT workspace hides whatever is left of it, for as long as its row is there: nothing has to be
/// looked for, and how many there may be is bounded where they are made.
const LOAD: &str = "SELECT w.id, w.isolation, m.role FROM workspace w \
     LEFT JOIN team_member m ON m.tenant_id = w.tenant_id AND m.workspace_id = w.id AND m.user_id = $2 \
     WHERE w.tenant_id = $1 AND (m.role IS NOT NULL OR w.isolation = 'STRICT') ORDER BY w.id";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// STRICT workspaces of whose team the caller is not.
    hidden: Vec<Uuid>,
    /// Where the team gives the caller a lesser role than the tenant does.
    narrowed: Vec<(Uuid, Role)>,
    /// The one workspace of an API key.
    only: Option<Uuid>,
    is_admin: bool,
}

/// The sight of a person in a tenant, or of their key; `None` where nothing is hidden or narrowed.
pub(crate) async fn load(
    db: &SystemDb,
    tenant: Uuid,
    user: Uuid,
    role: Role,
    only: Option<Uuid>,
) -> Result<Option<Arc<Sight>>> {
    let mut sight = Sight { only, is_admin: role >= Role::Admin, ..Sight::default() };
    for row in db.query(LOAD, vec![tenant.into(), user.into()]).await? {
        let id = row.try_get("", "id")?;
        match row.try_get::<Option<Role>>("", "role")? {
            Some(narrower) if narrower < role => sight.narrowed.push((id, narrower)),
            None if row.try_get::<Isolation>("", "isolation")? == Isolation::Strict => sight.hidden.push(id),
            Some(_) | None => {}
        }
    }
    let is_whole = sight.hidden.is_empty() && sight.narrowed.is_empty() && sight.only.is_none();
    Ok((!is_whole).then(|| Arc::new(sight)))
}

/// A sight in the operation that the caller calls. The default sees everything: the engine's, and that of
/// callers of whom nothing is hidden.
#[derive(Clone, Debug, Default)]
pub struct View {
    sight: Option<Arc<Sight>>,
    permission: Option<PermissionRow>,
}

impl View {
    pub fn new(sight: Option<Arc<Sight>>, permission: Option<PermissionRow>) -> Self {
        Self { sight, permission }
    }

    pub fn is_whole(&self) -> bool {
        self.sight.is_none()
    }

    /// Whether what belongs to this workspace is seen.
    pub fn sees(&self, workspace: Option<Uuid>) -> bool {
        let Some(sight) = &self.sight else { return true };
        let is_hidden = workspace.is_some_and(|id| sight.hidden.contains(&id));
        !is_hidden && (sight.only.is_none() || sight.only == workspace)
    }

    /// The STRICT workspaces of whose team the caller is not.
    pub fn hidden(&self) -> &[Uuid] {
        self.sight.as_ref().map_or(&[], |sight| sight.hidden.as_slice())
    }

    /// # Errors
    /// [`Error::Forbidden`] where the caller's role in the workspace lacks the operation's permission.
    pub fn require(&self, workspace: Option<Uuid>) -> Result<()> {
        let (Some(sight), Some(permission), Some(id)) = (&self.sight, &self.permission, workspace) else {
            return Ok(());
        };
        match sight.narrowed.iter().find(|(narrowed, _)| *narrowed == id) {
            Some((_, role)) if !suffices(*role, permission) => {
                Err(Error::Forbidden { permission: permission.name })
            }
            _ => Ok(()),
        }
    }

    /// The workspace that a new resource belongs to when its body names none.
    pub fn home(&self) -> Option<Uuid> {
        self.sight.as_ref().and_then(|sight| sight.only)
    }

    /// [`View::require`] of a row.
    pub(crate) fn require_row<E: TenantOwned>(&self, row: &E::Model) -> Result<()> {
        let is_open = matches!(E::PLACE, Place::Frame(_)) && self.is_admin();
        if is_open { Ok(()) } else { self.require(E::workspace(row)) }
    }

    /// Which rows are seen; `None` is all.
    pub(crate) fn condition<E: TenantOwned>(&self) -> Option<Condition> {
        self.without::<E>(|_| false)
    }

    /// Which rows are listed: not those that the operation would be refused.
    pub(crate) fn listed<E: TenantOwned>(&self) -> Option<Condition> {
        self.without::<E>(|role| self.permission.is_some_and(|permission| !suffices(role, &permission)))
    }

    fn without<E: TenantOwned>(&self, refuses: impl Fn(Role) -> bool) -> Option<Condition> {
        let sight = self.sight.as_ref()?;
        let (column, is_frame) = match E::PLACE {
            Place::Tenant => return None,
            Place::Within(column) => (column, false),
            Place::Frame(column) => (column, true),
        };
        let own = sight.only.map(|only| column.eq(only));
        let all = Condition::all().add_option(own);
        if is_frame && sight.is_admin {
            return Some(all);
        }
        let refused = sight.narrowed.iter().filter(|(_, role)| refuses(*role)).map(|(id, _)| *id);
        let hidden: Vec<Uuid> = sight.hidden.iter().copied().chain(refused).collect();
        if hidden.is_empty() {
            return Some(all);
        }
        Some(all.add(Condition::any().add(column.is_null()).add(column.is_not_in(hidden))))
    }

    /// Whose runs an operation may take that claims them: those that it lists.
    pub fn workspaces(&self) -> Workspaces {
        let Some(sight) = &self.sight else { return Workspaces::default() };
        let refuses = |role| self.permission.is_some_and(|permission| !suffices(role, &permission));
        let refused = sight.narrowed.iter().filter(|(_, role)| refuses(*role)).map(|(id, _)| *id);
        Workspaces { hidden: sight.hidden.iter().copied().chain(refused).collect(), only: sight.only }
    }

    /// Whether the caller administers the tenant, and so every workspace and its team.
    pub fn is_admin(&self) -> bool {
        self.sight.as_ref().is_some_and(|sight| sight.is_admin)
    }

    /// Whether another resolution of the same caller came to something else.
    pub fn differs(&self, other: &Option<Arc<Sight>>) -> bool {
        self.sight != *other
    }
}

fn suffices(role: Role, permission: &PermissionRow) -> bool {
    match permission.needs {
        Needs::Role(needed) => role >= needed,
        Needs::PlatformAdmin => true,
    }
}
