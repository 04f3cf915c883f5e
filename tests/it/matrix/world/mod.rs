//! A tenant with one resource of every kind, made through the API, and more of them on demand.

mod kinds;
mod made;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use kinds::OF_TENANT;
pub use kinds::WITHIN;

use crate::support::name_server::NameServer;
use crate::support::oidc_server::OidcServer;
use crate::support::second_factors::{self, Authenticator};
use crate::support::{App, Client, PASSWORD, accounts, eventually, mails, people};

pub struct World<'a> {
    pub app: &'a App,
    pub tenant: &'a str,
    pub owner: &'a Client,
    email: &'a str,
    /// Where everything is made that may belong to a workspace.
    within: Option<&'a str>,
    kept: Mutex<HashMap<String, String>>,
    /// Answers the challenge that was made last.
    code: Mutex<String>,
    /// Of the runs that workers hold, by their ids.
    leases: Mutex<HashMap<String, String>>,
    /// Of the visit to a provider that was made last.
    state: Mutex<String>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn provider() -> &'static OidcServer {
    OidcServer::of_this_process()
}

fn number() -> String {
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

impl<'a> World<'a> {
    /// With one of every kind, and two of what is listed.
    pub async fn of(app: &'a App, tenant: &'a crate::support::Tenant) -> Self {
        let world = Self::empty(app, tenant, None);
        for kind in OF_TENANT.iter().chain(WITHIN) {
            world.kept(kind).await;
        }
        for kind in [
            "membership",
            "workspace",
            "team-member",
            "invite",
            "api-key",
            "integration",
            "price",
            "agent",
            "tool",
            "definition",
            "schedule",
            "fire",
            "batch",
            "approval",
            "bulk",
            "privacy",
            "domain",
            "event",
            "hook",
            "delivery",
            "questioning",
            "worker",
        ] {
            world.make(kind).await;
        }
        let owner = json!({ "email": tenant.owner_email });
        let body = json!({ "name": "Second", "slug": format!("second-{}", number()), "owner": owner });
        app.admin.post("/v1/tenants", body).await.expect(201);
        world
    }

    /// Where all that may belongs to this workspace; nothing is made before it is asked for.
    pub async fn within(app: &'a App, tenant: &'a crate::support::Tenant, workspace: &'a str) -> Self {
        let world = Self::empty(app, tenant, Some(workspace));
        world.kept.lock().await.insert("workspace".to_owned(), workspace.to_owned());
        world
    }

    fn empty(app: &'a App, tenant: &'a crate::support::Tenant, within: Option<&'a str>) -> Self {
        let email = &tenant.owner_email;
        let (kept, leases) = (Mutex::default(), Mutex::default());
        let (code, state) = (Mutex::default(), Mutex::default());
        Self { app, tenant: &tenant.id, owner: &tenant.owner, email, within, kept, leases, code, state }
    }

    /// The one of this kind that is kept.
    pub async fn kept(&self, kind: &str) -> String {
        let known = self.kept.lock().await.get(kind).cloned();
        match known {
            Some(id) => id,
            None => {
                let id = Box::pin(self.make(kind)).await;
                self.kept.lock().await.insert(kind.to_owned(), id.clone());
                id
            }
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.owner.post(path, body).await;
        assert!((200..300).contains(&answer.status), "POST {path}: {}", answer.text);
        answer.body
    }

    async fn create(&self, path: &str, body: Value) -> String {
        text(&self.post(path, body).await["id"])
    }

    /// Where the body's resource belongs.
    fn placed(&self, mut body: Value, within: Option<&str>) -> Value {
        if let Some(workspace) = within {
            body["workspaceId"] = json!(workspace);
        }
        body
    }

    /// A new one of this kind.
    pub async fn make(&self, kind: &str) -> String {
        let name = format!("made_{}", number());
        match kind {
            "tenant" => self.tenant.to_owned(),
            "other-tenant" | "suspended-tenant" | "closed-tenant" | "erased-tenant" => {
                self.other_tenant(kind, &name).await
            }
            "email" => self.email.to_owned(),
            "password" => PASSWORD.to_owned(),
            "notification" => {
                self.kept("api-key").await;
                text(&self.owner.get("/v1/notifications").await.expect(200)["data"][0]["id"])
            }
            "me" => {
                let mine = self.owner.get("/v1/me/memberships").await.expect(200);
                let mut all = mine["data"].as_array().unwrap().iter();
                text(&all.find(|row| row["tenant"]["id"] == self.tenant).unwrap()["id"])
            }
            "user" => text(&self.owner.get("/v1/whoami").await.expect(200)["user"]["id"]),
            "person" | "barred" => {
                let email = format!("{name}@example.com");
                let person = people::member(self.app, self.owner, &email, "VIEWER").await;
                let id = text(&person.get("/v1/whoami").await.expect(200)["user"]["id"]);
                if kind == "barred" {
                    let path = format!("/v1/users/{id}/deactivate");
                    self.app.admin.post(&path, Value::Null).await.expect(200);
                }
                id
            }
            "privacy" => {
                let body = json!({ "kind": "EXPORT", "userId": self.kept("user").await });
                self.create("/v1/privacy-requests", body).await
            }
            "audit" => text(&self.owner.get("/v1/audit-logs").await.expect(200)["data"][0]["id"]),
            "session" => {
                let login = json!({ "email": self.email, "password": PASSWORD, "tenantId": self.tenant });
                text(&self.post("/v1/auth/login", login).await["refreshToken"])
            }
            "membership" => {
                let email = format!("{name}@example.com");
                self.create("/v1/memberships", json!({ "email": email, "role": "VIEWER" })).await
            }
            "workspace" => self.create("/v1/workspaces", json!({ "name": name })).await,
            "archived" => {
                let id = self.create("/v1/workspaces", json!({ "name": name })).await;
                self.post(&format!("/v1/workspaces/{id}/archive"), json!({})).await;
                id
            }
            "colleague" => {
                let email = format!("{name}@example.com");
                let person = people::member(self.app, self.owner, &email, "VIEWER").await;
                text(&person.get("/v1/whoami").await.expect(200)["user"]["id"])
            }
            "team-member" => {
                let (workspace, user) =
                    (self.kept("workspace").await, Box::pin(self.make("colleague")).await);
                let body = json!({ "workspaceId": workspace, "userId": user, "role": "VIEWER" });
                self.create("/v1/team-members", body).await
            }
            "my-session" => {
                let login = json!({ "email": self.email, "password": PASSWORD, "tenantId": self.tenant });
                let tokens = self.post("/v1/auth/login", login).await;
                let session = self.owner.with_token(tokens["accessToken"].as_str().unwrap());
                text(&session.get("/v1/whoami").await.expect(200)["credential"]["id"])
            }
            "invite" | "invite-token" => {
                let email = format!("{name}@example.com");
                let body = json!({ "email": email, "role": "VIEWER" });
                let id = self.create("/v1/team-invites", body).await;
                if kind == "invite" { id } else { mails::token(self.app, &email, "TEAM_INVITE").await }
            }
            "mail" => {
                let email = format!("{name}@example.com");
                self.owner.post("/v1/auth/forgot-password", json!({ "email": email })).await.expect(202);
                mails::newest(self.app, &email).await
            }
            "reset-token" | "magic-token" | "verify-token" | "change-token" => {
                people::token(self.app, self.owner, &format!("{name}@example.com"), kind).await
            }
            "challenge-token" => {
                let email = format!("{name}@example.com");
                let person = people::verified(self.app, self.owner, &email, "VIEWER").await;
                let authenticator = Authenticator::enable(self.app, &person).await;
                self.code.lock().await.clone_from(&authenticator.recovery_codes[0]);
                second_factors::challenge(self.app, &email).await
            }
            "code-token" => self.code.lock().await.clone(),
            "account" => {
                let account =
                    accounts::link(self.owner, provider(), accounts::proved(&name, "a@example.net"));
                text(&account.await.expect(200)["id"])
            }
            "domain" => {
                let domain = format!("{}.example", self.app.core.ids.next().simple());
                let made = self.post("/v1/tenant/domains", json!({ "domain": domain })).await;
                let (name, value) = (text(&made["recordName"]), text(&made["recordValue"]));
                NameServer::of_this_process().put(&name, &[&value]);
                text(&made["id"])
            }
            "oidc-token" => {
                let me = accounts::proved(&format!("owner-of-{}", self.tenant), self.email);
                accounts::link(self.owner, provider(), me.clone()).await.expect(200);
                let answer = accounts::visit(self.app, provider(), me).await;
                *self.state.lock().await = text(&answer["state"]);
                text(&answer["code"])
            }
            "issuer-token" => provider().issuer().to_owned(),
            "state-token" => self.state.lock().await.clone(),
            "api-key" => {
                let body = json!({ "name": name, "scopes": ["agents:read"] });
                self.create("/v1/api-keys", self.placed(body, self.within)).await
            }
            "integration" => {
                let config = json!({ "baseUrl": "http://127.0.0.1:9/v1" });
                let kind = "LLM_OPENAI_COMPATIBLE";
                self.create("/v1/integrations", json!({ "name": name, "type": kind, "config": config })).await
            }
            "secret" => {
                let config = json!({ "allowedHosts": ["http://127.0.0.1:9"] });
                let body = json!({ "name": name, "type": "GENERIC_HTTP", "config": config, "credentials": { "apiKey": "s" } });
                self.create("/v1/integrations", body).await
            }
            "price" => {
                let price = json!({ "input": "1", "output": "2" });
                self.create("/v1/model-prices", json!({ "model": name, "perMillionTokens": price })).await
            }
            placed if placed.starts_with("placed-") => {
                let workspace = self.kept("workspace").await;
                self.make_placed(&placed["placed-".len()..], &name, &workspace).await
            }
            "agent" | "paused" | "bound" | "asking" => self.agent(kind, &name).await,
            "tool" => self.tool(&name, "FUNCTION", json!({ "function": "builtin/echo" })).await,
            "request" => {
                self.tool(&name, "API", json!({ "method": "GET", "url": "http://127.0.0.1:9/" })).await
            }
            "definition" => self.definition(&name, json!({ "agentId": self.kept("agent").await })).await,
            "paused-definition" => {
                let id = self.definition(&name, json!({ "agentId": self.kept("agent").await })).await;
                self.post(&format!("/v1/task-definitions/{id}/pause"), json!({})).await;
                id
            }
            "tool-definition" => self.definition(&name, json!({ "toolId": self.kept("tool").await })).await,
            "worker" => {
                let body = json!({ "name": name, "capabilities": ["function:none"] });
                self.create("/v1/workers", body).await
            }
            "leased" => self.leased(&name).await,
            "run" | "delayed" | "cancelled" | "waiting" | "approval" => self.run(kind).await,
            // It matches nothing: no run of another case is touched.
            "bulk" => self.bulk(json!({ "parentRunId": self.kept("run").await }), true).await,
            "worked-bulk" => self.worked_bulk().await,
            "schedule" | "paused-schedule" => self.schedule(kind, &name).await,
            kind if kind.ends_with("batch") => self.batch(kind, &name).await,
            "fire" | "scheduled-run" => {
                let path = format!("/v1/scheduled-tasks/{}/trigger", self.kept("schedule").await);
                let fire = self.post(&path, json!({ "overlap": "ALLOW" })).await;
                text(&fire[if kind == "fire" { "id" } else { "runId" }])
            }
            "questioning" => {
                let ask = self.tool(&name, "FUNCTION", json!({ "function": "builtin/ask_user" })).await;
                let definition = self.definition(&name, json!({ "toolId": ask })).await;
                let body = json!({ "definitionId": definition, "input": { "question": "Well?" } });
                let run = self.create("/v1/task-runs", body).await;
                self.question(&run).await;
                run
            }
            "event" => {
                let placed = self.placed(json!({ "type": "matrix.event" }), self.within);
                let id = self.create("/v1/events", placed).await;
                if self.within.is_none() {
                    let within = self.kept("workspace").await;
                    self.create("/v1/events", json!({ "type": "matrix.event", "workspaceId": within })).await;
                }
                id
            }
            "webhook" => {
                let (tool, trigger) = (self.kept("tool").await, json!({ "type": "WEBHOOK" }));
                let body = json!({ "name": name, "type": "WEBHOOK", "toolId": tool, "trigger": trigger });
                self.create("/v1/task-definitions", self.placed(body, self.within)).await
            }
            "hook" => text(&self.hook(&name).await["id"]),
            "hooked" => text(&self.hook(&name).await["definitionId"]),
            "hook-token" => {
                let url = text(&self.hook(&name).await["url"]);
                url.rsplit('/').next().unwrap_or_default().to_owned()
            }
            "delivery" | "hook-run" | "used-hook" => {
                let hook = self.hook(&name).await;
                let (_, token) = hook["url"].as_str().unwrap().rsplit_once('/').unwrap();
                self.app.anyone().post(&format!("/v1/hooks/{token}"), json!({ "a": 1 })).await.expect(202);
                let path = format!("/v1/hook-deliveries?hookId={}", text(&hook["id"]));
                let delivery = self.owner.get(&path).await.expect(200)["data"][0].clone();
                text(
                    &delivery[match kind {
                        "delivery" => "id",
                        "hook-run" => "runId",
                        _ => "hookId",
                    }],
                )
            }
            "link-token" => {
                let approval = Box::pin(self.make("approval")).await;
                let link = self.post(&format!("/v1/approvals/{approval}/links"), json!({})).await;
                link["url"].as_str().unwrap().rsplit('/').next().unwrap_or_default().to_owned()
            }
            "question" => self.question(&Box::pin(self.make("questioning")).await).await,
            other => panic!("nobody can make {other:?}"),
        }
    }

    /// A tenant that no case is of, in this state.
    async fn other_tenant(&self, state: &str, name: &str) -> String {
        let admin = &self.app.admin;
        let owner = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        let body = json!({ "name": name, "slug": name.replace('_', "-"), "owner": owner });
        let id = text(&admin.post("/v1/tenants", body).await.expect(201)["id"]);
        let path = |action: &str| format!("/v1/tenants/{id}/{action}");
        match state {
            "suspended-tenant" => drop(admin.post(&path("suspend"), json!({})).await.expect(200)),
            "closed-tenant" => drop(admin.post(&path("close"), json!({})).await.expect(200)),
            "erased-tenant" => {
                admin.post(&path("close"), json!({})).await.expect(200);
                self.app.erase_now(&id).await;
                let receipt = format!("/v1/tenant-erasures/{id}");
                eventually("it is erased", async || {
                    !admin.get(&receipt).await.expect(200)["completedAt"].is_null()
                })
                .await;
            }
            _ => {}
        }
        id
    }

    async fn make_placed(&self, kind: &str, name: &str, workspace: &str) -> String {
        let (path, body) = match kind {
            "agent" => ("/v1/agents", json!({ "name": name, "type": "TASK_RUNNER", "model": "mock/echo" })),
            "webhook" => {
                let tool = Box::pin(self.kept("placed-tool")).await;
                let trigger = json!({ "type": "WEBHOOK" });
                let body = json!({ "name": name, "type": "WEBHOOK", "toolId": tool, "trigger": trigger });
                let id = self.create("/v1/task-definitions", self.placed(body, Some(workspace))).await;
                let hook = json!({ "name": name, "definitionId": id, "scheme": "NONE" });
                self.create("/v1/inbound-hooks", hook).await;
                return id;
            }
            "tool" => {
                let config = json!({ "function": "builtin/echo" });
                ("/v1/tools", json!({ "name": name, "type": "FUNCTION", "config": config }))
            }
            "definition" => {
                let agent = json!({ "name": name, "type": "TASK_RUNNER", "model": "mock/echo" });
                let agent = self.create("/v1/agents", agent).await;
                ("/v1/task-definitions", json!({ "name": name, "type": "AUTOMATION", "agentId": agent }))
            }
            "batch" | "schedule" => return self.of_placed_definition(kind, name).await,
            "key" => ("/v1/api-keys", json!({ "name": name, "scopes": ["agents:read"] })),
            _ => {
                let agent = Box::pin(self.kept("placed-agent")).await;
                return self.create("/v1/task-runs?wait=30", json!({ "agentId": agent, "input": "a" })).await;
            }
        };
        self.create(path, self.placed(body, Some(workspace))).await
    }

    /// The second page of a list with these other parameters; a list that is not the caller's has none.
    async fn cursor(&self, path: &str) -> String {
        let first = self.owner.get(&format!("{path}?limit=1")).await;
        let cursor = first.body["nextCursor"].as_str();
        cursor.unwrap_or("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").to_owned()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

impl World<'_> {
    /// What a case's text stands for here.
    pub async fn value(&self, text: &str, path: &str, shared: bool) -> String {
        match text.strip_prefix('@') {
            None => text.replace('#', &number()),
            Some("cursor") => self.cursor(path).await,
            Some("question") => self.question_of(path).await,
            Some("lease-token") => self.lease(path).await,
            Some(kind) => match kind.strip_prefix("new:") {
                Some(kind) if !shared => self.make(kind).await,
                Some(kind) => self.kept(kind).await,
                None => self.kept(kind).await,
            },
        }
    }
}
