//! `/v1/tenant/limits` and the quotas behind it: exact, however many create at once.

use futures_util::future::join_all;
use serde_json::{Value, json};
use service::core::World;
use service::identity::plans::{Plan, PlanLimits, Plans};

use crate::support::{App, Backend, Client, PASSWORD, mails};

/// A server whose FREE plan is narrow, with both tenants on it.
async fn narrow(backend: Backend) -> App {
    let mut plans = Plans::default();
    let free = PlanLimits {
        members: 2,
        agents: 3,
        tools: 3,
        task_definitions: 3,
        scheduled_tasks: 3,
        batch_tasks: 3,
        integrations: 3,
        api_keys: 3,
        runs_per_month: 5,
        queued_runs: 4,
        requests_per_minute: 3,
        ..plans.of(Plan::Free).clone()
    };
    plans.set(Plan::Free, free);
    let app = App::start_with(backend, World::real(), |config| {
        config.plans = plans;
        config.engine.concurrency = 0;
    });
    let app = app.await;
    for tenant in [&app.acme, &app.rival] {
        app.admin.patch(&format!("/v1/tenants/{}", tenant.id), json!({ "plan": "FREE" })).await.expect(200);
    }
    app
}

async fn quota(caller: &Client, name: &str) -> Value {
    let shown = caller.get("/v1/tenant/limits").await.expect(200);
    let found = shown["quotas"].as_array().unwrap().iter().find(|quota| quota["quota"] == name);
    found.unwrap_or_else(|| panic!("{shown}")).clone()
}

fn body(kind: &str, n: usize, target: &str) -> (&'static str, Value) {
    match kind {
        "AGENTS" => {
            ("/v1/agents", json!({ "name": format!("a{n}"), "type": "TASK_RUNNER", "model": "mock/echo" }))
        }
        "TOOLS" => {
            let config = json!({ "function": "builtin/echo" });
            (
                "/v1/tools",
                json!({ "name": format!("t{n}"), "description": "A tool.", "type": "FUNCTION", "config": config }),
            )
        }
        "TASK_DEFINITIONS" => (
            "/v1/task-definitions",
            json!({ "name": format!("d{n}"), "type": "AUTOMATION", "agentId": target }),
        ),
        "SCHEDULED_TASKS" => (
            "/v1/scheduled-tasks",
            json!({ "name": format!("s{n}"), "definitionId": target, "recurrence": { "cron": "0 0 1 1 *" } }),
        ),
        "BATCH_TASKS" => ("/v1/batch-tasks", json!({ "name": format!("b{n}"), "definitionId": target })),
        "INTEGRATIONS" => {
            let config = json!({ "baseUrl": "http://127.0.0.1:9/v1" });
            (
                "/v1/integrations",
                json!({ "name": format!("i{n}"), "type": "LLM_OPENAI_COMPATIBLE", "config": config }),
            )
        }
        "API_KEYS" => ("/v1/api-keys", json!({ "name": format!("k{n}"), "scopes": ["agents:read"] })),
        "MEMBERS" => ("/v1/memberships", json!({ "email": format!("m{n}@example.com"), "role": "VIEWER" })),
        other => panic!("{other}"),
    }
}

