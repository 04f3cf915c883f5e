//! A real browser: headless Chromium over WebDriver, as Debian's packages `chromium` and
//! `chromium-driver` install it. A command that finds no element fails after [`PATIENCE_MS`].

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE_MS: u64 = 30_000;
/// The key of an element's reference: <https://www.w3.org/TR/webdriver2/#elements>.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    http: reqwest::Client,
    session: String,
    driver: Child,
    /// Read no further, but open: the driver writes to it.
    _output: BufReader<ChildStdout>,
    _profile: TempDir,
}

/// Something on the page.
pub struct Element(String);

impl Browser {
    #[expect(clippy::disallowed_methods, reason = "a test speaks to its own browser")]
    pub async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the packages chromium and chromium-driver are installed; tests/run does it");
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let port = port(&mut output);
        let profile = tempfile::tempdir().unwrap();
        let http = reqwest::Client::new();
        let url = format!("http://127.0.0.1:{port}/session");
        let made = send(http.post(&url).json(&capabilities(&profile))).await;
        let session = format!("{url}/{}", made["sessionId"].as_str().unwrap());
        let browser = Self { http, session, driver, _output: output, _profile: profile };
        browser.post("timeouts", json!({ "implicit": PATIENCE_MS })).await;
        browser
    }

    pub async fn open(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// The first element that an XPath finds, as soon as there is one.
    pub async fn find(&self, path: &str) -> Element {
        let found = self.post("element", json!({ "using": "xpath", "value": path })).await;
        Element(found[ELEMENT].as_str().unwrap_or_else(|| panic!("{path}: {found}")).to_owned())
    }

    pub async fn click(&self, path: &str) {
        let element = self.find(path).await;
        self.post(&format!("element/{}/click", element.0), json!({})).await;
    }

    /// Types into a field that was emptied.
    pub async fn fill(&self, path: &str, text: &str) {
        let element = self.find(path).await;
        self.post(&format!("element/{}/clear", element.0), json!({})).await;
        self.post(&format!("element/{}/value", element.0), json!({ "text": text })).await;
    }

    pub async fn text(&self, path: &str) -> String {
        let element = self.find(path).await;
        let text = send(self.http.get(format!("{}/element/{}/text", self.session, element.0))).await;
        text.as_str().unwrap().to_owned()
    }

    /// What the page wrote to its console.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({ "type": "browser" })).await;
        entries.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// The addresses of all requests so far.
    pub async fn requests(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({ "type": "performance" })).await;
        let parse =
            |entry: &Value| serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap();
        let messages = entries.as_array().unwrap().iter().map(parse);
        let sent = messages.filter(|entry| entry["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|entry| entry["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn quit(mut self) {
        send(self.http.delete(&self.session)).await;
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }

    async fn post(&self, command: &str, body: Value) -> Value {
        send(self.http.post(format!("{}/{command}", self.session)).json(&body)).await
    }
}

fn port(output: &mut BufReader<ChildStdout>) -> u16 {
    let lines = output.lines().map(|line| line.unwrap());
    let port = lines.filter_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    port.take(1).next().expect("chromedriver says its port")
}

fn capabilities(profile: &TempDir) -> Value {
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,1600",
        &format!("--user-data-dir={}", profile.path().display()),
    ];
    json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    } } })
}

async fn send(request: reqwest::RequestBuilder) -> Value {
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let value = &answer["value"];
    assert!(value["error"].is_null(), "{}: {}", value["error"], value["message"]);
    value.clone()
}
