//! What a caller may do: the rights of their role, cut down by the scopes of their API key.

use entity::identity::membership::Role;
use uuid::Uuid;

use super::permissions::{self, Needs, Permission, PermissionRow};
use super::scopes::Scopes;
use crate::db::Reach;
use crate::error::{Error, FieldError, Result};

/// The rights of a signed-in user, or of an API key: then `role` and `is_platform_admin` are those
/// its maker has now, not those of the time when it was made.
#[derive(Clone, Debug)]
pub struct Rights {
    /// `None` when the user is not an active member of the tenant.
    pub role: Option<Role>,
    pub is_platform_admin: bool,
    /// `None` for a user who signed in with a password.
    pub scopes: Option<Scopes>,
    /// Of an API key: outside of it the key may do nothing.
    pub workspace: Option<Uuid>,
    /// The tenant requires a second factor and this member has none: until they have, nothing of the
    /// tenant is open to them.
    pub second_factor_due: bool,
    /// What the key reaches; a limited one has no permission on what is of no agent.
    pub reach: Reach,
}

impl Rights {
    /// Those of what acts on its own: no permission, because it calls no operation.
    pub(crate) fn automation() -> Self {
        Self {
            role: None,
            is_platform_admin: false,
            scopes: None,
            workspace: None,
            second_factor_due: false,
            reach: Reach::Tenant,
        }
    }

    pub fn allow(&self, permission: &PermissionRow) -> bool {
        let has = match permission.needs {
            Needs::Role(needed) => self.role.is_some_and(|role| role >= needed),
            Needs::PlatformAdmin => self.is_platform_admin,
        };
        let within = self.workspace.is_none() || permission.is_within_workspaces();
        let reached = !self.reach.is_limited() || permissions::is_of_agents(permission.name);
        has && within
            && reached
            && !self.second_factor_due
            && self.scopes.as_ref().is_none_or(|scopes| scopes.allows(permission))
    }

    /// # Errors
    /// [`Error::Forbidden`] naming the permission; [`Error::Denied`] `second_factor_required`.
    pub fn require<P: Permission>(&self) -> Result<()> {
        if self.second_factor_due {
            let message = "This tenant requires a second factor: get one at POST /v1/me/second-factor.";
            return Err(Error::denied("second_factor_required", message));
        }
        if self.allow(&P::ROW) { Ok(()) } else { Err(Error::Forbidden { permission: P::NAME }) }
    }

    /// Checks that a new API key gets nothing that its maker lacks. `asked` are the entries as the
    /// user wrote them. A key with scopes cannot make one with `*`.
    ///
    /// # Errors
    /// [`Error::Invalid`] at each `/scopes/N`, also for an entry that is no permission.
    pub fn grant(&self, asked: &[String]) -> Result<Scopes> {
        let scopes = Scopes::parse(asked)?;
        let may_give = |name: &str| match permissions::find(name) {
            Some(permission) => self.allow(permission),
            None => self.scopes.as_ref().is_none_or(|own| *own == Scopes::Everything),
        };
        let errors: Vec<_> = asked
            .iter()
            .enumerate()
            .filter(|(_, name)| !may_give(name))
            .map(|(index, _)| {
                let pointer = format!("/scopes/{index}");
                FieldError::new(pointer, "exceeds_own_rights", "You do not have this permission yourself.")
            })
            .collect();
        if errors.is_empty() { Ok(scopes) } else { Err(Error::Invalid { errors }) }
    }

    /// Whether these rights hold everything that a member with `role` may do: only then may the caller
    /// give that role, or change who has it. A key with scopes cannot make a person who may do more.
    pub fn cover(&self, role: Role) -> bool {
        permissions::ALL
            .iter()
            .filter(|row| matches!(row.needs, Needs::Role(needed) if needed <= role))
            .all(|row| self.allow(row))
            && self.role.is_some_and(|own| own >= role)
    }

