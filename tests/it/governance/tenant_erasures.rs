//! `/v1/tenant-erasures`: a closed tenant goes with everything that it has, another one keeps all.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use service::db::Reason;
use service::governance::tenant_erasures::{self, tables::ERASED};

use crate::matrix::{rows, world::World};
use crate::support::{App, PASSWORD, eventually, people};

/// Events of one run, so many that one batch does not hold them.
const MANY: &str = "INSERT INTO run_event (tenant_id, run_id, seq, type, data, created_at) \
     WITH RECURSIVE c(n) AS (SELECT 10000 UNION ALL SELECT n + 1 FROM c WHERE n < 12500) \
     SELECT e.tenant_id, e.run_id, c.n, e.type, e.data, e.created_at FROM c, \
     (SELECT * FROM run_event WHERE tenant_id = $1 LIMIT 1) e";
/// A family of runs: all others are children of the first.
const FAMILY: &str = "UPDATE task_run SET \
     parent_run_id = (SELECT id FROM task_run WHERE tenant_id = $1 ORDER BY id LIMIT 1), \
     root_run_id = (SELECT id FROM task_run WHERE tenant_id = $1 ORDER BY id LIMIT 1) WHERE tenant_id = $1 \
     AND id <> (SELECT id FROM task_run WHERE tenant_id = $1 ORDER BY id LIMIT 1)";

