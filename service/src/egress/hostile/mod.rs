//! Hostile networks: what must not be reached is not reached, and what answers badly does no harm.
//! Every test counts connections at a real listener; a control connection proves that it counts.

mod limits;
mod reach;
mod redirects;
pub(crate) mod server;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;

use super::resolver::Lookup;
use super::{Egress, EgressError, Method, Policy, Request, Url};
use crate::clock::Clock;
use server::{Reply, Server};

/// Answers in turn; the last answer repeats.
struct Names {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Lookup for Names {
    async fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 {
            return Ok(answers.pop_front().unwrap());
        }
        Ok(answers.front().cloned().unwrap_or_default())
    }
}

fn policy(open: &[String]) -> Policy {
    let connect_timeout = Duration::from_millis(300);
    Policy { allow_private_hosts: open.to_vec(), connect_timeout, ..Policy::default() }
}

fn egress(policy: Policy, names: Arc<Names>) -> Egress {
    Egress::with_lookup(policy, Clock::manual(DateTime::UNIX_EPOCH), names).unwrap()
}

/// A door whose names all are this machine.
pub(crate) fn loopback(open: &[String]) -> Egress {
    egress(policy(open), Names::new(&[&["127.0.0.1"]]))
}

fn get(url: &str) -> Request {
    Request::new(Method::GET, Url::parse(url).unwrap())
}

/// The error of a request that must fail.
async fn refusal(egress: &Egress, request: Request) -> EgressError {
    egress.send(request).await.err().unwrap()
}
