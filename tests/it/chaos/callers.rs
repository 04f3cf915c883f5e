//! The load: callers that create, cancel, retry and read runs through any node, and ask again when an answer is lost.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Stage;
use super::batches;
use super::dice::Dice;
use super::history::{Creation, Seen, Verb, Wish, id};
use super::targets::HAPPENED;
use crate::support::Answer;

/// A node that is stopped answers nobody.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);
/// Tries of a request whose `Idempotency-Key` makes one of many.
pub const TRIES: u32 = 200;
/// With so many live runs nobody creates another, so that the end can be waited for.
const MOST_LIVE: i64 = 60;

/// What an agent's user says behind the case's name.
const SCRIPTS: [&str; 5] = ["|charge|echo send", "|echo echo|charge", "|send", "|echo|charge|echo", ""];

pub struct Caller {
    pub stage: Arc<Stage>,
    pub number: usize,
    pub dice: Dice,
}

/// What a request carries.
#[derive(Clone, Copy)]
enum Body<'a> {
    None,
    Json(&'a Value),
    Lines(&'a str),
}

/// What was answered in the end.
pub struct Told {
    pub answer: Answer,
    /// An earlier try may have been granted: its answer was lost.
    pub is_in_doubt: bool,
}

impl Caller {
    /// Until it is told to stop; what was begun is ended.
    pub async fn call(self, stop: CancellationToken) {
        let mut count = 0;
        while !stop.is_cancelled() {
            if self.stage.watch.live() > MOST_LIVE {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            count += 1;
            let case = format!("c{}-{count}", self.number);
            match self.dice.below(100) {
                0..65 => self.create(&case).await,
                65..75 => self.wish(Verb::Cancel).await,
                75..85 => self.wish(Verb::Retry).await,
                85..87 => batches::start(&self, &case).await,
                87..92 => {
                    self.event(&json!({ "type": HAPPENED, "dedupeId": case, "data": { "case": case } })).await
                }
                _ => self.look().await,
            }
            tokio::time::sleep(Duration::from_millis(self.dice.below(60))).await;
        }
    }

    async fn create(&self, case: &str) {
        let (targets, dice) = (&self.stage.targets, &self.dice);
        let said = format!("{case}{}", dice.pick(&SCRIPTS).unwrap());
        let mut dedupe_key = None;
        let mut body = match dice.below(100) {
            0..35 => json!({ "agentId": targets.agent, "input": said }),
            35..50 => json!({ "agentId": targets.narrow, "input": said }),
            50..58 => json!({ "definitionId": targets.graph, "input": { "case": case, "items": [1, 2, 3] } }),
            58..68 => json!({ "definitionId": targets.remote, "input": { "case": case } }),
            68..80 => json!({ "definitionId": dice.pick(&targets.tools), "input": { "case": case } }),
            80..92 => {
                let customer = format!("customer {}", dice.below(2));
                json!({ "definitionId": targets.keyed, "input": { "case": case, "customer": customer } })
            }
            _ => return self.wait(case).await,
        };
        body["metadata"] = json!({ "case": case });
        match dice.below(100) {
            0..10 => {
                let key = format!("d{}", dice.below(3));
                body["dedupeKey"] = json!(key);
                dedupe_key = Some(key);
            }
            10..20 => {
                let at = self.stage.clock.after(Duration::from_millis(dice.below(3_000)));
                body["availableAt"] = json!(at);
            }
            _ => {}
        }
        let path = if dice.percent(20) { "/v1/task-runs?wait=2" } else { "/v1/task-runs" };
        let key = dice.percent(80).then(|| format!("create-{case}"));
        let place = self.begin(case, dedupe_key);
        let tries = if key.is_some() { TRIES } else { 1 };
        let Some(Told { answer, .. }) = self.post("create", path, key.as_deref(), &body, tries).await else {
            return;
        };
        match (answer.status, id(&answer.body)) {
            (201 | 202, Some(run)) => {
                self.stage.history.record().creations[place].acknowledged.push(run);
                self.stage.history.see(&answer.body);
                if key.is_some() && dice.percent(10) {
                    self.repeat(place, path, key.as_deref(), &body).await;
                }
                if dice.percent(30) {
                    self.follow(run).await;
                }
            }
            _ => self.wrong("create", &answer),
        }
    }

    /// A run that waits for an event, and the event, which may come first.
    async fn wait(&self, case: &str) {
        let body = json!({ "definitionId": self.stage.targets.waiting, "input": { "key": case },
            "metadata": { "case": case } });
        let place = self.begin(case, None);
        let key = format!("create-{case}");
        let Some(Told { answer, .. }) = self.post("create", "/v1/task-runs", Some(&key), &body, TRIES).await
        else {
            return;
        };
        match (answer.status, id(&answer.body)) {
            (201, Some(run)) => self.stage.history.record().creations[place].acknowledged.push(run),
            _ => return self.wrong("create", &answer),
        }
        tokio::time::sleep(Duration::from_millis(self.dice.below(400))).await;
        self.event(&json!({ "type": "chaos.key", "dedupeId": case, "correlationKey": case })).await;
    }

    /// Its dedupe id makes one of many.
    async fn event(&self, body: &Value) {
        let Some(Told { answer, .. }) = self.post("event", "/v1/events", None, body, TRIES).await else {
            return;
        };
        match answer.status {
            200..300 => {
                let event = body["dedupeId"].as_str().unwrap().to_owned();
                self.stage.history.record().events.push(event);
            }
            _ => self.wrong("event", &answer),
        }
    }

    fn begin(&self, case: &str, dedupe_key: Option<String>) -> usize {
        let mut record = self.stage.history.record();
        let creation = Creation { case: case.to_owned(), dedupe_key, acknowledged: Vec::new() };
        record.creations.push(creation);
        record.creations.len() - 1
    }

    /// Asks for what was acknowledged already.
    async fn repeat(&self, place: usize, path: &str, key: Option<&str>, body: &Value) {
        let Some(Told { answer, .. }) = self.post("repeat", path, key, body, TRIES).await else { return };
        match (answer.status, id(&answer.body)) {
            (201 | 202, Some(run)) => self.stage.history.record().creations[place].acknowledged.push(run),
            _ => self.wrong("repeat", &answer),
        }
    }

    /// Looks at a run for a while, or until it has ended.
    async fn follow(&self, run: Uuid) {
        for _ in 0..20 {
            if self.read(run).await.is_some_and(|view| view["completedAt"].is_string()) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&self) {
        let recent = self.stage.history.record().recent();
        if let Some(run) = self.dice.pick(&recent) {
            self.read(*run).await;
        }
    }

    /// A run that was acknowledged is there.
    async fn read(&self, run: Uuid) -> Option<Value> {
        let answer = self.send("GET", &format!("/v1/task-runs/{run}"), None, Body::None).await?;
        self.stage.history.count("get", &answer.status.to_string());
        match answer.status {
            200 => {
                self.stage.history.see(&answer.body);
                Some(answer.body)
            }
            500.. | 429 => None,
            _ => {
                self.wrong("get", &answer);
                None
            }
        }
    }

    async fn wish(&self, verb: Verb) {
        let runs = match verb {
            Verb::Cancel => self.stage.history.record().recent(),
            Verb::Retry => self.stage.history.record().retryable(),
        };
        let Some(run) = self.dice.pick(&runs).copied() else { return };
        let name = if verb == Verb::Cancel { "cancel" } else { "retry" };
        let path = format!("/v1/task-runs/{run}/{name}");
        let key = self.dice.percent(70).then(|| format!("{name}-{}", self.dice.below(u64::MAX)));
        let tries = if key.is_some() { TRIES } else { 1 };
        let granted = match self.post(name, &path, key.as_deref(), &json!({}), tries).await {
            None => None,
            Some(Told { answer, .. }) if [200, 202].contains(&answer.status) => {
                self.stage.history.see(&answer.body);
                Some(true)
            }
            Some(told) if told.answer.status == 409 => (!told.is_in_doubt).then_some(false),
            Some(told) => return self.wrong(name, &told.answer),
        };
        self.stage.history.record().wishes.push(Wish { run, verb, granted });
    }

    /// An answer that says what happened, asked for so often; more than once where asking again changes nothing.
    pub async fn post(
        &self,
        name: &str,
        path: &str,
        key: Option<&str>,
        body: &Value,
        tries: u32,
    ) -> Option<Told> {
        self.until_told(name, path, key, Body::Json(body), tries).await
    }

    /// JSON lines.
    pub async fn upload(&self, path: &str, lines: &str, tries: u32) -> Option<Told> {
        self.until_told("upload", path, None, Body::Lines(lines), tries).await
    }

    async fn until_told(
        &self,
        name: &str,
        path: &str,
        key: Option<&str>,
        body: Body<'_>,
        tries: u32,
    ) -> Option<Told> {
        let mut is_in_doubt = false;
        for _ in 0..tries {
            let answer = self.send("POST", path, key, body).await;
            let told = answer.as_ref().map_or("lost".to_owned(), |answer| answer.status.to_string());
            self.stage.history.count(name, &told);
            match answer {
                Some(answer) if answer.body["code"] == "idempotency_in_flight" => {}
                Some(answer) if answer.status < 500 && answer.status != 429 => {
                    return Some(Told { answer, is_in_doubt });
                }
                Some(answer) if answer.status == 429 => {}
                _ => is_in_doubt = true,
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    async fn send(&self, method: &str, path: &str, key: Option<&str>, body: Body<'_>) -> Option<Answer> {
        let client = self.stage.targets.owner.at(&self.stage.cluster.url(&self.dice));
        let mut request = client.request(method, path).timeout(PATIENCE);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request = match body {
            Body::None => request,
            Body::Json(body) => request.json(body),
            Body::Lines(lines) => request.header("content-type", "application/jsonl").body(lines.to_owned()),
        };
        client.attempt(request).await.ok()
    }

    pub fn wrong(&self, name: &str, answer: &Answer) {
        let told = format!("{name} was answered {}: {}", answer.status, answer.text);
        self.stage.history.record().wrong.push(told);
    }
}

/// No more runs of the schedule.
pub async fn pause_schedule(stage: Arc<Stage>, dice: Dice) {
    let path = format!("/v1/scheduled-tasks/{}/pause", stage.targets.schedule);
    let caller = Caller { stage, number: 0, dice };
    let told = caller.post("pause", &path, Some("pause"), &json!({}), TRIES).await.unwrap();
    let is_paused = told.answer.status < 300 || (told.answer.status == 409 && told.is_in_doubt);
    if !is_paused {
        caller.wrong("pause", &told.answer);
    }
}

/// Lets every ONCE call of unknown outcome be made again, for as long as runs wait.
pub async fn review(stage: Arc<Stage>, dice: Dice, stop: CancellationToken) {
    let caller = Caller { stage, number: 0, dice };
    while !stop.is_cancelled() {
        tokio::time::sleep(PAUSE * 4).await;
        let open = caller.send("GET", "/v1/approvals?status=PENDING&limit=100", None, Body::None).await;
        let Some(open) = open.filter(|answer| answer.status == 200) else { continue };
        for approval in open.body["data"].as_array().unwrap() {
            let path = format!("/v1/approvals/{}/decide", approval["id"].as_str().unwrap());
            let answer =
                caller.send("POST", &path, None, Body::Json(&json!({ "decision": "APPROVE" }))).await;
            let told = answer.map_or("lost".to_owned(), |answer| answer.status.to_string());
            caller.stage.history.count("decide", &told);
        }
    }
}

impl Seen {
    /// What may not change any more once a run has ended.
    pub fn essence(view: &Value) -> [&Value; 4] {
        [&view["status"], &view["output"], &view["completedAt"], &view["cost"]]
    }
}
