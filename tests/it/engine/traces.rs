//! Traces, as a collector gets them: what belongs together does, and nobody's words are in them.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use crate::support::process::Home;
use crate::support::{Backend, database, eventually, first_tenant};

const CANARY: &str = "canary-that-somebody-said-4b1f";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

type Spans = Arc<Mutex<Vec<Value>>>;

/// A collector; spans without its key are refused.
fn collector() -> (String, Spans) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let spans = Spans::default();
    let data = web::Data::from(spans.clone());
    let app = move || App::new().app_data(data.clone()).route("/v1/traces", web::post().to(take));
    tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
    (url, spans)
}

async fn take(
    spans: web::Data<Mutex<Vec<Value>>>,
    request: HttpRequest,
    body: web::Json<Value>,
) -> HttpResponse {
    if request.headers().get("x-key").is_none_or(|key| key != "k1") {
        return HttpResponse::Unauthorized().finish();
    }
    let scope = &body["resourceSpans"][0]["scopeSpans"][0];
    assert_eq!(body["resourceSpans"][0]["resource"]["attributes"][0]["value"]["stringValue"], "mc-test");
    spans.lock().unwrap().extend(scope["spans"].as_array().unwrap().clone());
    HttpResponse::Ok().json(json!({}))
}

fn attribute<'a>(span: &'a Value, name: &str) -> &'a Value {
    let all = span["attributes"].as_array().unwrap();
    all.iter().find(|attribute| attribute["key"] == name).map_or(&Value::Null, |found| &found["value"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_attempts_models_and_tools_have_spans() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(Backend::Sqlite, folder.path()).await,
        private_hosts: "127.0.0.1".to_owned(),
        lease_seconds: 30,
        concurrency: 4,
    };
    let (url, spans) = collector();
    let server = home
        .start_with(
            0,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
                ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k1"),
                ("OTEL_SERVICE_NAME", "mc-test"),
            ],
        )
        .await;
    let acme = first_tenant(&server.url).await;
    let agent = acme.agent("tools", json!({ "model": "mock/tools" })).await;
    let echo = acme.builtin("echo", "builtin/echo").await;
    acme.bind(&agent, &echo, json!({})).await;
    let run = acme.run(json!({ "agentId": agent, "input": { "said": CANARY } })).await;
    assert_eq!(run["status"], "COMPLETED", "{run}");
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let request = acme.owner.request("GET", "/v1/whoami").header("traceparent", &parent);
    acme.owner.send(request).await.expect(200);
    let missing = acme.owner.get("/v1/agents/00000000-0000-7000-8000-000000000000").await;
    assert_eq!(missing.status, 404);

    let named = |name: &str| -> Vec<Value> {
        spans.lock().unwrap().iter().filter(|span| span["name"] == name).cloned().collect()
    };
    eventually("the last request's span arrives", async || !named("get_agent").is_empty()).await;
    let attempt = named("attempt").remove(0);
    assert_eq!(attribute(&attempt, "run.id")["stringValue"], run["id"]);
    assert_eq!(attribute(&attempt, "run.outcome")["stringValue"], "completed");
    let models = named("model");
    assert_eq!(models.len(), 2);
    assert!(attribute(&models[0], "gen_ai.usage.input_tokens")["intValue"].is_string(), "{}", models[0]);
    for child in models.iter().chain(&named("tool")) {
        assert_eq!(
            (&child["traceId"], &child["parentSpanId"]),
            (&attempt["traceId"], &attempt["spanId"]),
            "{child}"
        );
    }
    assert_eq!(attribute(&named("tool")[0], "tool.name")["stringValue"], "echo");
    let whoami = named("get_whoami").remove(0);
    assert_eq!(
        (&whoami["traceId"], &whoami["parentSpanId"], &whoami["kind"]),
        (&json!(TRACE), &json!("00f067aa0ba902b7"), &json!(2))
    );
    let failed = named("get_agent").remove(0);
    assert_eq!(
        (&failed["status"]["code"], &attribute(&failed, "error.type")["stringValue"]),
        (&json!(2), &json!("not_found"))
    );
    assert!(!format!("{:?}", spans.lock().unwrap()).contains(CANARY));
}
