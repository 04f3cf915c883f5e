//! A strict stand-in for a server of OpenAI's chat completions and of Anthropic's messages, and HTTP
//! endpoints for API tools.
//!
//! Invariant: a request that they would refuse is refused here too, and kept as a fault.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;

#[path = "../../../../service/src/runtime/models/anthropic/tests/validator.rs"]
mod anthropic_validator;
#[path = "../../../../service/src/runtime/models/openai/tests/validator.rs"]
mod openai_validator;

mod reply;

pub use reply::{ANSWER, CACHED, End, KEPT, PROMPT, Raw, Reply, chunk, frames, message_frames};

/// A request's conversation.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// What the user said first.
    pub said: String,
    /// How many answers the model gave before.
    pub turn: usize,
    pub messages: Vec<Value>,
    pub body: Value,
}

/// A call of an API tool's endpoint.
#[derive(Clone, Debug)]
pub struct Effect {
    pub path: String,
    pub key: String,
    pub body: Value,
}

impl Conversation {
    fn of(body: Value) -> Self {
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let said =
            messages.iter().find(|message| message["role"] == "user").map(|message| &message["content"]);
        // A text, or blocks of which the first is one.
        let said = said.and_then(|content| content.as_str().or_else(|| content[0]["text"].as_str()));
        Self {
            said: said.unwrap_or_default().to_owned(),
            turn: messages.iter().filter(|message| message["role"] == "assistant").count(),
            messages,
            body,
        }
    }
}

type Script = dyn Fn(&Conversation) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    asked: Mutex<Vec<Conversation>>,
    effects: Mutex<Vec<Effect>>,
    faults: Mutex<Vec<String>>,
    outcomes: Mutex<HashMap<String, VecDeque<Raw>>>,
    /// Counts everything that happens here: what a test waits for instead of time.
    moments: watch::Sender<u64>,
    released: watch::Sender<bool>,
}

pub struct ModelServer {
    pub url: String,
    /// `host:port`, for the egress's list of private hosts.
    pub host: String,
    shared: Arc<Shared>,
}

impl ModelServer {
    pub fn start(script: impl Fn(&Conversation) -> Reply + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: Mutex::default(),
            effects: Mutex::default(),
            faults: Mutex::default(),
            outcomes: Mutex::default(),
            moments: watch::channel(0).0,
            released: watch::channel(false).0,
        });
        let data = Data::from(shared.clone());
        let app = move || {
            App::new()
                .app_data(data.clone())
                .route("/v1/chat/completions", web::post().to(complete))
                .route("/v1/messages", web::post().to(messages))
                .route("/v1/models", web::get().to(models))
                .route("/effects/{name}", web::post().to(effect))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        tokio::spawn(server);
        Self { url: format!("http://{host}"), host, shared }
    }

    pub fn asked(&self) -> Vec<Conversation> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub fn effects(&self) -> Vec<Effect> {
        self.shared.effects.lock().unwrap().clone()
    }

    /// What the endpoint answers next, instead of `{"done":true}`.
    pub fn outcome(&self, name: &str, raw: Raw) {
        self.shared.outcomes.lock().unwrap().entry(name.to_owned()).or_default().push_back(raw);
    }

    /// Waits until so much has happened here.
    pub async fn until(&self, moments: u64) {
        self.moments().wait_for(|count| *count >= moments).await.unwrap();
    }

    /// What a strict server would have refused.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap().clone()
    }

    pub fn moments(&self) -> watch::Receiver<u64> {
        self.shared.moments.subscribe()
    }

    /// Lets held answers go on.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Shared {
    fn moment(&self) {
        self.moments.send_modify(|count| *count += 1);
    }
}

async fn complete(shared: Data<Shared>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let known = header(&request, "authorization") == "Bearer sk-test";
    answer(&shared, &request, &body, known, openai_validator::validate)
}

async fn messages(shared: Data<Shared>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let known =
        header(&request, "x-api-key") == "sk-test" && header(&request, "anthropic-version") == "2023-06-01";
    answer(&shared, &request, &body, known, anthropic_validator::validate)
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn answer(
    shared: &Data<Shared>,
    request: &HttpRequest,
    body: &Bytes,
    known: bool,
    validate: fn(&Value) -> Result<(), String>,
) -> HttpResponse {
    let refused = |why: String| {
        shared.faults.lock().unwrap().push(why.clone());
        HttpResponse::BadRequest().json(json!({"error": {"message": why, "type": "invalid_request_error"}}))
    };
    if !known || header(request, "content-type") != "application/json" {
        return refused("credential, version or content type".to_owned());
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return refused("no JSON".to_owned()) };
    if let Err(why) = validate(&body) {
        return refused(why);
    }
    let conversation = Conversation::of(body);
    shared.asked.lock().unwrap().push(conversation.clone());
    shared.moment();
    let (frames, held) = match (shared.script)(&conversation) {
        Reply::Frames(frames) => (frames, false),
        Reply::Held(frames) => (frames, true),
        Reply::Raw(raw) => return raw.answer(shared.released.subscribe()),
    };
    let shared = shared.clone().into_inner();
    let frames = stream::iter(frames.into_iter().enumerate()).then(move |(index, frame)| {
        let shared = shared.clone();
        async move {
            if index > 0 {
                shared.moment();
                let mut released = shared.released.subscribe();
                if held {
                    let _ = released.wait_for(|released| *released).await;
                }
            }
            Ok::<_, std::io::Error>(Bytes::from(format!("data: {frame}\n\n")))
        }
    });
    HttpResponse::Ok().content_type("text/event-stream").streaming(Box::pin(frames))
}

async fn models(shared: Data<Shared>) -> HttpResponse {
    shared.moment();
    HttpResponse::Ok().json(json!({ "object": "list", "data": [{ "id": "stand-in" }] }))
}

async fn effect(shared: Data<Shared>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let effect = Effect {
        path: request.match_info().get("name").unwrap_or_default().to_owned(),
        key: header(&request, "idempotency-key").to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let outcome = shared.outcomes.lock().unwrap().get_mut(&effect.path).and_then(VecDeque::pop_front);
    shared.effects.lock().unwrap().push(effect);
    shared.moment();
    match outcome {
        Some(raw) => raw.answer(shared.released.subscribe()),
        None => HttpResponse::Ok().json(json!({ "done": true })),
    }
}
