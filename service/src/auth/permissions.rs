//! The one table of role × permission. Every operation names one row of it in its type
//! (`Can<agents::Write>`); what is not in the table is nobody's right.

use entity::identity::membership::Role;

/// A right to do one thing to one kind of resource, usable as a type parameter.
pub trait Permission: 'static {
    const ROW: PermissionRow;
    /// `<resource>:<verb>`, as in scopes and in the answer 403.
    const NAME: &'static str = Self::ROW.name;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermissionRow {
    pub name: &'static str,
    pub needs: Needs,
    pub summary: &'static str,
}

/// What is done to what belongs to a workspace: all that an API key of a workspace can hold.
const WITHIN_WORKSPACES: [&str; 9] = [
    "agents",
    "tools",
    "task-definitions",
    "task-runs",
    "scheduled-tasks",
    "batch-tasks",
    "events",
    "inbound-hooks",
    "approvals",
];

impl PermissionRow {
    pub fn is_within_workspaces(&self) -> bool {
        let resource = self.name.split(':').next().unwrap_or_default();
        WITHIN_WORKSPACES.contains(&resource) || self.name == "workspaces:read"
    }
}

/// Who has a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Members of the tenant with this role or a higher one.
    Role(Role),
    /// Administrators of the platform, whatever their role in the tenant.
    PlatformAdmin,
}

macro_rules! needs {
    (PlatformAdmin) => {
        Needs::PlatformAdmin
    };
    ($role:ident) => {
        Needs::Role(Role::$role)
    };
}

macro_rules! permissions {
    ($($module:ident $resource:literal { $($marker:ident $verb:literal $needs:ident $summary:literal)+ })+) => {
        $(
            #[doc = concat!("Permissions on ", $resource, ".")]
            pub mod $module {
                use super::*;

                $(
                    #[doc = $summary]
                    pub enum $marker {}

                    impl Permission for $marker {
                        const ROW: PermissionRow = PermissionRow {
                            name: concat!($resource, ":", $verb),
                            needs: needs!($needs),
                            summary: $summary,
                        };
                    }
                )+
            }
        )+

        /// Every permission, in the order of the table.
        pub const ALL: &[PermissionRow] = &[$($($module::$marker::ROW,)+)+];
    };
}

