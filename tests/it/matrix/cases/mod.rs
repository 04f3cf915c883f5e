//! The table of operations: for each at least one request that succeeds for who may send it.
//!
//! `@kind` stands for the id of a resource of that kind, `@new:kind` for one made for this request
//! alone, and `#` for a number never used before. The cases of an operation together fill every place
//! where its document lets an id stand.

mod tasks;

use api::openapi::{Operation, operations};
use serde_json::{Value, json};

use crate::support::oidc_server::REDIRECT;

#[derive(Clone)]
pub struct Case {
    pub operation: &'static str,
    /// Path and query parameters.
    pub parameters: Vec<(&'static str, &'static str)>,
    pub body: Option<Value>,
    /// Who can have it succeed at all.
    pub takes: Takes,
}

/// What an operation demands beside its permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Permission,
    /// A signed-in person: an API key is refused with `person_only`.
    Person,
    /// All rights of the role that is given: a key with one scope is refused with `role_above_own`.
    Cover,
    /// All rights of the owner who made it: a lower role is refused with `role_above_own`.
    Reach,
    /// The same, of somebody who is signed in: an API key is refused with `person_only`.
    ReachInPerson,
    /// Holding the scope that is given: a key with another one is 422.
    Grant,
    /// What does not exist yet: nobody succeeds.
    Nothing,
}

impl Case {
    /// Of the document.
    pub fn of(&self) -> &'static Operation {
        let mut all = operations().iter();
        all.find(|known| known.id == self.operation)
            .unwrap_or_else(|| panic!("{} is not in the document", self.operation))
    }

    /// Whether only administrators of the platform may.
    pub fn is_of_platform(&self) -> bool {
        self.of().permission.as_deref().is_some_and(|name| name.starts_with("platform:"))
    }

    pub fn is_list(&self) -> bool {
        self.of().method == "GET" && self.operation.starts_with("list_")
    }
}

fn case(operation: &'static str, parameters: &[(&'static str, &'static str)]) -> Case {
    Case { operation, parameters: parameters.to_vec(), body: None, takes: Takes::Permission }
}

fn of(operation: &'static str, id: &'static str) -> Case {
    case(operation, &[("id", id)])
}

impl Case {
    fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }
}

