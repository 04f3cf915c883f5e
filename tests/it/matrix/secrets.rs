//! Canaries: secrets that are planted everywhere a secret goes, and looked for in everything that
//! comes out: answers, events, steps and the log.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use secrecy::SecretString;
use serde_json::{Value, json};
use service::core::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::support::oidc_server::{self, REDIRECT};
use crate::support::second_factors::{self, Authenticator};
use crate::support::{App, Backend, Client, PASSWORD, people};

/// Our own crates speak as loudly as they can; the database's statements are in it too.
const LOUDEST: &str = "service=trace,api=trace,entity=trace,sqlx=debug";
const MASTER_KEY: &str = "Y2FuYXJ5LW1hc3Rlci1rZXktb2YtMzItYnl0ZXMhISE=";
const PROVIDER_KEY: &str = "sk-canary-of-the-provider-7f3a";
/// Logged by the test itself, to prove that the log is looked through.
const PLANTED: &str = "canary-that-was-let-out-5e0c";
const TOOL_SECRET: &str = "canary-of-the-tool-91bc-4d";

/// What was logged by this process while somebody listened, the tests that ran beside included.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

static LISTENING: AtomicUsize = AtomicUsize::new(0);

/// Somebody listens while this lives.
struct Listening;

impl Listening {
    fn start() -> Self {
        LISTENING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if LISTENING.load(Ordering::SeqCst) > 0 {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn of_this_process() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new(LOUDEST))
                .with_ansi(false)
                .with_writer(move || writer.clone());
            subscriber.try_init().expect("no other test listens to the log");
            log
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// The secrets of one server, by name.
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    fn found_in(&self, text: &str) -> Vec<&'static str> {
        self.0.iter().filter(|(_, secret)| text.contains(secret)).map(|(name, _)| *name).collect()
    }
}

