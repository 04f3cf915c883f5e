//! A time that comes while a run of the schedule has not ended.

use serde_json::json;

use super::{Stage, seconds};
use crate::support::eventually;

on_both! {
    manual;

    async fn skip_queue_coalesce_and_allow(app: App) {
        let (stage, agent) = Stage::held(&app).await;
        let mut ids = Vec::new();
        for overlap in ["SKIP", "QUEUE_ONE", "QUEUE_ALL", "ALLOW"] {
            ids.push(stage.create(overlap, json!({ "overlap": overlap })).await);
        }
        for count in 1..=3 {
            app.core.clock.advance(seconds(60));
            for id in &ids {
                stage.until(id, count).await;
            }
        }
        assert_eq!(stage.shown(&ids[0]).await, ["STARTED", "SKIPPED OVERLAP", "SKIPPED OVERLAP"]);
        assert_eq!(stage.shown(&ids[1]).await, ["STARTED", "PENDING", "COALESCED"]);
        assert_eq!(stage.shown(&ids[2]).await, ["STARTED", "PENDING", "PENDING"]);
        assert_eq!(stage.shown(&ids[3]).await, ["STARTED", "STARTED", "STARTED"]);

        stage.owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        eventually("what waited has run", async || {
            let ended = async |id: &str| stage.fires(id).await.iter().filter(|fire| fire["runStatus"] == "COMPLETED").count();
            ended(&ids[1]).await == 2 && ended(&ids[2]).await == 3
        })
        .await;
        // One after the other.
        let fires = stage.fires(&ids[2]).await;
        for pair in fires.windows(2) {
            let (first, second) = (stage.run(&pair[0]).await, stage.run(&pair[1]).await);
            assert!(super::time(&first["completedAt"]) <= super::time(&second["createdAt"]));
        }
        app.core.clock.advance(seconds(60));
        assert_eq!(stage.until(&ids[0], 4).await[3], "STARTED", "a run that ended is in nobody's way");
    }

    async fn cancel_running_makes_room(app: App) {
        let (stage, agent) = Stage::held(&app).await;
        let id = stage.create("newest", json!({ "overlap": "CANCEL_RUNNING" })).await;
        app.core.clock.advance(seconds(60));
        stage.until(&id, 1).await;
        app.core.clock.advance(seconds(60));
        eventually("the second one has started", async || stage.shown(&id).await == ["STARTED", "STARTED"]).await;
        let fires = stage.fires(&id).await;
        let first = stage.run(&fires[0]).await;
        assert_eq!((&first["status"], &first["reason"]), (&json!("CANCELLED"), &json!("BY_POLICY")));
        let why = format!("/v1/task-runs/{}/explain", first["id"].as_str().unwrap());
        let why = stage.owner.get(&why).await.expect(200);
        assert_eq!(why["summary"], "Its schedule made room for its next time (overlap CANCEL_RUNNING).");
        stage.owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        eventually("the second one ends", async || stage.run(&fires[1]).await["status"] == "COMPLETED").await;
    }
}
