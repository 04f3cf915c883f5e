//! An HTTP/1.1 client that costs the machine little: prepared requests over one kept connection.
//! Bounded: an answer has at most [`MOST`] bytes and names its length.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;

const MOST: usize = 4 << 20;
const CHUNK: usize = 16 << 10;

/// The bytes of a request, made once and sent often.
#[derive(Clone)]
pub struct Request(Vec<u8>);

impl Request {
    /// `credential` is the value of `Authorization`, or empty.
    pub fn new(method: &str, path: &str, credential: &str, body: Option<&Value>) -> Self {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: load\r\n");
        if !credential.is_empty() {
            head += &format!("Authorization: {credential}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        Self(format!("{head}\r\n{body}").into_bytes())
    }
}

pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Answer<'_> {
    pub fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(self.body)?)
    }

    pub fn contains(&self, text: &str) -> bool {
        text.is_empty() || self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }

    pub fn unexpected(&self) -> String {
        let text: String = String::from_utf8_lossy(self.body).chars().take(500).collect();
        format!("an unexpected answer: {} {text}", self.status)
    }
}

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(CHUNK) })
    }

    pub async fn send(&mut self, request: &Request) -> Result<Answer<'_>> {
        self.stream.write_all(&request.0).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let (status, length) = parse(self.buffer.get(..head).unwrap_or_default())?;
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        Ok(Answer { status, body: self.buffer.get(head..head + length).unwrap_or_default() })
    }

    async fn more(&mut self) -> Result<()> {
        self.buffer.reserve(CHUNK);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        if read == 0 || self.buffer.len() > MOST {
            return Err(format!("the answer was cut off at {} bytes", self.buffer.len()).into());
        }
        Ok(())
    }
}

/// Status and body length of a response head.
fn parse(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status line")?.parse()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    match length {
        Some(length) => Ok((status, length?)),
        None if status == 204 => Ok((status, 0)),
        None => Err("an answer without Content-Length".into()),
    }
}