/// Every operation of the document.
pub fn all() -> Vec<Case> {
    [
        operate(),
        identity(),
        workspaces(),
        integrations(),
        agents(),
        agent_refs(),
        tools(),
        tasks::definitions(),
        tasks::runs(),
        tasks::workers(),
        tasks::bulk_actions(),
        tasks::schedules(),
        tasks::batches(),
        tasks::triggers(),
        tasks::approvals(),
        governance(),
        notifications(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn operate() -> Vec<Case> {
    ["get_jwks", "get_livez", "get_readyz", "get_metrics"].map(|name| case(name, &[])).into()
}

fn at_provider(operation: &'static str) -> Case {
    case(operation, &[("provider", "example")])
}

fn identity() -> Vec<Case> {
    let person = json!({ "email": "member-#@example.com", "role": "VIEWER" });
    let tenant = json!({ "name": "New", "slug": "new-#", "owner": { "email": "owner-#@example.com" } });
    vec![
        case("log_in", &[])
            .with(json!({ "email": "@email", "password": "@password", "tenantId": "@tenant" })),
        case("refresh_session", &[]).with(json!({ "refreshToken": "@new:session", "tenantId": "@tenant" })),
        case("log_out", &[]).with(json!({ "refreshToken": "@new:session" })),
        case("request_password_reset", &[]).with(json!({ "email": "@email" })),
        case("reset_password", &[]).with(json!({ "token": "@new:reset-token", "password": "@password" })),
        case("request_magic_link", &[]).with(json!({ "email": "@email" })),
        case("sign_in_by_magic_link", &[])
            .with(json!({ "token": "@new:magic-token", "tenantId": "@tenant" })),
        case("complete_sign_in", &[])
            .with(json!({ "challenge": "@new:challenge-token", "code": "@new:code-token" })),
        case("list_oidc_providers", &[]),
        at_provider("start_oidc_sign_in").with(json!({ "redirectUri": REDIRECT })),
        at_provider("finish_oidc_sign_in")
            .with(json!({ "code": "@new:oidc-token", "iss": "@issuer-token", "state": "@new:state-token" })),
        case("verify_email", &[]).with(json!({ "token": "@new:verify-token", "password": "@password" })),
        case("confirm_email_change", &[]).with(json!({ "token": "@new:change-token" })),
        case("request_email_verification", &[]).takes(Takes::Person),
        case("request_email_change", &[])
            .with(json!({ "email": "new-#@example.com", "password": "@password" }))
            .takes(Takes::Person),
        case("get_whoami", &[]),
        case("preview_invite", &[]).with(json!({ "token": "@new:invite-token" })),
        case("accept_invite", &[]).with(json!({ "token": "@new:invite-token", "password": "@password" })),
        case("decline_invite", &[]).with(json!({ "token": "@new:invite-token" })),
        case("get_me", &[]).takes(Takes::Person),
        case("update_me", &[]).with(json!({ "name": "name #", "tenantId": "@tenant" })).takes(Takes::Person),
        case("change_my_password", &[])
            .with(json!({ "currentPassword": "@password", "newPassword": "@password" }))
            .takes(Takes::Person),
        case("accept_document", &[])
            .with(json!({ "document": "TERMS", "version": "v-#" }))
            .takes(Takes::Person),
        case("delete_me", &[]).with(json!({ "password": "not the password" })).takes(Takes::Nothing),
        case("export_my_data", &[]).takes(Takes::Person),
        case("list_my_sessions", &[]).takes(Takes::Person),
        of("end_my_session", "@new:my-session").takes(Takes::Person),
        case("list_my_accounts", &[]).takes(Takes::Person),
        at_provider("start_account_link")
            .with(json!({ "redirectUri": REDIRECT, "password": "@password" }))
            .takes(Takes::Person),
        at_provider("link_my_account").with(json!({ "code": "none", "state": "none" })).takes(Takes::Nothing),
        of("unlink_my_account", "@new:account").takes(Takes::Person),
        case("get_my_second_factor", &[]).takes(Takes::Person),
        case("enrol_my_second_factor", &[]).with(json!({ "password": "@password" })).takes(Takes::Person),
        case("confirm_my_second_factor", &[]).with(json!({ "code": "none" })).takes(Takes::Nothing),
        case("renew_my_recovery_codes", &[]).with(json!({ "code": "none" })).takes(Takes::Nothing),
        case("disable_my_second_factor", &[]).with(json!({ "code": "none" })).takes(Takes::Nothing),
        case("list_my_memberships", &[("cursor", "@cursor")]).takes(Takes::Person),
        of("accept_my_membership", "@me").takes(Takes::Person),
        case("get_current_tenant", &[]),
        case("update_current_tenant", &[]).with(json!({ "dataRetentionDays": 30 })),
        // What would stop or close the tenant of all other cases is tried where it is alone.
        case("close_current_tenant", &[]).with(json!({ "slug": "another" })).takes(Takes::Nothing),
        case("reopen_current_tenant", &[]).takes(Takes::Nothing),
        case("get_emergency_stop", &[]),
        case("start_emergency_stop", &[]).with(json!({ "reason": "" })).takes(Takes::Nothing),
        case("release_emergency_stop", &[]).takes(Takes::Nothing),
        case("get_tenant_limits", &[]),
        case("list_tenant_domains", &[("cursor", "@cursor")]),
        case("create_tenant_domain", &[]).with(json!({ "domain": "own-#.example" })).takes(Takes::Cover),
        of("get_tenant_domain", "@domain"),
        of("update_tenant_domain", "@new:domain").with(json!({ "joinRole": "OPERATOR" })).takes(Takes::Cover),
        of("verify_tenant_domain", "@new:domain").takes(Takes::Cover),
        of("delete_tenant_domain", "@new:domain"),
        case("get_tenant_sign_in", &[]),
        case("update_tenant_sign_in", &[]).with(json!({ "requireSecondFactor": false })),
        case("list_tenants", &[("cursor", "@cursor")]),
        case("create_tenant", &[]).with(tenant),
        of("get_tenant", "@tenant"),
        of("update_tenant", "@tenant").with(json!({ "name": "Tenant #" })),
        of("suspend_tenant", "@new:other-tenant").with(json!({ "reason": "reason #" })),
        of("resume_tenant", "@new:suspended-tenant"),
        of("close_tenant", "@new:other-tenant").with(json!({ "eraseAfterDays": 1 })),
        of("reopen_tenant", "@new:closed-tenant"),
        case("list_tenant_erasures", &[("cursor", "@cursor")]),
        of("get_tenant_erasure", "@erased-tenant"),
        case("list_users", &[("cursor", "@cursor")]),
        of("get_user", "@user"),
        of("deactivate_user", "@new:person"),
        of("reactivate_user", "@new:barred"),
        case("list_memberships", &[("cursor", "@cursor")]),
        case("create_membership", &[]).with(person).takes(Takes::Cover),
        of("get_membership", "@membership"),
        of("update_membership", "@new:membership").with(json!({ "role": "OPERATOR" })).takes(Takes::Cover),
        of("delete_membership", "@new:membership").takes(Takes::Cover),
        case("list_team_invites", &[("cursor", "@cursor")]),
        case("create_team_invite", &[])
            .with(
                json!({ "email": "invited-#@example.com", "role": "VIEWER", "workspaceIds": ["@workspace"] }),
            )
            .takes(Takes::Cover),
        of("get_team_invite", "@invite"),
        of("resend_team_invite", "@new:invite").takes(Takes::Cover),
        of("delete_team_invite", "@new:invite").takes(Takes::Cover),
        case("list_api_keys", &[("cursor", "@cursor")]),
        case("list_api_keys", &[("workspaceId", "@workspace")]),
        case("create_api_key", &[]).with(json!({ "name": "key #", "scopes": ["api-keys:write"] })),
        case("create_api_key", &[])
            .with(json!({ "name": "key #", "scopes": ["api-keys:write"], "workspaceId": "@workspace" })),
        case("create_api_key", &[])
            .with(json!({ "name": "key #", "scopes": ["task-runs:read"], "agentIds": ["@agent"] }))
            .takes(Takes::Grant),
        case("create_token", &[]).with(json!({ "runId": "@run" })),
        of("get_api_key", "@api-key"),
        of("get_api_key_usage", "@api-key"),
        of("rotate_api_key", "@new:api-key").with(json!({})).takes(Takes::ReachInPerson),
        of("update_api_key", "@new:api-key").with(json!({ "name": "other #" })).takes(Takes::Reach),
        of("delete_api_key", "@new:api-key").takes(Takes::Reach),
    ]
}

fn workspaces() -> Vec<Case> {
    let member = json!({ "workspaceId": "@workspace", "userId": "@new:colleague", "role": "VIEWER" });
    let moved =
        json!({ "agentIds": ["@new:agent"], "toolIds": ["@new:tool"], "definitionIds": ["@new:definition"] });
    let placed = json!({
        "agentIds": ["@new:placed-agent"],
        "toolIds": ["@new:placed-tool"],
        "definitionIds": ["@new:placed-definition"],
    });
    vec![
        case("list_workspaces", &[("cursor", "@cursor")]),
        case("create_workspace", &[]).with(json!({ "name": "workspace #" })),
        of("get_workspace", "@workspace"),
        of("update_workspace", "@new:workspace").with(json!({ "name": "other #" })),
        of("delete_workspace", "@new:workspace"),
        of("archive_workspace", "@new:workspace"),
        of("unarchive_workspace", "@new:archived"),
        of("transfer_to_workspace", "@workspace").with(moved),
        of("release_from_workspace", "@workspace").with(placed),
        case("list_team_members", &[("cursor", "@cursor")]),
        case("list_team_members", &[("workspaceId", "@workspace")]),
        case("list_team_members", &[("userId", "@user")]),
        case("create_team_member", &[]).with(member).takes(Takes::Cover),
        of("get_team_member", "@team-member"),
        of("update_team_member", "@new:team-member")
            .with(json!({ "availability": "AWAY" }))
            .takes(Takes::Cover),
        of("delete_team_member", "@new:team-member").takes(Takes::Cover),
    ]
}

fn integrations() -> Vec<Case> {
    let config = json!({ "baseUrl": "http://127.0.0.1:9/v1" });
    let create = json!({ "name": "integration #", "type": "LLM_OPENAI_COMPATIBLE", "config": config });
    let price = json!({ "model": "model-#", "perMillionTokens": { "input": "1", "output": "2" } });
    vec![
        case("list_integrations", &[("cursor", "@cursor")]),
        case("create_integration", &[]).with(create),
        of("get_integration", "@integration"),
        of("update_integration", "@new:integration").with(json!({ "name": "other #" })),
        of("delete_integration", "@new:integration"),
        of("test_integration", "@new:integration"),
        case("list_model_prices", &[("cursor", "@cursor")]),
        case("create_model_price", &[]).with(price),
        case("list_built_in_prices", &[]),
        of("get_model_price", "@price"),
        of("update_model_price", "@new:price").with(json!({ "note": "note #" })),
        of("delete_model_price", "@new:price"),
    ]
}

fn agents() -> Vec<Case> {
    let version = |operation, id, number| case(operation, &[("id", id), ("number", number)]);
    let bind = json!({ "config": { "policy": "ALLOW" } });
    vec![
        case("list_agents", &[("cursor", "@cursor")]),
        case("list_agents", &[("providerId", "@integration")]),
        case("list_agents", &[("workspaceId", "@workspace")]),
        case("create_agent", &[]).with(agent()),
        of("get_agent", "@agent"),
        of("update_agent", "@new:agent").with(json!({ "name": "other #" })),
        of("delete_agent", "@new:agent"),
        of("pause_agent", "@new:agent").with(json!({})),
        of("resume_agent", "@new:paused"),
        of("list_agent_tools", "@bound"),
        case("put_agent_tool", &[("id", "@new:agent"), ("toolId", "@tool")]).with(bind),
        case("delete_agent_tool", &[("id", "@new:bound"), ("toolId", "@tool")]),
        case("list_agent_versions", &[("id", "@bound"), ("cursor", "@cursor")]),
        version("get_agent_version", "@agent", "1"),
        version("update_agent_version", "@new:agent", "1").with(json!({ "note": "note #" })),
        version("diff_agent_version", "@bound", "2"),
        version("activate_agent_version", "@new:bound", "1"),
    ]
}

fn agent() -> Value {
    json!({ "name": "agent #", "type": "TASK_RUNNER", "model": "mock/echo" })
}

/// Every place of an agent's body that names something else.
fn agent_refs() -> Vec<Case> {
    let (provider, workspace) =
        (json!({ "providerId": "@integration" }), json!({ "workspaceId": "@workspace" }));
    let (knowledge, mcp) = (json!({ "knowledgeBaseIds": ["@tool"] }), json!({ "mcpServerIds": ["@tool"] }));
    let mut cases = Vec::new();
    for (reference, takes) in
        [(provider, Takes::Permission), (knowledge, Takes::Nothing), (mcp, Takes::Nothing)]
    {
        let mut create = agent();
        create.as_object_mut().unwrap().extend(reference.as_object().unwrap().clone());
        cases.push(case("create_agent", &[]).with(create).takes(takes));
        cases.push(of("update_agent", "@new:agent").with(reference).takes(takes));
    }
    let mut create = agent();
    create.as_object_mut().unwrap().extend(workspace.as_object().unwrap().clone());
    cases.push(case("create_agent", &[]).with(create));
    cases
}

fn tools() -> Vec<Case> {
    let tool =
        |kind, config| json!({ "name": "tool_#", "description": "A tool.", "type": kind, "config": config });
    let mut placed = tool("FUNCTION", json!({ "function": "builtin/echo" }));
    placed["workspaceId"] = json!("@workspace");
    let secret = json!([{ "header": "x-secret", "integrationId": "@secret" }]);
    let request = json!({ "method": "GET", "url": "http://127.0.0.1:9/", "secrets": secret });
    vec![
        case("list_tools", &[("cursor", "@cursor")]),
        case("list_tools", &[("workspaceId", "@workspace")]),
        case("create_tool", &[]).with(placed),
        case("create_tool", &[]).with(tool("FUNCTION", json!({ "function": "builtin/echo" }))),
        case("create_tool", &[]).with(tool("API", request)),
        of("get_tool", "@tool"),
        of("update_tool", "@new:tool").with(json!({ "description": "Another #." })),
        of("update_tool", "@new:request").with(json!({ "config": { "secrets": secret } })),
        of("delete_tool", "@new:tool"),
        of("invoke_tool", "@tool").with(json!({ "arguments": { "a": 1 } })),
    ]
}

fn notifications() -> Vec<Case> {
    vec![
        case("list_mails", &[("cursor", "@cursor")]),
        of("get_mail", "@mail"),
        case("list_notifications", &[("cursor", "@cursor")]).takes(Takes::Person),
        case("get_unread_count", &[]).takes(Takes::Person),
        of("mark_notification_read", "@notification").takes(Takes::Person),
        case("mark_all_notifications_read", &[]).with(json!({ "upTo": 0 })).takes(Takes::Person),
        case("get_notification_preferences", &[]).takes(Takes::Person),
        case("update_notification_preferences", &[]).with(json!({ "digest": "HOURLY" })).takes(Takes::Person),
    ]
}

fn governance() -> Vec<Case> {
    vec![
        case("list_audit_logs", &[("cursor", "@cursor")]),
        case("list_audit_logs", &[("userId", "@user")]),
        case("list_audit_logs", &[("resourceId", "@agent")]),
        case("verify_audit_logs", &[]),
        case("export_audit_logs", &[]),
        case("get_audit_checkpoint", &[]),
        of("get_audit_log", "@audit"),
        case("list_team_activity_logs", &[("cursor", "@cursor")]),
        case("list_team_activity_logs", &[("userId", "@user")]),
        case("list_team_activity_logs", &[("resourceId", "@agent")]),
        case("list_privacy_requests", &[("cursor", "@cursor")]),
        case("list_privacy_requests", &[("userId", "@user")]),
        case("create_privacy_request", &[]).with(json!({ "kind": "EXPORT", "userId": "@user" })),
        of("get_privacy_request", "@privacy"),
        of("export_privacy_request", "@privacy"),
        case("get_tenant_retention", &[]),
        case("update_tenant_retention", &[]).with(json!({ "runsDays": 30 })),
    ]
}
