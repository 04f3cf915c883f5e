//! A server as people reach it from a terminal: over the public API, with a key of theirs.

use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use super::Failure;

const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Args)]
pub struct Remote {
    /// The server's address.
    #[arg(long, env = "MC_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// An API key that may read task runs, and for `top` workers and batches; better in the environment than on the command line.
    #[arg(long = "key", env = "MC_API_KEY", hide_env_values = true)]
    key: SecretString,
}

/// Why a request was not answered.
#[derive(Debug)]
pub enum Trouble {
    /// It may be answered later: the server restarts, or is busy.
    Passing(String),
    /// It will not be.
    Final(String),
    /// The key may not ask this, or it is gone.
    Denied(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passing(text) | Self::Final(text) | Self::Denied(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Trouble {}

pub struct Connection {
    http: reqwest::Client,
    base: String,
    key: SecretString,
}

impl Remote {
    pub fn connect(self) -> Result<Connection, Failure> {
        #[expect(clippy::disallowed_methods, reason = "a person at a terminal names the server")]
        let http = reqwest::Client::builder().connect_timeout(TIMEOUT).build()?;
        let base = self.url.as_str().trim_end_matches('/').to_owned();
        Ok(Connection { http, base, key: self.key })
    }
}

impl Connection {
    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).header("X-API-Key", self.key.expose_secret())
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        let answer = answered(self.request(path).timeout(TIMEOUT).send().await).await?;
        answer.json().await.map_err(|cause| Trouble::Final(format!("The answer cannot be read: {cause}")))
    }

    /// `None` where the key may not ask it, or there is no such thing.
    pub async fn permitted<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Trouble> {
        match self.get(path).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Trouble::Denied(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The events of a stream behind `after`.
    pub async fn stream(&self, path: &str, after: i64) -> Result<reqwest::Response, Trouble> {
        let request = self.request(path).header("Accept", "text/event-stream");
        answered(request.header("Last-Event-ID", after.to_string()).send().await).await
    }
}

async fn answered(sent: reqwest::Result<reqwest::Response>) -> Result<reqwest::Response, Trouble> {
    let answer = sent.map_err(|cause| Trouble::Passing(format!("The server cannot be reached: {cause}")))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("no reason given");
    let said = format!("{status}: {detail}");
    Err(match status.as_u16() {
        429 | 500.. => Trouble::Passing(said),
        403 | 404 => Trouble::Denied(said),
        _ => Trouble::Final(said),
    })
}