async fn counts_are_exact_under_creates_at_once(app: App) {
    let owner = &app.acme.owner;
    let agent = app.acme.agent("first", json!({})).await;
    for (kind, before, limit) in [
        ("AGENTS", 1, 3),
        ("TOOLS", 0, 3),
        ("TASK_DEFINITIONS", 0, 3),
        ("SCHEDULED_TASKS", 0, 3),
        ("BATCH_TASKS", 0, 3),
        ("INTEGRATIONS", 0, 3),
        ("API_KEYS", 0, 3),
        ("MEMBERS", 1, 2),
    ] {
        assert_eq!(quota(owner, kind).await["value"], before, "{kind}");
        let target = match kind {
            "SCHEDULED_TASKS" | "BATCH_TASKS" => {
                let definitions = owner.get("/v1/task-definitions").await.expect(200);
                definitions["data"][0]["id"].as_str().unwrap().to_owned()
            }
            _ => agent.clone(),
        };
        let creates = (0..12).map(|n| {
            let (path, body) = body(kind, n, &target);
            async move { owner.post(path, body).await }
        });
        let answers = join_all(creates).await;
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(made, limit - before, "{kind}");
        for refused in answers.into_iter().filter(|answer| answer.status != 201) {
            assert_eq!(refused.problem(403), "quota_exceeded", "{kind}");
        }
        let now = quota(owner, kind).await;
        assert_eq!(
            (&now["value"], &now["limit"], &now["isAlarming"]),
            (&json!(limit), &json!(limit), &json!(true))
        );
        assert_eq!(now["resetsAt"], json!(null));
        assert!(
            quota(&app.rival.owner, kind).await["value"].as_i64().unwrap() <= 1,
            "another tenant's is its own"
        );
    }
    // What goes makes room; what is deleted counts no more.
    let agents = owner.get("/v1/agents").await.expect(200);
    let spare = agents["data"].as_array().unwrap().iter().find(|one| one["id"] != json!(agent)).unwrap();
    assert_eq!(owner.delete(&format!("/v1/agents/{}", spare["id"].as_str().unwrap())).await.status, 204);
    let (path, next) = body("AGENTS", 20, &agent);
    owner.post(path, next).await.expect(201);
    // A larger plan is there at once.
    app.admin.patch(&format!("/v1/tenants/{}", app.acme.id), json!({ "plan": "PRO" })).await.expect(200);
    let (path, next) = body("AGENTS", 21, &agent);
    owner.post(path, next).await.expect(201);
    let shown = owner.get("/v1/tenant/limits").await.expect(200);
    assert_eq!(
        (&shown["plan"], &shown["weight"], &shown["retentionDays"]),
        (&json!("PRO"), &json!(4), &json!(1095))
    );
}

async fn an_accepted_invitation_takes_a_members_place(app: App) {
    let owner = &app.acme.owner;
    let invite = json!({ "email": "one@example.com", "role": "VIEWER" });
    owner.post("/v1/team-invites", invite).await.expect(201);
    let other = json!({ "email": "two@example.com", "role": "VIEWER" });
    owner.post("/v1/team-invites", other).await.expect(201);
    let one = mails::token(&app, "one@example.com", "TEAM_INVITE").await;
    let two = mails::token(&app, "two@example.com", "TEAM_INVITE").await;
    let accept = |token: String| {
        let anyone = app.anyone();
        async move {
            let body = json!({ "token": token, "password": "another long pass phrase" });
            anyone.post("/v1/auth/invites/accept", body).await
        }
    };
    accept(one).await.expect(200);
    assert_eq!(accept(two.clone()).await.problem(403), "quota_exceeded");
    // The invitation stands, for the time when there is room.
    app.admin.patch(&format!("/v1/tenants/{}", app.acme.id), json!({ "plan": "STARTER" })).await.expect(200);
    assert_eq!(accept(two).await.status, 200);
}

