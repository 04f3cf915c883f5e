//! Schedules, by a clock that the test moves: each time has one fire that says what came of it.

mod actions;
mod belonging;
mod catchups;
mod herd;
mod nodes;
mod overlaps;
mod states;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::support::{App, Client, eventually};

/// A tenant's schedules over one definition, which calls a tool that answers with its input.
pub struct Stage {
    pub owner: Client,
    pub definition: String,
}

impl Stage {
    pub async fn of(app: &App) -> Self {
        let owner = app.acme.key(app, &["*"]).await;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("echo", json!({ "toolId": tool })).await;
        Self { owner, definition }
    }

    /// Over an agent that is paused, so that runs stay until it is resumed.
    pub async fn held(app: &App) -> (Self, String) {
        let owner = app.acme.key(app, &["*"]).await;
        let agent = app.acme.agent("held", json!({})).await;
        owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        let definition = app.acme.definition("held", json!({ "agentId": agent })).await;
        (Self { owner, definition }, agent)
    }

    pub async fn create(&self, name: &str, more: Value) -> String {
        let mut body =
            json!({ "name": name, "definitionId": self.definition, "recurrence": { "cron": "* * * * *" } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.owner.post("/v1/scheduled-tasks", body).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    pub async fn get(&self, id: &str) -> Value {
        self.owner.get(&format!("/v1/scheduled-tasks/{id}")).await.expect(200)
    }

    /// Its fires in the order of their times.
    pub async fn fires(&self, id: &str) -> Vec<Value> {
        let path = format!("/v1/schedule-fires?scheduledTaskId={id}&limit=200");
        let page = self.owner.get(&path).await.expect(200);
        let mut fires = page["data"].as_array().unwrap().clone();
        fires.sort_by_key(|fire| fire["dueAt"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap());
        fires
    }

    /// Once it has so many fires, what they are.
    pub async fn until(&self, id: &str, count: usize) -> Vec<String> {
        eventually("fires", async || self.fires(id).await.len() >= count).await;
        self.shown(id).await
    }

    /// Each fire as `STARTED`, `SKIPPED OVERLAP` and so on.
    pub async fn shown(&self, id: &str) -> Vec<String> {
        let show = |fire: &Value| {
            let reason = fire["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
            format!("{}{reason}", fire["status"].as_str().unwrap())
        };
        self.fires(id).await.iter().map(show).collect()
    }

    pub async fn post(&self, id: &str, action: &str, body: Value) -> Value {
        let answer = self.owner.post(&format!("/v1/scheduled-tasks/{id}/{action}"), body).await;
        assert!((200..300).contains(&answer.status), "{action}: {}", answer.text);
        answer.body
    }

    pub async fn run(&self, fire: &Value) -> Value {
        self.owner.get(&format!("/v1/task-runs/{}", fire["runId"].as_str().unwrap())).await.expect(200)
    }
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

on_both! {
    manual;

    async fn a_due_time_starts_one_run_that_knows_its_time(app: App) {
        let stage = Stage::of(&app).await;
        let input = json!({ "at": "{{ schedule.dueAt }}", "of": "{{ schedule.name }}", "n": 1 });
        let id = stage.create("minutely", json!({ "input": input, "overlap": "ALLOW" })).await;
        let before = stage.get(&id).await;
        assert_eq!((&before["status"], &before["lastDueAt"]), (&json!("ACTIVE"), &Value::Null));
        let first = time(&before["nextDueAt"]);
        assert_eq!((first.timestamp() % 60, first > app.core.clock.now()), (0, true));
        app.core.clock.advance(seconds(60));
        assert_eq!(stage.until(&id, 1).await, ["STARTED"]);
        let fire = stage.fires(&id).await.remove(0);
        assert_eq!((time(&fire["dueAt"]), &fire["kind"]), (first, &json!("DUE")));
        let run = stage.run(&fire).await;
        assert_eq!((time(&run["input"]["at"]), &run["input"]["of"], &run["input"]["n"]), (first, &json!("minutely"), &json!(1)));
        assert_eq!(run["createdBy"], json!(format!("schedule:{id}")));
        assert_eq!(run["metadata"]["scheduledTaskId"], json!(id));
        assert_eq!(run["metadata"]["scheduleFireId"], fire["id"]);
        let after = stage.get(&id).await;
        assert_eq!((time(&after["nextDueAt"]), time(&after["lastDueAt"])), (first + seconds(60), first));
        assert_eq!(after["revision"], before["revision"], "firing changes nothing that people wrote");
        eventually("its end is noted", async || stage.fires(&id).await[0]["runStatus"] == "COMPLETED").await;
        app.core.clock.advance(seconds(60));
        stage.until(&id, 2).await;
        let by_run = stage.owner.get(&format!("/v1/schedule-fires?runId={}", run["id"].as_str().unwrap())).await.expect(200);
        assert_eq!(by_run["data"][0]["id"], fire["id"]);
        let others = app.rival.key(&app, &["*"]).await;
        assert_eq!(others.get("/v1/schedule-fires").await.expect(200)["data"], json!([]));
    }

    async fn jitter_puts_off_and_an_interval_counts_from_its_start(app: App) {
        let stage = Stage::of(&app).await;
        let start = app.core.clock.now() + seconds(90);
        let recurrence = json!({ "intervalSeconds": 3600 });
        let more = json!({ "recurrence": recurrence, "startsAt": start, "input": {}, "jitterSeconds": 600, "endsAt": start + seconds(3600) });
        let id = stage.create("hourly", more).await;
        let view = stage.get(&id).await;
        assert_eq!(time(&view["nextDueAt"]), start);
        let late = time(&view["nextFireAt"]) - start;
        assert!(late >= chrono::TimeDelta::zero() && late <= chrono::TimeDelta::seconds(600), "{late}");
        app.core.clock.advance(seconds(90) + late.to_std().unwrap() - Duration::from_millis(1));
        service::tasks::scheduled_tasks::round(&app.core).await.unwrap();
        assert_eq!(stage.shown(&id).await, Vec::<String>::new());
        app.core.clock.advance(Duration::from_millis(1));
        stage.until(&id, 1).await;
        eventually("the run ends", async || stage.fires(&id).await[0]["runStatus"] == "COMPLETED").await;
        let view = stage.get(&id).await;
        assert_eq!(time(&view["nextFireAt"]) - time(&view["nextDueAt"]), late);
        app.core.clock.advance(seconds(3600));
        assert_eq!(stage.until(&id, 2).await, ["STARTED", "STARTED"]);
        let view = stage.get(&id).await;
        assert_eq!((&view["status"], &view["nextDueAt"]), (&json!("COMPLETED"), &Value::Null), "its end has come");
    }

    async fn previews_show_local_times(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let query = "cron=30%202%20*%20*%20*&timeZone=Europe/Berlin&after=2026-03-28T00:00:00Z&count=2";
        let shown = owner.get(&format!("/v1/recurrences/preview?{query}")).await.expect(200);
        let at = |n: usize| (time(&shown["occurrences"][n]["dueAt"]), shown["occurrences"][n]["localTime"].as_str().unwrap().to_owned());
        assert_eq!(at(0), ("2026-03-28T01:30:00Z".parse().unwrap(), "2026-03-28T02:30:00+01:00".to_owned()));
        assert_eq!(at(1), ("2026-03-29T01:00:00Z".parse().unwrap(), "2026-03-29T03:00:00+02:00".to_owned()));
        for (query, pointer) in [
            ("cron=30%2099%20*%20*%20*", "cron"),
            ("cron=0%200%2030%202%20*", "cron"),
            ("intervalSeconds=5&timeZone=Nowhere", "timeZone"),
            ("timeZone=UTC", "cron"),
        ] {
            let refused = owner.get(&format!("/v1/recurrences/preview?{query}")).await;
            assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
            assert_eq!(refused.problem(422), "invalid");
        }
        let stage = Stage::of(&app).await;
        let id = stage.create("minutely", json!({})).await;
        let own = stage.owner.get(&format!("/v1/scheduled-tasks/{id}/preview?count=3")).await.expect(200);
        let view = stage.get(&id).await;
        assert_eq!(own["occurrences"][0]["dueAt"], view["nextDueAt"]);
        assert_eq!(own["occurrences"].as_array().unwrap().len(), 3);
    }
}
