//! A name server that knows the TXT records it is told. Answers of more than one record do not fit its
//! datagrams: they are asked for over TCP.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, OnceLock};

type Zone = Arc<Mutex<HashMap<String, Vec<String>>>>;

pub struct NameServer {
    pub address: SocketAddr,
    zone: Zone,
}

impl NameServer {
    /// One for all tests of the process: their names differ.
    pub fn of_this_process() -> &'static Self {
        static SERVER: OnceLock<NameServer> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn start() -> Self {
        let (socket, listener) = sockets();
        let address = socket.local_addr().unwrap();
        let zone = Zone::default();
        let known = zone.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let answer = answer(&known, &buffer[..length], true);
                let _ = socket.send_to(&answer, from);
            }
        });
        let known = zone.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).unwrap();
                let answer = answer(&known, &query, false);
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                stream.write_all(&[length.as_slice(), answer.as_slice()].concat()).unwrap();
            }
        });
        Self { address, zone }
    }

    pub fn put(&self, name: &str, texts: &[&str]) {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.zone.lock().unwrap().insert(name.to_owned(), texts);
    }
}

/// Both kinds at one port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            return (socket, listener);
        }
    }
}

fn answer(zone: &Zone, query: &[u8], is_datagram: bool) -> Vec<u8> {
    let mut name = String::new();
    let mut at = 12;
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        name += std::str::from_utf8(&query[at + 1..end]).unwrap();
        name.push('.');
        at = end;
    }
    let texts = zone.lock().unwrap().get(name.trim_end_matches('.')).cloned();
    let is_cut = is_datagram && texts.as_ref().is_some_and(|texts| texts.len() > 1);
    let mut answer = query.to_vec();
    answer[2] = if is_cut { 0x83 } else { 0x81 };
    answer[3] = if texts.is_some() { 0x80 } else { 0x83 };
    if is_cut {
        return answer;
    }
    let texts = texts.unwrap_or_default();
    answer[7] = u8::try_from(texts.len()).unwrap();
    for text in texts {
        let length = u8::try_from(text.len()).unwrap();
        answer.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, length + 1, length]);
        answer.extend_from_slice(text.as_bytes());
    }
    answer
}
