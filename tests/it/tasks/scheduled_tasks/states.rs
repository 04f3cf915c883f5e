//! Paused by people or by its failures, resumed, completed, deleted.

use serde_json::{Value, json};

use super::{Stage, seconds, time};
use crate::support::eventually;

on_both! {
    manual;

    async fn a_paused_schedule_is_not_due(app: App) {
        let stage = Stage::of(&app).await;
        let id = stage.create("minutely", json!({ "overlap": "ALLOW" })).await;
        let paused = stage.post(&id, "pause", json!({ "reason": "Maintenance." })).await;
        assert_eq!(paused["status"], "PAUSED");
        assert_eq!((&paused["statusReason"], &paused["statusNote"]), (&json!("BY_USER"), &json!("Maintenance.")));
        assert_eq!(paused["nextDueAt"], Value::Null);
        let again = stage.owner.post(&format!("/v1/scheduled-tasks/{id}/pause"), json!({})).await;
        assert_eq!(again.problem(409), "invalid_transition");
        app.core.clock.advance(seconds(600));
        service::tasks::scheduled_tasks::round(&app.core).await.unwrap();
        assert_eq!(stage.shown(&id).await, Vec::<String>::new());
        let resumed = stage.post(&id, "resume", json!({})).await;
        assert!(time(&resumed["nextDueAt"]) > app.core.clock.now());
        assert_eq!((&resumed["statusReason"], &resumed["statusNote"]), (&Value::Null, &Value::Null));
        app.core.clock.advance(seconds(60));
        assert_eq!(stage.until(&id, 1).await, ["STARTED"]);
    }

    async fn failures_in_a_row_pause_it(app: App) {
        let stage = Stage::of(&app).await;
        let tool = app.acme.builtin("other", "builtin/echo").await;
        let config = json!({ "outputSchema": { "type": "object", "required": ["good"] }, "retry": { "maxAttempts": 1 } });
        let definition = app.acme.definition("failing", json!({ "toolId": tool, "config": config })).await;
        let more = json!({ "definitionId": definition, "input": { "bad": 1 }, "maxRetries": 1 });
        let id = stage.create("failing", more).await;
        let run = async |count: usize, input: Value| {
            stage.owner.patch(&format!("/v1/scheduled-tasks/{id}"), json!({ "input": input })).await.expect(200);
            app.core.clock.advance(seconds(60));
            stage.until(&id, count).await;
            eventually("its end is noted", async || !stage.fires(&id).await[count - 1]["runStatus"].is_null()).await;
            stage.get(&id).await
        };
        let once = run(1, json!({ "bad": 1 })).await;
        assert_eq!((&once["status"], &once["retryCount"]), (&json!("ACTIVE"), &json!(1)));
        let good = run(2, json!({ "good": 1 })).await;
        assert_eq!((&good["status"], &good["retryCount"]), (&json!("ACTIVE"), &json!(0)), "a success starts anew");
        run(3, json!({ "bad": 1 })).await;
        let twice = run(4, json!({ "bad": 1 })).await;
        assert_eq!((&twice["status"], &twice["statusReason"], &twice["retryCount"]), (&json!("PAUSED"), &json!("FAILURES"), &json!(2)));
        let told = stage.owner.get("/v1/audit-logs?action=pause_scheduled_task").await.expect(200);
        assert_eq!((&told["data"][0]["actor"], &told["data"][0]["resourceId"]), (&json!("system"), &json!(id)));
        let resumed = stage.post(&id, "resume", json!({})).await;
        assert_eq!((&resumed["status"], &resumed["retryCount"]), (&json!("ACTIVE"), &json!(0)));
    }

    async fn one_time_is_over_after_it(app: App) {
        let stage = Stage::of(&app).await;
        let at = app.core.clock.now() + seconds(30);
        let more = json!({ "scheduleType": "ONE_TIME", "recurrence": null, "runAt": at });
        let id = stage.create("once", more).await;
        app.core.clock.advance(seconds(30));
        assert_eq!(stage.until(&id, 1).await, ["STARTED"]);
        assert_eq!(stage.get(&id).await["status"], "COMPLETED");
        let past = json!({ "name": "past", "definitionId": stage.definition, "scheduleType": "ONE_TIME", "runAt": at });
        let refused = stage.owner.post("/v1/scheduled-tasks", past).await;
        assert_eq!(refused.body["errors"][0]["pointer"], "/runAt", "{}", refused.text);
        let later = json!({ "runAt": app.core.clock.now() + seconds(60) });
        let moved = stage.owner.patch(&format!("/v1/scheduled-tasks/{id}"), later).await.expect(200);
        assert_eq!(moved["status"], "ACTIVE");
        app.core.clock.advance(seconds(60));
        assert_eq!(stage.until(&id, 2).await, ["STARTED", "STARTED"]);
    }

    async fn what_waits_for_a_deleted_schedule_is_skipped(app: App) {
        let (stage, _) = Stage::held(&app).await;
        let id = stage.create("queued", json!({ "overlap": "QUEUE_ALL" })).await;
        app.core.clock.advance(seconds(60));
        stage.until(&id, 1).await;
        app.core.clock.advance(seconds(60));
        stage.until(&id, 2).await;
        let deleted = stage.owner.delete(&format!("/v1/scheduled-tasks/{id}")).await;
        assert_eq!(deleted.status, 204);
        assert_eq!(stage.shown(&id).await, ["STARTED", "SKIPPED SCHEDULE_DELETED"]);
        assert_eq!(stage.owner.get(&format!("/v1/scheduled-tasks/{id}")).await.problem(404), "not_found");
        stage.create("queued", json!({})).await;
    }
}
