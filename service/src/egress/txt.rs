//! TXT records (RFC 1035), asked of the name servers of this machine, which the operator trusts. The one
//! exchange of this door that is not HTTP: a datagram, or a connection where the answer is too long for
//! one; bounded in time, bytes and records.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::EgressError;
use crate::ids::Ids;

const PATIENCE: Duration = Duration::from_secs(3);
const MOST_SERVERS: usize = 3;
const LARGEST: usize = 16 << 10;
const MOST_RECORDS: u16 = 100;
const MOST_LABELS: usize = 128;
const TXT: u16 = 16;
const NO_SUCH_NAME: u16 = 3;

/// Of `resolv.conf`; this machine's own where it names none.
pub(super) fn system_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let servers: Vec<_> = named
        .filter_map(|rest| Some(SocketAddr::new(rest.trim().parse().ok()?, 53)))
        .take(MOST_SERVERS)
        .collect();
    if servers.is_empty() { vec![SocketAddr::from(([127, 0, 0, 1], 53))] } else { servers }
}

/// The texts of a name; none where there is no such name.
pub(super) async fn look_up(
    servers: &[SocketAddr],
    name: &str,
    ids: &Ids,
) -> Result<Vec<String>, EgressError> {
    let unresolved = || EgressError::Resolve { host: name.to_owned() };
    let mut id = [0; 2];
    ids.fill(&mut id);
    let query = query(id, name).ok_or_else(unresolved)?;
    for server in servers {
        if let Ok(Some(texts)) = timeout(PATIENCE, ask(*server, &query)).await {
            return Ok(texts);
        }
    }
    Err(unresolved())
}

async fn ask(server: SocketAddr, query: &[u8]) -> Option<Vec<String>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(query).await.ok()?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        match read(query, &buffer[..length]) {
            Read::Texts(texts) => return Some(texts),
            Read::Cut => return ask_at_length(server, query).await,
            Read::Failed => return None,
            // Somebody else's datagram.
            Read::Other => {}
        }
    }
}

async fn ask_at_length(server: SocketAddr, query: &[u8]) -> Option<Vec<String>> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    let length = u16::try_from(query.len()).ok()?;
    stream.write_all(&[length.to_be_bytes().as_slice(), query].concat()).await.ok()?;
    let length = usize::from(stream.read_u16().await.ok()?);
    if length > LARGEST {
        return None;
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.ok()?;
    match read(query, &answer) {
        Read::Texts(texts) => Some(texts),
        Read::Cut | Read::Failed | Read::Other => None,
    }
}

/// A question for the TXT records of a name, recursion desired.
fn query(id: [u8; 2], name: &str) -> Option<Vec<u8>> {
    let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        query.push(length);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 16, 0, 1]);
    (name.len() <= 253).then_some(query)
}

enum Read {
    Texts(Vec<String>),
    /// Too long for a datagram.
    Cut,
    Failed,
    /// No answer to this question.
    Other,
}

fn read(query: &[u8], answer: &[u8]) -> Read {
    let is_ours = answer.len() >= query.len()
        && answer[..2] == query[..2]
        && answer[2] & 0x80 != 0
        && answer[12..query.len()].eq_ignore_ascii_case(&query[12..]);
    if !is_ours {
        return Read::Other;
    }
    let flags = u16::from_be_bytes([answer[2], answer[3]]);
    match flags & 0x0f {
        _ if flags & 0x0200 != 0 => Read::Cut,
        0 => records(answer, query.len()).map_or(Read::Failed, Read::Texts),
        NO_SUCH_NAME => Read::Texts(Vec::new()),
        _ => Read::Failed,
    }
}

fn records(answer: &[u8], mut at: usize) -> Option<Vec<String>> {
    let count = u16::from_be_bytes([*answer.get(6)?, *answer.get(7)?]);
    let mut texts = Vec::new();
    for _ in 0..count.min(MOST_RECORDS) {
        at = behind_name(answer, at)?;
        let head = answer.get(at..at + 10)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
        let data = answer.get(at + 10..at + 10 + length)?;
        if kind == TXT {
            texts.push(text(data)?);
        }
        at += 10 + length;
    }
    Some(texts)
}

fn behind_name(answer: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..MOST_LABELS {
        match *answer.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
    None
}

/// The strings of one record, put together.
fn text(mut data: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    while let Some((length, rest)) = data.split_first() {
        let (part, rest) = rest.split_at_checked(usize::from(*length))?;
        text.extend_from_slice(part);
        data = rest;
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(query: &[u8], flags: [u8; 2], records: &[&[u8]]) -> Vec<u8> {
        let mut answer = query.to_vec();
        answer[2..4].copy_from_slice(&flags);
        answer[7] = u8::try_from(records.len()).unwrap();
        for data in records {
            let length = u16::try_from(data.len()).unwrap().to_be_bytes();
            answer.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, length[0], length[1]]);
            answer.extend_from_slice(data);
        }
        answer
    }

    #[test]
    fn texts_are_read() {
        let query = query([1, 2], "_mission-control.example.com").unwrap();
        let good = answer(&query, [0x81, 0x80], &[b"\x03abc\x02de", b"\x01x"]);
        assert!(matches!(read(&query, &good), Read::Texts(texts) if texts == ["abcde", "x"]));
        assert!(
            matches!(read(&query, &answer(&query, [0x81, 0x83], &[])), Read::Texts(texts) if texts.is_empty())
        );
        assert!(matches!(read(&query, &answer(&query, [0x83, 0x80], &[])), Read::Cut));
        assert!(matches!(read(&query, &answer(&query, [0x81, 0x82], &[])), Read::Failed));
    }

    #[test]
    fn what_is_cut_forged_or_endless_is_not_taken() {
        let query = query([1, 2], "example.com").unwrap();
        let good = answer(&query, [0x81, 0x80], &[b"\x03abc"]);
        for length in 0..good.len() {
            assert!(
                !matches!(read(&query, &good[..length]), Read::Texts(texts) if !texts.is_empty()),
                "{length}"
            );
        }
        let mut other = good.clone();
        other[0] = 9;
        assert!(matches!(read(&query, &other), Read::Other));
        let mut question = good.clone();
        question[13] = b'x';
        assert!(matches!(read(&query, &question), Read::Other));
        assert!(matches!(read(&query, &query), Read::Other), "a question is no answer");
        let mut lying = good;
        let end = lying.len() - 4;
        lying[end] = 200;
        assert!(matches!(read(&query, &lying), Read::Failed));
        for bad in ["", "a..b", &"x".repeat(64), &"a.".repeat(200)] {
            assert!(super::query([0, 0], bad).is_none(), "{bad}");
        }
    }
}
