//! A listener that counts what reaches it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a request.
pub enum Reply {
    /// Writes and closes.
    Close(String),
    /// Writes and then says nothing more.
    Hold(String),
}

impl Reply {
    pub fn ok(body: &str) -> Self {
        Self::Close(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Close(format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"))
    }
}

pub struct Server {
    pub port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Listens on every address of the machine, IPv6 too where there is any. `answer` sees the
    /// request as text.
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (counted, seen, answer) = (Arc::clone(&connections), Arc::clone(&requests), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, Arc::clone(&seen), Arc::clone(&answer)));
            }
        });
        Self { port, connections, requests }
    }

    /// How many connections arrived before this call. A control connection makes sure that all
    /// of them were accepted and that the listener is alive: connections are accepted in order.
    pub async fn reached(&self) -> usize {
        let mut control = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        control.write_all(CONTROL.as_bytes()).await.unwrap();
        let mut answer = String::new();
        control.read_to_string(&mut answer).await.unwrap();
        self.connections.fetch_sub(1, Ordering::SeqCst) - 1
    }

    /// The requests so far, as text.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.at("127.0.0.1"))
    }
}

const CONTROL: &str = "CONTROL";

async fn serve(
    mut socket: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    answer: Arc<impl Fn(&str) -> Reply>,
) -> std::io::Result<()> {
    let mut request = String::new();
    while !complete(&request) {
        let mut buffer = [0; 4096];
        let count = socket.read(&mut buffer).await?;
        request.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if count == 0 || request == CONTROL {
            return Ok(());
        }
    }
    seen.lock().unwrap().push(request.clone());
    match answer(&request) {
        Reply::Close(text) => socket.write_all(text.as_bytes()).await,
        Reply::Hold(text) => {
            socket.write_all(text.as_bytes()).await?;
            socket.read_to_end(&mut Vec::new()).await.map(drop)
        }
    }
}

/// Head and declared body are there; a TLS greeting counts as a request.
fn complete(request: &str) -> bool {
    if request.starts_with('\u{16}') {
        return true;
    }
    request.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        body.len() >= length.map_or(0, |length| length.parse().unwrap())
    })
}
