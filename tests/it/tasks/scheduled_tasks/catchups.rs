//! Times that nobody was there for, and times whose run cannot be.

use serde_json::json;
use service::db::Reason;

use super::{Stage, seconds};
use crate::support::App;

/// Suspends or resumes the tenant.
async fn set_status(app: &App, action: &str) {
    app.admin.post(&format!("/v1/tenants/{}/{action}", app.acme.id), json!({})).await.expect(200);
}

on_both! {
    manual;

    async fn missed_times_follow_catchup(app: App) {
        let stage = Stage::of(&app).await;
        let hourly = |catchup: &str, window: u32| {
            json!({ "recurrence": { "cron": "0 * * * *" }, "catchup": catchup, "catchupWindowSeconds": window, "overlap": "ALLOW" })
        };
        let none = stage.create("none", hourly("NONE", 86_400)).await;
        let last = stage.create("last", hourly("LAST", 86_400)).await;
        let all = stage.create("all", hourly("ALL", 86_400)).await;
        let near = stage.create("near", hourly("ALL", 7_200)).await;
        // Four hours at once: 17:46 to 21:46.
        app.core.clock.advance(seconds(4 * 3600));
        let missed = "SKIPPED MISSED";
        assert_eq!(stage.until(&none, 4).await, [missed, missed, missed, missed]);
        assert_eq!(stage.until(&last, 4).await, ["COALESCED", "COALESCED", "COALESCED", "STARTED"]);
        assert_eq!(stage.until(&all, 4).await, ["STARTED", "STARTED", "STARTED", "STARTED"]);
        let outside = "SKIPPED OUTSIDE_WINDOW";
        assert_eq!(stage.until(&near, 4).await, [outside, outside, "STARTED", "STARTED"]);
        assert!(stage.fires(&all).await.iter().all(|fire| fire["kind"] == "CATCHUP"));
    }

    // A day of seconds: few records, and none of the times is left out.
    async fn many_missed_times_share_a_record(app: App) {
        let stage = Stage::of(&app).await;
        let more = json!({ "recurrence": { "cron": "* * * * * *" }, "catchup": "NONE", "overlap": "SKIP" });
        let id = stage.create("secondly", more).await;
        let first = super::time(&stage.get(&id).await["nextDueAt"]);
        app.core.clock.advance(seconds(20_000));
        let until = app.core.clock.now();
        crate::support::eventually("all have come", async || super::time(&stage.get(&id).await["nextDueAt"]) > until).await;
        let sql = "SELECT SUM(instants) AS instants, COUNT(*) AS records FROM schedule_fire";
        let rows = app.core.db.system(Reason::Engine).query(sql, Vec::new()).await.unwrap();
        let (instants, records): (i64, i64) = (rows[0].try_get("", "instants").unwrap(), rows[0].try_get("", "records").unwrap());
        assert_eq!(instants, (until - first).num_seconds() + 1);
        assert!(records < 2_000, "{records}");
    }

    async fn a_run_that_cannot_be_leaves_its_reason(app: App) {
        let stage = Stage::of(&app).await;
        let every = json!({ "overlap": "ALLOW", "catchup": "NONE" });
        let id = stage.create("minutely", every.clone()).await;
        let mut typed = every.clone();
        typed["input"] = json!({ "a": "{{ schedule.nothing }}" });
        let broken = stage.create("broken", typed).await;
        set_status(&app, "suspend").await;
        app.core.clock.advance(seconds(60));
        assert_eq!(stage.until(&id, 1).await, ["SKIPPED TENANT_SUSPENDED"]);
        set_status(&app, "resume").await;
        let path = format!("/v1/task-definitions/{}", stage.definition);
        stage.owner.patch(&path, json!({ "isActive": false })).await.expect(200);
        app.core.clock.advance(seconds(60));
        assert_eq!(stage.until(&id, 2).await[1], "SKIPPED DEFINITION_INACTIVE");
        stage.owner.patch(&path, json!({ "isActive": true, "config": { "inputSchema": { "type": "object" } } })).await.expect(200);
        app.core.clock.advance(seconds(60));
        assert_eq!(stage.until(&id, 3).await[2], "SKIPPED INPUT_INVALID");
        assert_eq!(stage.until(&broken, 3).await[2], "SKIPPED INPUT_INVALID");
        let told = stage.fires(&broken).await.remove(2);
        assert!(told["detail"].as_str().unwrap().contains("nothing"), "{told}");
    }
}
