//! A worker's endpoint: it keeps what it is sent, and answers as it is told to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::Value;

use super::eventually;

/// What was posted to it.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Delivery {
    pub fn item(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Shared {
    status: AtomicU16,
    got: Mutex<Vec<Delivery>>,
}

pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
}

impl Receiver {
    /// It takes what comes.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/runs", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { status: AtomicU16::new(202), ..Shared::default() });
        let data = Data::from(shared.clone());
        let app = move || App::new().app_data(data.clone()).route("/runs", web::post().to(receive));
        tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
        Self { url, shared }
    }

    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    pub fn got(&self) -> Vec<Delivery> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Waits for so many in all.
    pub async fn until(&self, count: usize) -> Vec<Delivery> {
        eventually("deliveries come", async || self.got().len() >= count).await;
        self.got()
    }
}

async fn receive(request: HttpRequest, body: Bytes, shared: Data<Shared>) -> HttpResponse {
    let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    shared.got.lock().unwrap().push(Delivery { headers, body: body.to_vec() });
    HttpResponse::build(StatusCode::from_u16(shared.status.load(Ordering::SeqCst)).unwrap()).finish()
}
