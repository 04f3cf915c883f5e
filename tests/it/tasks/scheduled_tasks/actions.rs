//! Run it now, run it later, make up for times of the past.

use serde_json::{Value, json};

use super::{Stage, seconds, time};
use crate::support::eventually;

on_both! {
    manual;

    async fn a_trigger_fires_whatever_the_status(app: App) {
        let stage = Stage::of(&app).await;
        let id = stage.create("minutely", json!({ "input": { "a": 1 } })).await;
        let due = stage.get(&id).await["nextDueAt"].clone();
        stage.post(&id, "pause", json!({})).await;
        let path = format!("/v1/scheduled-tasks/{id}/trigger");
        let fire = stage.owner.post_once(&path, "once", json!({ "input": { "b": 2 } })).await.expect(201);
        assert_eq!((&fire["status"], &fire["kind"]), (&json!("STARTED"), &json!("TRIGGER")));
        let again = stage.owner.post_once(&path, "once", json!({ "input": { "b": 2 } })).await.expect(201);
        assert_eq!(again, fire);
        let run = stage.run(&fire).await;
        assert_eq!(run["input"], json!({ "b": 2 }));
        assert!(run["createdBy"].as_str().unwrap().starts_with("api-key:"));
        stage.post(&id, "resume", json!({})).await;
        assert_eq!(stage.get(&id).await["nextDueAt"], due, "its times go on as they are");
        eventually("the run is over", async || stage.fires(&id).await[0]["runStatus"] == "COMPLETED").await;
        assert_eq!(stage.shown(&id).await.len(), 1);
        let wrong = stage.owner.patch(&format!("/v1/task-definitions/{}", stage.definition), json!({ "isActive": false })).await;
        wrong.expect(200);
        assert_eq!(stage.owner.post(&path, json!({})).await.problem(409), "definition_inactive");
        assert_eq!(stage.shown(&id).await.len(), 1, "who is told leaves no fire");
    }

    async fn a_trigger_follows_the_overlap(app: App) {
        let (stage, agent) = Stage::held(&app).await;
        let id = stage.create("yearly", json!({ "recurrence": { "cron": "0 0 1 1 *" }, "overlap": "SKIP" })).await;
        let trigger = async |body: Value| stage.post(&id, "trigger", body).await["status"].as_str().unwrap().to_owned();
        assert_eq!(trigger(json!({})).await, "STARTED");
        app.core.clock.advance(seconds(1));
        assert_eq!(trigger(json!({})).await, "SKIPPED");
        app.core.clock.advance(seconds(1));
        assert_eq!(trigger(json!({ "overlap": "ALLOW" })).await, "STARTED");
        app.core.clock.advance(seconds(1));
        assert_eq!(trigger(json!({ "overlap": "QUEUE_ONE" })).await, "PENDING");
        stage.owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        eventually("what waited has run", async || {
            stage.fires(&id).await.iter().filter(|fire| fire["runStatus"] == "COMPLETED").count() == 3
        })
        .await;
    }

    async fn a_triggered_schedule_runs_after_its_delay(app: App) {
        let stage = Stage::of(&app).await;
        let more = json!({ "scheduleType": "TRIGGER_BASED", "recurrence": null, "delaySeconds": 300, "overlap": "ALLOW" });
        let id = stage.create("later", more).await;
        assert_eq!(stage.get(&id).await["nextDueAt"], Value::Null);
        let fire = stage.post(&id, "trigger", json!({})).await;
        assert_eq!((&fire["status"], time(&fire["dueAt"])), (&json!("PENDING"), app.core.clock.now() + seconds(300)));
        app.core.clock.advance(seconds(299));
        service::tasks::scheduled_tasks::round(&app.core).await.unwrap();
        assert_eq!(stage.shown(&id).await, ["PENDING"]);
        app.core.clock.advance(seconds(1));
        eventually("it has started", async || stage.shown(&id).await == ["STARTED"]).await;
        assert_eq!(stage.get(&id).await["status"], "ACTIVE");
    }

    async fn a_backfill_makes_up_once(app: App) {
        let stage = Stage::of(&app).await;
        let now = app.core.clock.now();
        let id = stage.create("hourly", json!({ "recurrence": { "cron": "0 * * * *" }, "input": { "at": "{{ schedule.dueAt }}" } })).await;
        let span = json!({ "from": now - seconds(5 * 3600), "to": now });
        let path = format!("/v1/scheduled-tasks/{id}/backfill");
        let done = stage.owner.post(&path, span.clone()).await.expect(202);
        assert_eq!(done, json!({ "created": 5, "takenUp": 0, "left": 0 }));
        eventually("all have run", async || {
            stage.fires(&id).await.iter().filter(|fire| fire["runStatus"] == "COMPLETED").count() == 5
        })
        .await;
        let fires = stage.fires(&id).await;
        for pair in fires.windows(2) {
            let (first, second) = (stage.run(&pair[0]).await, stage.run(&pair[1]).await);
            assert!(time(&first["completedAt"]) <= time(&second["createdAt"]), "one after the other");
        }
        for fire in &fires {
            assert_eq!(fire["kind"], "BACKFILL");
            assert_eq!(time(&stage.run(fire).await["input"]["at"]), time(&fire["dueAt"]));
        }
        let again = stage.owner.post(&path, span).await.expect(202);
        assert_eq!(again, json!({ "created": 0, "takenUp": 0, "left": 5 }));
        let second = json!({ "recurrence": { "cron": "* * * * * *" } });
        let many = stage.create("secondly", second).await;
        let path = format!("/v1/scheduled-tasks/{many}/backfill");
        for (span, pointer) in [
            (json!({ "from": now - seconds(2_000), "to": now }), "/to"),
            (json!({ "from": now, "to": now + seconds(10) }), "/to"),
            (json!({ "from": now, "to": now - seconds(10) }), "/from"),
        ] {
            let refused = stage.owner.post(&path, span).await;
            assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
        }
    }

    async fn a_backfill_takes_up_what_was_skipped(app: App) {
        let stage = Stage::of(&app).await;
        let more = json!({ "recurrence": { "cron": "0 * * * *" }, "catchup": "NONE", "overlap": "ALLOW" });
        let id = stage.create("hourly", more).await;
        let from = app.core.clock.now();
        app.core.clock.advance(seconds(3 * 3600));
        assert_eq!(stage.until(&id, 3).await, ["SKIPPED MISSED"; 3]);
        let span = json!({ "from": from, "to": app.core.clock.now() });
        let done = stage.post(&id, "backfill", span).await;
        assert_eq!(done, json!({ "created": 0, "takenUp": 3, "left": 0 }));
        eventually("all have started", async || stage.shown(&id).await == ["STARTED"; 3]).await;
    }
}
