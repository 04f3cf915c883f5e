//! Schedules follow their definition and its workspace, and end where a restored copy begins.

use serde_json::{Value, json};
use service::backup::quarantine;

use super::{Stage, seconds, time};
use crate::support::eventually;

on_both! {
    manual;

    async fn a_scheduled_definition_owns_its_schedule(app: App) {
        let stage = Stage::of(&app).await;
        let tool = app.acme.builtin("mine", "builtin/echo").await;
        let trigger = json!({ "type": "SCHEDULE", "schedule": { "recurrence": { "cron": "0 * * * *" } } });
        let body = json!({ "name": "report", "type": "SCHEDULED", "toolId": tool, "trigger": trigger });
        let definition = stage.owner.post("/v1/task-definitions", body).await.expect(201);
        let path = format!("/v1/task-definitions/{}", definition["id"].as_str().unwrap());
        let list = format!("/v1/scheduled-tasks?definitionId={}", definition["id"].as_str().unwrap());
        let own = async || stage.owner.get(&list).await.expect(200)["data"].clone();
        let schedule = own().await[0].clone();
        let id = schedule["id"].as_str().unwrap().to_owned();
        assert_eq!((&schedule["name"], &schedule["isOwned"], &schedule["status"]), (&json!("report"), &json!(true), &json!("ACTIVE")));
        let mine = format!("/v1/scheduled-tasks/{id}");
        for change in [json!({ "overlap": "ALLOW" }), json!({ "name": "other" })] {
            assert_eq!(stage.owner.patch(&mine, change).await.problem(409), "owned_by_definition");
        }
        assert_eq!(stage.owner.delete(&mine).await.problem(409), "owned_by_definition");
        let trigger = json!({ "type": "SCHEDULE", "schedule": { "recurrence": { "cron": "30 * * * *" }, "input": { "a": 1 } } });
        stage.owner.patch(&path, json!({ "trigger": trigger, "name": "renamed" })).await.expect(200);
        let changed = stage.get(&id).await;
        assert_eq!((&changed["name"], &changed["input"]["a"]), (&json!("renamed"), &json!(1)));
        assert_eq!(time(&changed["nextDueAt"]).timestamp() % 3600, 1800);
        app.core.clock.advance(seconds(3600));
        assert_eq!(stage.until(&id, 1).await, ["STARTED"]);
        for (broken, pointer) in [
            (json!({ "trigger": { "type": "SCHEDULE" } }), "/trigger/schedule"),
            (json!({ "trigger": { "type": "MANUAL" } }), "/trigger/type"),
            (json!({ "type": "AUTOMATION" }), "/trigger/type"),
            (json!({ "trigger": { "type": "SCHEDULE", "schedule": { "recurrence": { "cron": "0 * * *" } } } }), "/trigger/schedule/recurrence/cron"),
        ] {
            let refused = stage.owner.patch(&path, broken).await;
            assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
            assert_eq!(refused.status, 422);
        }
        stage.owner.patch(&path, json!({ "type": "AUTOMATION", "trigger": { "type": "MANUAL" } })).await.expect(200);
        assert_eq!(own().await, json!([]));
        let trigger = json!({ "type": "SCHEDULE", "schedule": { "recurrence": { "cron": "0 * * * *" } } });
        stage.owner.patch(&path, json!({ "type": "SCHEDULED", "trigger": trigger })).await.expect(200);
        assert_eq!(own().await[0]["status"], "ACTIVE");
        assert_eq!(stage.owner.delete(&path).await.status, 204);
        assert_eq!(own().await, json!([]));
    }

    async fn a_deleted_definition_takes_its_schedules_along(app: App) {
        let stage = Stage::of(&app).await;
        let id = stage.create("minutely", json!({})).await;
        assert_eq!(stage.owner.delete(&format!("/v1/task-definitions/{}", stage.definition)).await.status, 204);
        assert_eq!(stage.owner.get(&format!("/v1/scheduled-tasks/{id}")).await.problem(404), "not_found");
        app.core.clock.advance(seconds(60));
        service::tasks::scheduled_tasks::round(&app.core).await.unwrap();
        assert_eq!(stage.shown(&id).await, Vec::<String>::new());
    }

    async fn archiving_pauses_and_moving_moves(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let workspace = owner.post("/v1/workspaces", json!({ "name": "Project" })).await.expect(201)["id"].clone();
        let workspace = workspace.as_str().unwrap();
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("placed", json!({ "toolId": tool, "workspaceId": workspace })).await;
        let stage = Stage { owner: owner.clone(), definition: definition.clone() };
        let id = stage.create("placed", json!({ "overlap": "ALLOW" })).await;
        let paused = stage.create("paused", json!({})).await;
        stage.post(&paused, "pause", json!({})).await;
        assert_eq!(stage.get(&id).await["workspaceId"], workspace);
        owner.post(&format!("/v1/workspaces/{workspace}/archive"), json!({})).await.expect(200);
        let view = stage.get(&id).await;
        assert_eq!((&view["status"], &view["statusReason"]), (&json!("PAUSED"), &json!("WORKSPACE_ARCHIVED")));
        app.core.clock.advance(seconds(120));
        service::tasks::scheduled_tasks::round(&app.core).await.unwrap();
        assert_eq!(stage.shown(&id).await, Vec::<String>::new());
        let refused = owner.post(&format!("/v1/scheduled-tasks/{id}/resume"), Value::Null).await;
        assert_eq!(refused.problem(409), "workspace_archived");
        owner.post(&format!("/v1/workspaces/{workspace}/unarchive"), json!({})).await.expect(200);
        assert_eq!(stage.get(&id).await["status"], "ACTIVE");
        assert_eq!(stage.get(&paused).await["status"], "PAUSED", "what people paused stays so");
        app.core.clock.advance(seconds(60));
        assert_eq!(stage.until(&id, 1).await, ["STARTED"]);
        owner.post(&format!("/v1/workspaces/{workspace}/release"), json!({ "definitionIds": [definition] })).await.expect(200);
        assert_eq!(stage.get(&id).await["workspaceId"], Value::Null);
        assert_eq!(stage.fires(&id).await[0]["workspaceId"], Value::Null);
    }

    async fn a_restored_copy_fires_nothing(app: App) {
        let stage = Stage::of(&app).await;
        let id = stage.create("minutely", json!({ "overlap": "ALLOW", "catchup": "ALL" })).await;
        let core = &app.core;
        quarantine::begin(&core.db, &core.clock, &core.ids).await.unwrap();
        core.quarantine.look(&core.db).await.unwrap();
        core.clock.advance(seconds(60));
        core.schedules.ring();
        // Whoever looks in spite of it would find it due.
        tokio::task::yield_now().await;
        assert_eq!(stage.shown(&id).await, Vec::<String>::new());
        assert!(quarantine::confirm(&core.db, &core.clock, &core.ids).await.unwrap());
        eventually("the copy is confirmed", async || !core.quarantine.is_on()).await;
        assert_eq!(stage.until(&id, 1).await, ["STARTED"]);
    }
}