    /// The names of all permissions that these rights hold, in the order of the table.
    pub fn permissions(&self) -> Vec<&'static str> {
        permissions::ALL.iter().filter(|row| self.allow(row)).map(|row| row.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::Iterable as _;

    use super::*;
    use crate::auth::permissions::{agents, platform};

    fn rights(role: Role, scopes: Option<&[&str]>) -> Rights {
        let scopes = scopes.map(Scopes::from_stored);
        Rights {
            role: Some(role),
            is_platform_admin: false,
            scopes,
            workspace: None,
            second_factor_due: false,
            reach: Reach::Tenant,
        }
    }

    fn grant(rights: &Rights, asked: &[&str]) -> Result<Scopes> {
        rights.grant(&asked.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn roles_are_in_the_order_of_their_power() {
        let order = [Role::Viewer, Role::Operator, Role::Manager, Role::Admin, Role::Owner];
        assert!(order.is_sorted() && Role::iter().eq(order));
    }

    #[test]
    fn every_role_has_exactly_its_rows() {
        for row in permissions::ALL {
            for role in Role::iter() {
                let expected = matches!(row.needs, Needs::Role(needed) if needed <= role);
                assert_eq!(rights(role, None).allow(row), expected, "{role:?} {}", row.name);
            }
        }
        let count = |role| rights(role, None).permissions().len();
        let counts: Vec<usize> = Role::iter().map(count).collect();
        let of_tenants = permissions::ALL.iter().filter(|row| row.needs != Needs::PlatformAdmin).count();
        assert!(counts.is_sorted() && counts[0] > 0 && counts[4] == of_tenants, "{counts:?}");
    }

    #[test]
    fn a_key_has_the_intersection_of_its_scopes_and_its_makers_role() {
        let key = rights(Role::Operator, Some(&["agents:write", "agents:operate"]));
        assert_eq!(key.permissions(), ["agents:operate"]);
        let all = rights(Role::Operator, Some(&["*"]));
        assert_eq!(all.permissions(), rights(Role::Operator, None).permissions());
        assert!(rights(Role::Owner, Some(&[])).permissions().is_empty());
    }

    #[test]
    fn without_a_membership_only_the_platforms_rights_remain() {
        let admin = Rights {
            role: None,
            is_platform_admin: true,
            scopes: None,
            workspace: None,
            second_factor_due: false,
            reach: Reach::Tenant,
        };
        assert_eq!(admin.permissions(), ["platform:tenants", "platform:users", "platform:mails"]);
        assert!(admin.require::<platform::Tenants>().is_ok());
        assert!(rights(Role::Owner, None).require::<platform::Tenants>().is_err());
        assert!(matches!(
            admin.require::<agents::Read>(),
            Err(Error::Forbidden { permission: "agents:read" })
        ));
    }

    #[test]
    fn a_key_of_a_workspace_has_no_right_over_the_tenant() {
        let key = Rights { workspace: Some(Uuid::nil()), ..rights(Role::Owner, Some(&["*"])) };
        let outside = |name: &&str| {
            let within = [
                "agents:",
                "tools:",
                "task-",
                "scheduled-tasks:",
                "batch-tasks:",
                "events:",
                "inbound-hooks:",
                "approvals:",
                "workspaces:",
            ];
            !within.iter().any(|of| name.starts_with(of))
        };
        assert_eq!(key.permissions().iter().find(|name| outside(name)), None);
        assert!(
            key.permissions().contains(&"agents:write") && !key.permissions().contains(&"workspaces:write")
        );
        assert!(Role::iter().all(|role| !key.cover(role)));
    }

    #[test]
    fn a_limit_to_agents_leaves_only_what_is_of_agents() {
        let limited = Rights { reach: Reach::Agents(std::sync::Arc::default()), ..rights(Role::Owner, None) };
        for row in permissions::ALL {
            assert_eq!(limited.allow(row), permissions::is_of_agents(row.name), "{}", row.name);
        }
        assert!(limited.require::<agents::Read>().is_ok() && limited.require::<agents::Write>().is_err());
        assert!(!limited.cover(Role::Viewer));
    }

    #[test]
    fn nobody_covers_a_role_above_their_own() {
        for own in Role::iter() {
            for other in Role::iter() {
                assert_eq!(rights(own, None).cover(other), other <= own);
                assert_eq!(rights(own, Some(&["*"])).cover(other), other <= own);
                assert!(!rights(own, Some(&["memberships:write"])).cover(other));
            }
        }
    }

    #[test]
    fn nobody_grants_more_than_they_have() {
        let manager = rights(Role::Manager, None);
        assert!(grant(&manager, &["agents:write", "*"]).is_ok());
        let Err(Error::Invalid { errors }) = grant(&manager, &["tools:read", "tenant:write"]) else {
            panic!("granted a permission of ADMIN");
        };
        assert_eq!((errors.len(), errors[0].pointer.as_str()), (1, "/scopes/1"));

        let key = rights(Role::Manager, Some(&["api-keys:write", "agents:read"]));
        assert!(grant(&key, &["agents:read"]).is_ok());
        assert!(grant(&key, &["tools:read"]).is_err());
        assert!(grant(&key, &["*"]).is_err());
        assert!(grant(&rights(Role::Manager, Some(&["*"])), &["*"]).is_ok());
    }
}
