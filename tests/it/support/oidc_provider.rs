//! A real OpenID provider that others wrote: the npm package oidc-provider, which `tests/oidc/run` sets up and
//! starts.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use service::identity::accounts::OidcSettings;
use url::Url;

use super::oidc_server::{REDIRECT, settings};

const CLIENT: &str = "mission-control";
const SECRET: &str = "s3cret/+: %";

pub struct OidcProvider {
    child: Child,
    issuer: String,
}

impl OidcProvider {
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(Self::start_here).await.unwrap()
    }

    fn start_here() -> Self {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc/run");
        let mut command = Command::new(run);
        command.args([CLIENT, SECRET, REDIRECT]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().and_then(Result::ok).and_then(|line| line.parse::<u16>().ok());
        let port = port.expect("tests/oidc/run says what is missing");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, issuer: format!("http://127.0.0.1:{port}") }
    }

    pub fn settings(&self) -> OidcSettings {
        settings("example", &self.issuer, CLIENT, SECRET)
    }

    /// What this person brings back: a browser follows the redirects, with cookies, to our own address.
    pub async fn visit(&self, authorization_url: &str, who: &str) -> Value {
        let mut url: Url = authorization_url.parse().unwrap();
        url.query_pairs_mut().append_pair("login_hint", who);
        let browser = browser();
        let mut cookies = BTreeMap::<String, String>::new();
        for _ in 0..10 {
            let sent = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
            let answer = browser.get(url.clone()).header("cookie", sent.join("; ")).send().await.unwrap();
            for set in answer.headers().get_all("set-cookie") {
                let pair = set.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                cookies.insert(name.to_owned(), value.to_owned());
            }
            let status = answer.status();
            let location = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
            let Some(location) = location else { panic!("{status}: {}", answer.text().await.unwrap()) };
            url = url.join(&location).unwrap();
            if url.as_str().starts_with(REDIRECT) {
                return url.query_pairs().into_owned().map(|(name, value)| (name, json!(value))).collect();
            }
        }
        panic!("the redirects do not end: {url}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a browser is no part of the server")]
fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