async fn runs_are_counted_by_the_month_and_by_the_queue(app: App) {
    let owner = &app.acme.owner;
    let agent = app.acme.agent("echo", json!({})).await;
    let create = || owner.post("/v1/task-runs", json!({ "agentId": agent, "input": "x" }));
    let answers = join_all((0..9).map(|_| create())).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 4, "as many as may wait");
    for refused in refused {
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(refused.problem(429), "queue_full");
    }
    assert_eq!(
        (&quota(owner, "QUEUED_RUNS").await["value"], &quota(owner, "RUNS_PER_MONTH").await["value"]),
        (&json!(4), &json!(4))
    );
    let first = made[0].body["id"].as_str().unwrap();
    owner.post(&format!("/v1/task-runs/{first}/cancel"), json!({})).await.expect(200);
    assert_eq!(quota(owner, "QUEUED_RUNS").await["value"], 3);
    create().await.expect(201);
    let second = made[1].body["id"].as_str().unwrap();
    owner.post(&format!("/v1/task-runs/{second}/cancel"), json!({})).await.expect(200);
    assert_eq!(create().await.problem(403), "quota_exceeded", "five were made, whatever became of them");
    assert_eq!(
        owner.post(&format!("/v1/task-runs/{second}/replay"), json!({})).await.problem(403),
        "quota_exceeded"
    );
    let runs = quota(owner, "RUNS_PER_MONTH").await;
    assert_eq!((&runs["value"], &runs["limit"], &runs["alarm"]), (&json!(5), &json!(5), &json!(4)));
    assert!(runs["resetsAt"].as_str().unwrap().contains("-01T00:00:00"));

    // Another node learns what this one counted, and knows no more room than there is.
    app.core.engine.admission().write().await.unwrap();
    let plans = app.core.config.plans.clone();
    let other = service::engine::Admission::new(app.core.db.clone(), app.core.clock.clone(), plans);
    assert!(other.place(app.acme.id.parse().unwrap()).await.is_err());
    let usage = other.usage(app.acme.id.parse().unwrap()).await.unwrap();
    assert_eq!((usage.this_month, usage.queued), (5, 3));

    let theirs = app.rival.agent("echo", json!({})).await;
    app.rival.owner.post("/v1/task-runs", json!({ "agentId": theirs })).await.expect(201);
    assert_eq!(quota(&app.rival.owner, "RUNS_PER_MONTH").await["value"], 1);
}

async fn a_refused_run_leaves_its_place(app: App) {
    let owner = &app.acme.owner;
    let agent = app.acme.agent("echo", json!({})).await;
    for _ in 0..8 {
        owner.post("/v1/task-runs", json!({ "agentId": agent, "dedupeKey": "same" })).await.expect(201);
    }
    assert_eq!(quota(owner, "RUNS_PER_MONTH").await["value"], 1, "the same run was answered");
    owner.patch("/v1/tenant", json!({ "settings": { "quotaAlarmPercent": 20 } })).await.expect(200);
    let runs = quota(owner, "RUNS_PER_MONTH").await;
    assert_eq!((&runs["alarm"], &runs["isAlarming"]), (&json!(1), &json!(true)));
}

/// The rate of a plan is one of all callers of the tenant together, and of nobody else.
async fn a_tenant_has_its_rate_whoever_calls(app: App) {
    let keys = [app.acme.key(&app, &["agents:read"]).await, app.acme.key(&app, &["agents:read"]).await];
    let server = app.serve(|options| options.rate_limit = Some("1000/60s".parse().unwrap()));
    let callers = keys.iter().chain([&app.acme.owner]).map(|caller| caller.at(&server));
    for caller in callers {
        let answer = caller.get("/v1/agents").await;
        let policies: Vec<_> = answer.headers.get_all("ratelimit-policy").iter().collect();
        assert_eq!(policies, ["\"requests\";q=1000;w=60", "\"tenant\";q=3;w=60"]);
        answer.expect(200);
    }
    for caller in &keys {
        let refused = caller.at(&server).get("/v1/agents").await;
        let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(
            refused
                .headers
                .get_all("ratelimit")
                .iter()
                .any(|state| state.to_str().unwrap().starts_with("\"tenant\";r=0"))
        );
        assert_eq!(refused.problem(429), "tenant_rate_limit");
    }
    app.rival.owner.at(&server).get("/v1/agents").await.expect(200);
    let login = json!({ "email": app.acme.owner_email, "password": PASSWORD });
    app.anyone().at(&server).post("/v1/auth/login", login).await.expect(200);
    // A larger plan is there at once.
    app.admin.patch(&format!("/v1/tenants/{}", app.acme.id), json!({ "plan": "PRO" })).await.expect(200);
    keys[0].at(&server).get("/v1/agents").await.expect(200);
}

macro_rules! on_narrow_plans {
    ($($name:ident)+) => {
        $(mod $name {
            use super::Backend;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(super::narrow(Backend::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name(super::narrow(Backend::Postgres).await).await;
            }
        })+
    };
}

on_narrow_plans! {
    counts_are_exact_under_creates_at_once
    an_accepted_invitation_takes_a_members_place
    runs_are_counted_by_the_month_and_by_the_queue
    a_refused_run_leaves_its_place
    a_tenant_has_its_rate_whoever_calls
}
