//! A real SMTP server that others wrote: aiosmtpd, which `tests/mail/run` sets up and starts.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use serde_json::Value;

pub struct SmtpServer {
    child: Child,
    pub port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl SmtpServer {
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(Self::start_here).await.unwrap()
    }

    fn start_here() -> Self {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("mail/run");
        let mut child = Command::new(run).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (port, ready): (_, Receiver<u16>) = channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let mails = taken.clone();
        std::thread::spawn(move || {
            let mut lines = lines.map_while(Result::ok);
            let _ = port.send(lines.next().and_then(|line| line.parse().ok()).unwrap_or(0));
            lines.for_each(|line| mails.lock().unwrap().push(serde_json::from_str(&line).unwrap()));
        });
        let port = ready.recv().unwrap();
        assert_ne!(port, 0, "tests/mail/run says what is missing");
        Self { child, port, taken }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The mails taken for this address.
    pub fn taken_for(&self, recipient: &str) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|mail| mail["recipients"][0] == recipient).cloned().collect()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