async fn execute(app: &App, sql: &str, tenant: &str) {
    let tx = app.core.db.system(Reason::Operations).begin().await.unwrap();
    tx.execute(sql, vec![tenant.parse::<uuid::Uuid>().unwrap().into()]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn close(app: &App) {
    app.acme.owner.post("/v1/tenant/close", json!({ "slug": "acme" })).await.expect(200);
}

async fn receipt(app: &App) -> Value {
    app.admin.get(&format!("/v1/tenant-erasures/{}", app.acme.id)).await.expect(200)
}

async fn until_erased(app: &App) -> Value {
    eventually("the tenant is erased", async || !receipt(app).await["completedAt"].is_null()).await;
    receipt(app).await
}

fn counted(rows: &BTreeMap<String, Vec<String>>) -> BTreeMap<&str, usize> {
    rows.iter().map(|(table, rows)| (table.as_str(), rows.len())).collect()
}

on_both! {
    async fn everything_goes_and_another_tenant_keeps_everything(app: App) {
        let (own, other) = tokio::join!(World::of(&app, &app.acme), World::of(&app, &app.rival));
        let run = own.kept("run").await;
        app.acme.owner.post(&format!("/v1/task-runs/{run}/replay"), json!({})).await;
        app.acme.owner.patch("/v1/tenant/retention", json!({ "runsDays": 30 })).await.expect(200);
        app.acme.owner.patch("/v1/tenant/sign-in", json!({ "requireSecondFactor": false })).await;
        execute(&app, FAMILY, &app.acme.id).await;
        execute(&app, MANY, &app.acme.id).await;
        let before = rows::of(&app, &app.acme.id).await;
        let filled = ERASED.iter().filter(|erased| before.get(erased.table).is_some_and(|rows| !rows.is_empty()));
        assert!(filled.count() > 20, "{:?}", counted(&before));

        close(&app).await;
        let rivals = rows::of(&app, &app.rival.id).await;
        app.erase_now(&app.acme.id).await;
        assert_eq!(app.admin.post(&format!("/v1/tenants/{}/reopen", app.acme.id), Value::Null).await.status / 100, 4);
        let receipt = until_erased(&app).await;
        assert!(receipt["removed"]["run_event"].as_i64() > Some(2500), "{receipt}");
        assert_eq!((&receipt["slug"], &receipt["removed"]["tenant"]), (&json!("acme"), &json!(1)));
        assert!(receipt["requestedBy"].as_str().unwrap().starts_with("user:"));

        let after = rows::of(&app, &app.acme.id).await;
        let left: Vec<_> = counted(&after).into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(left, [("audit_chain", 1)]);
        let mut still = rows::of(&app, &app.rival.id).await;
        // Counted and told a moment later.
        for written in ["run_usage", "notification", "api_key_usage", "approval"] {
            still.insert(written.to_owned(), rivals[written].clone());
        }
        assert_eq!(counted(&still), counted(&rivals));
        app.rival.owner.get(&format!("/v1/task-runs/{}", other.kept("run").await)).await.expect(200);
        assert_eq!(app.rival.owner.get("/v1/audit-logs/verify").await.expect(200)["intact"], true);
    }

    async fn nobody_gets_in_and_nobody_gets_the_name(app: App) {
        let key = app.acme.key(&app, &["*"]).await;
        close(&app).await;
        app.acme.owner.get("/v1/tenant").await.expect(200);
        app.erase_now(&app.acme.id).await;
        assert_eq!(app.acme.owner.get("/v1/tenant").await.status, 401);
        assert_eq!(key.get("/v1/agents").await.status, 401);
        until_erased(&app).await;
        let login = json!({ "email": app.acme.owner_email, "password": PASSWORD });
        assert_eq!(app.anyone().post("/v1/auth/login", login).await.problem(401), "wrong_credentials");
        let again = json!({ "name": "x", "slug": "acme", "owner": { "email": "new@example.com" } });
        assert_eq!(app.admin.post("/v1/tenants", again).await.problem(409), "slug_taken");
        let path = format!("/v1/tenants/{}", app.acme.id);
        assert_eq!(app.admin.get(&path).await.problem(404), "not_found");
    }

    async fn people_who_belong_elsewhere_stay_who_they_are(app: App) {
        let both = "both@example.com";
        let person = people::verified(&app, &app.acme.owner, both, "VIEWER").await;
        app.rival.owner.post("/v1/memberships", json!({ "email": both, "role": "VIEWER" })).await.expect(201);
        let mine = person.get("/v1/me/memberships").await.expect(200);
        let invited = mine["data"].as_array().unwrap().iter().find(|place| place["status"] == "INVITED").unwrap();
        person.post(&format!("/v1/me/memberships/{}/accept", invited["id"].as_str().unwrap()), Value::Null).await.expect(200);
        close(&app).await;
        app.erase_now(&app.acme.id).await;
        let receipt = until_erased(&app).await;
        assert_eq!(receipt["removed"]["app_user"], 1, "the owner, and nobody else: {receipt}");
        let person = people::sign_in(&app, both).await;
        assert_eq!(person.get("/v1/tenant").await.expect(200)["slug"], "rival");
        assert_eq!(person.get("/v1/me").await.expect(200)["email"], both);
    }

    async fn it_waits_for_its_time_and_several_nodes_do_it_once(app: App) {
        app.acme.agent("a", json!({})).await;
        close(&app).await;
        tenant_erasures::sweep(&app.core).await.unwrap();
        let path = format!("/v1/tenant-erasures/{}", app.acme.id);
        assert_eq!(app.admin.get(&path).await.problem(404), "not_found");
        app.acme.owner.get("/v1/agents").await.expect(200);
        let reopen = app.acme.owner.post("/v1/tenant/reopen", Value::Null);
        let (reopened, begun) = tokio::join!(reopen, async {
            let tx = app.core.db.system(Reason::Operations).begin().await.unwrap();
            let id: uuid::Uuid = app.acme.id.parse().unwrap();
            tx.execute("UPDATE tenant SET erase_at = closed_at WHERE id = $1", vec![id.into()]).await.unwrap();
            tx.commit().await.unwrap();
            let sweeps = (0..4).map(|_| tenant_erasures::sweep(&app.core));
            futures_util::future::join_all(sweeps).await
        });
        assert!(begun.iter().all(Result::is_ok), "{begun:?}");
        // Whichever came first, it is one of the two.
        if reopened.status == 200 {
            assert_eq!(app.admin.get(&path).await.problem(404), "not_found");
            assert_eq!(app.acme.owner.get("/v1/tenant").await.expect(200)["status"], "ACTIVE");
        } else {
            until_erased(&app).await;
        }
        let all = app.admin.get("/v1/tenant-erasures?isCompleted=false").await.expect(200);
        assert_eq!(all["data"], json!([]));
    }
}