/// A model provider and web server that quotes what it was sent, and refuses the model.
async fn quoting_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 64 << 10];
            let read = socket.read(&mut bytes).await.unwrap();
            let head = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let (status, body) = match head.split(' ').nth(1) {
                Some("/tool") => (200, json!({ "youSent": head })),
                _ => (400, json!({ "error": { "message": format!("Bad key in {head}"), "code": "bad" } })),
            };
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\nx-request-id: {PROVIDER_KEY}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_comes_out_sqlite() {
    no_secret_comes_out(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_comes_out_postgres() {
    no_secret_comes_out(Backend::Postgres).await;
}

async fn no_secret_comes_out(backend: Backend) {
    let (log, _listening) = (Log::of_this_process(), Listening::start());
    let key = SecretString::from(MASTER_KEY);
    let app = App::start_with(backend, World::real(), |config| config.master_key = Some(key)).await;
    let owner = &app.acme.owner;
    let mut seen = Vec::new();

    // The places where a secret is shown, once: they prove the detector.
    let signed_in = json!({ "email": app.acme.owner_email, "password": PASSWORD });
    let tokens = app.anyone().post("/v1/auth/login", signed_in.clone()).await;
    let made = owner.post("/v1/api-keys", json!({ "name": "canary", "scopes": ["*"] })).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let member = "canary@example.com";
    let mailed = people::token(&app, owner, member, "reset-token").await;
    let second = people::verified(&app, owner, "second@example.com", "VIEWER").await;
    let begun = second.post("/v1/me/second-factor", json!({ "password": PASSWORD })).await;
    let authenticator = Authenticator::scan(&begun.body);
    let confirm = json!({ "code": authenticator.code(&app, 0) });
    let enabled = second.post("/v1/me/second-factor/confirm", confirm).await;
    let challenge = second_factors::challenge(&app, "second@example.com").await;
    let at_provider = json!({ "redirectUri": REDIRECT });
    let begun_there = app.anyone().post("/v1/auth/oidc/example/start", at_provider).await;
    let canaries = Canaries(vec![
        ("planted", PLANTED.to_owned()),
        ("password", PASSWORD.to_owned()),
        ("master key", MASTER_KEY.to_owned()),
        ("provider credential", PROVIDER_KEY.to_owned()),
        ("tool secret", TOOL_SECRET.to_owned()),
        ("API key", text(&made.body["key"])),
        ("access token", text(&tokens.body["accessToken"])),
        ("refresh token", text(&tokens.body["refreshToken"])),
        ("token in a mail", mailed.clone()),
        ("second factor", text(&begun.body["secret"])),
        ("recovery code", text(&enabled.body["recoveryCodes"][0])),
        ("challenge", challenge.clone()),
        ("state", text(&begun_there.body["state"])),
        ("secret at the provider", oidc_server::SECRET.to_owned()),
    ]);
    assert_eq!(canaries.found_in(&made.text), ["API key"]);
    assert_eq!(canaries.found_in(&tokens.text), ["access token", "refresh token"]);
    assert_eq!(canaries.found_in(&begun.text), ["second factor"]);
    assert_eq!(canaries.found_in(&enabled.text), ["recovery code"]);
    assert_eq!(canaries.found_in(&begun_there.text), ["state"]);

    // Every secret is used, well and badly.
    let by_key = app.anyone().with_key(&text(&made.body["key"]));
    let by_token = app.anyone().with_token(&text(&tokens.body["accessToken"]));
    let broken = format!("{}x", text(&made.body["key"]));
    for caller in [&by_key, &by_token, &app.anyone().with_key(&broken), &app.anyone().with_token(&broken)] {
        seen.push(caller.get("/v1/whoami").await.text);
        seen.push(caller.get("/v1/api-keys").await.text);
    }
    for body in [
        json!({ "email": "nobody@example.com", "password": PASSWORD }),
        json!({ "email": 1, "password": PASSWORD }),
        json!({ "email": "a@example.com", "password": PASSWORD, "more": PASSWORD }),
        json!({ "email": "a@example.com", "password": [PASSWORD] }),
    ] {
        seen.push(app.anyone().post("/v1/auth/login", body).await.text);
    }
    let refresh = json!({ "refreshToken": tokens.body["refreshToken"] });
    app.anyone().post("/v1/auth/refresh", refresh.clone()).await.expect(200);
    seen.push(app.anyone().post("/v1/auth/refresh", refresh).await.text);
    for (path, token) in [
        ("/v1/auth/magic-link/sign-in", json!(mailed)),
        ("/v1/auth/reset-password", json!([mailed])),
        ("/v1/auth/reset-password", json!(format!("{mailed}x"))),
        ("/v1/auth/reset-password", json!(mailed)),
        ("/v1/auth/reset-password", json!(mailed)),
    ] {
        let body = json!({ "token": token, "password": PASSWORD });
        let body = if path.ends_with("sign-in") { json!({ "token": token }) } else { body };
        seen.push(app.anyone().post(path, body).await.text);
    }
    for code in ["not a code", &authenticator.wrong(&app), &text(&enabled.body["recoveryCodes"][0])] {
        let answer = second_factors::complete(&app, &challenge, code).await;
        seen.extend((answer.status != 200).then_some(answer.text));
    }
    let forged =
        json!({ "code": "made up", "state": begun_there.body["state"], "iss": "https://evil.example" });
    seen.push(app.anyone().post("/v1/auth/oidc/example/callback", forged).await.text);
    seen.push(second.get("/v1/me/second-factor").await.text);
    seen.push(second.get("/v1/me/export").await.text);
    seen.push(app.admin.get("/v1/mails").await.text);
    seen.extend(use_credentials(&by_key).await);
    for path in [
        "/metrics",
        "/readyz",
        "/v1/api-keys",
        "/v1/memberships",
        "/v1/integrations",
        "/v1/task-runs",
        "/v1/audit-logs",
    ] {
        seen.push(owner.get(path).await.text);
    }

    for answer in &seen {
        assert_eq!(canaries.found_in(answer), [""; 0], "{answer}");
    }
    tracing::trace!(target: "service::runtime", "{PLANTED}");
    let logged = log.text();
    assert!(logged.contains("create_integration"), "the requests are in the log");
    assert_eq!(canaries.found_in(&logged), ["planted"], "in the log");
}

/// Sends both credentials to a server that quotes them; all that can be read about it afterwards.
async fn use_credentials(caller: &Client) -> Vec<String> {
    let server = quoting_server().await;
    let mut seen = Vec::new();
    let mut ids = Vec::new();
    for (name, kind, config, secret) in [
        ("models", "LLM_OPENAI_COMPATIBLE", json!({ "baseUrl": server }), PROVIDER_KEY),
        ("web", "GENERIC_HTTP", json!({ "allowedHosts": [server] }), TOOL_SECRET),
    ] {
        let body =
            json!({ "name": name, "type": kind, "config": config, "credentials": { "apiKey": secret } });
        let made = caller.post_once("/v1/integrations", name, body.clone()).await;
        assert_eq!(made.status, 201, "{}", made.text);
        ids.push(made.body["id"].clone());
        seen.push(made.text);
        // Replayed, taken, and not understood.
        seen.push(caller.post_once("/v1/integrations", name, body.clone()).await.text);
        seen.push(caller.post("/v1/integrations", body.clone()).await.text);
        let credentials = json!({ "credentials": { "apiKey": [secret], "more": secret } });
        let path = format!("/v1/integrations/{}", ids.last().unwrap().as_str().unwrap());
        seen.push(caller.patch(&path, credentials).await.text);
        seen.push(caller.get(&path).await.text);
    }
    let tested = format!("/v1/integrations/{}/test", ids[0].as_str().unwrap());
    let tested = caller.post(&tested, json!({})).await;
    assert_eq!(tested.body["integration"]["status"], "ERROR", "{}", tested.text);
    seen.push(tested.text);

    let secret = json!({ "header": "x-secret", "integrationId": ids[1] });
    let config = json!({ "method": "GET", "url": format!("{server}/tool"), "secrets": [secret] });
    let tool = json!({ "name": "quote", "description": "Quotes.", "type": "API", "config": config });
    let tool = caller.post("/v1/tools", tool).await.expect(201);
    let agent = json!({ "name": "a", "type": "TASK_RUNNER", "model": "some-model", "providerId": ids[0] });
    let agent = caller.post("/v1/agents", agent).await.expect(201);
    let definition = |target: &str, id: &Value| json!({ "name": target, "type": "AUTOMATION", target: id, "config": { "retry": { "maxAttempts": 1 } } });
    for (target, id, status) in [("toolId", &tool["id"], "COMPLETED"), ("agentId", &agent["id"], "FAILED")] {
        let made = caller.post("/v1/task-definitions", definition(target, id)).await.expect(201);
        let run =
            caller.post("/v1/task-runs?wait=30", json!({ "definitionId": made["id"], "input": {} })).await;
        assert_eq!(run.body["status"], status, "{}", run.text);
        let quoted = if status == "FAILED" { "Bad key in" } else { "x-secret" };
        assert!(run.text.contains(quoted), "what the server said is shown: {}", run.text);
        let path = format!("/v1/task-runs/{}", run.body["id"].as_str().unwrap());
        seen.push(run.text);
        for part in ["", "/events", "/steps"] {
            seen.push(caller.get(&format!("{path}{part}")).await.text);
        }
    }
    seen
}