permissions! {
    tenant "tenant" {
        Read "read" Viewer "Read the current tenant."
        Write "write" Admin "Change the current tenant."
        Stop "stop" Manager "Stop every agent of the tenant at once, and release the stop."
        Close "close" Owner "Close the current tenant, and reopen it."
    }
    memberships "memberships" {
        Read "read" Viewer "List and read who belongs to the tenant."
        Write "write" Admin "Add and remove members and change their roles."
    }
    workspaces "workspaces" {
        Read "read" Viewer "List and read workspaces."
        Write "write" Manager "Create, change, archive and delete workspaces, and move what belongs to them."
    }
    team_members "team-members" {
        Read "read" Viewer "List and read who works in a workspace."
        Write "write" Manager "Add people to the team of a workspace, change and remove them."
    }
    team_invites "team-invites" {
        Read "read" Manager "List and read invitations."
        Write "write" Admin "Invite people, send invitations again and take them back."
    }
    api_keys "api-keys" {
        Read "read" Manager "List and read API keys, without their secrets."
        Write "write" Manager "Create and revoke API keys."
    }
    agents "agents" {
        Read "read" Viewer "List and read agents, their versions and their tools."
        Write "write" Manager "Create, change and delete agents, bind tools, activate versions."
        Operate "operate" Operator "Pause and resume agents."
    }
    tools "tools" {
        Read "read" Viewer "List and read tools."
        Write "write" Manager "Create, change and delete tools."
        Invoke "invoke" Operator "Call a tool once, outside a run."
    }
    integrations "integrations" {
        Read "read" Manager "List and read integrations, without their credentials."
        Write "write" Admin "Create, change and delete integrations and set their credentials."
        Test "test" Manager "Try an integration's connection."
    }
    model_prices "model-prices" {
        Read "read" Viewer "List and read the prices of models."
        Write "write" Admin "Override the prices of models."
    }
    task_definitions "task-definitions" {
        Read "read" Viewer "List and read task definitions."
        Write "write" Manager "Create, change and delete task definitions."
        Operate "operate" Operator "Pause and resume task definitions."
    }
    task_runs "task-runs" {
        Read "read" Viewer "List and read runs, their steps and their events."
        Write "write" Operator "Create and replay runs."
        Cancel "cancel" Operator "Cancel runs."
        Retry "retry" Operator "Retry failed runs."
        Answer "answer" Operator "Answer the questions of runs."
    }
    bulk_actions "bulk-actions" {
        Read "read" Viewer "List and read bulk actions and their results."
        Write "write" Operator "Cancel, retry and replay all runs that a filter matches."
    }
    scheduled_tasks "scheduled-tasks" {
        Read "read" Viewer "List, read and preview scheduled tasks and their fires."
        Write "write" Manager "Create, change and delete scheduled tasks."
        Operate "operate" Operator "Pause, resume, trigger and backfill scheduled tasks."
    }
    events "events" {
        Read "read" Viewer "List and read events and what they started."
        Write "write" Operator "Post events."
    }
    inbound_hooks "inbound-hooks" {
        Read "read" Viewer "List and read inbound hooks and their deliveries, without secrets."
        Write "write" Manager "Create, change, rotate and delete inbound hooks."
        Replay "replay" Operator "Send deliveries of inbound hooks again."
    }
    batch_tasks "batch-tasks" {
        Read "read" Viewer "List, read, estimate and rehearse batch tasks, and read their targets and results."
        Write "write" Manager "Create, change and delete batch tasks and add targets."
        Operate "operate" Operator "Start, pause, resume, cancel and retry batch tasks."
    }
    workers "workers" {
        Read "read" Viewer "List and read workers."
        Write "write" Manager "Register and remove workers, claim runs and report on them."
        Operate "operate" Operator "Pause, resume and drain workers."
    }
    approvals "approvals" {
        Read "read" Viewer "List and read approvals."
        Decide "decide" Operator "Approve and reject."
    }
    audit_logs "audit-logs" {
        Read "read" Admin "Read, verify and export the audit log."
    }
    privacy_requests "privacy-requests" {
        Read "read" Admin "List and read privacy requests and their receipts."
        Write "write" Admin "Export and erase what the tenant has of a person."
    }
    team_activity_logs "team-activity-logs" {
        Read "read" Viewer "Read and follow what the team does."
    }
    platform "platform" {
        Tenants "tenants" PlatformAdmin "Create, read and change any tenant."
        Users "users" PlatformAdmin "List, read, deactivate and reactivate people."
        Mails "mails" PlatformAdmin "List and read the mails of this installation."
    }
}

/// What a key that is limited to some agents may hold: to see and run them, not to make or change any.
const OF_AGENTS: [&str; 10] = [
    "agents:read",
    "agents:operate",
    "task-definitions:read",
    "task-runs:read",
    "task-runs:write",
    "task-runs:cancel",
    "task-runs:retry",
    "task-runs:answer",
    "approvals:read",
    "approvals:decide",
];

/// Whether the permission is on agents and what is of them alone.
pub fn is_of_agents(name: &str) -> bool {
    OF_AGENTS.contains(&name)
}

/// The permission of that name.
pub fn find(name: &str) -> Option<&'static PermissionRow> {
    ALL.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        let names: BTreeSet<&str> = ALL.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ALL.len());
        for row in ALL {
            let (resource, verb) = row.name.split_once(':').unwrap();
            for part in [resource, verb] {
                assert!(!part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            }
            assert!(row.summary.ends_with('.'));
            assert_eq!(find(row.name), Some(row));
        }
        assert_eq!(find("agents"), None);
        assert!(OF_AGENTS.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn markers_stand_for_their_rows() {
        assert_eq!(agents::Write::NAME, "agents:write");
        assert_eq!(api_keys::Read::ROW.needs, Needs::Role(Role::Manager));
        assert_eq!(platform::Tenants::ROW.needs, Needs::PlatformAdmin);
    }

    #[test]
    fn whoever_may_change_a_resource_may_read_it() {
        for row in ALL {
            let Needs::Role(needed) = row.needs else { continue };
            let resource = row.name.split_once(':').unwrap().0;
            let read = find(&format!("{resource}:read")).unwrap();
            assert!(matches!(read.needs, Needs::Role(reader) if reader <= needed), "{}", row.name);
        }
    }
}
