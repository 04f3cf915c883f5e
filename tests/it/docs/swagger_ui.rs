//! Swagger UI as a person uses it, in a real browser: authorise, read, write.

use serde_json::json;

use crate::support::{App, Backend, Browser};

/// Inside the panel of the API key's scheme.
const KEY: &str = "//div[contains(@class, 'auth-container')][.//code[text()='apiKey']]";

async fn authorise(browser: &Browser, key: &str) {
    browser.click("//button[contains(@class, 'btn authorize')]").await;
    browser.fill(&format!("{KEY}//input"), key).await;
    browser.click(&format!("{KEY}//button[contains(@class, 'authorize')]")).await;
    browser.click(&format!("{KEY}//ancestor::div[@class='modal-ux']//button[@class='close-modal']")).await;
}

/// Opens an operation, fills its body and presses *Execute*; gives the status that is shown.
async fn try_out(browser: &Browser, operation: &str, body: Option<&str>) -> String {
    let block = format!("//div[contains(@class, 'opblock') and contains(@id, '-{operation}')]");
    browser.click(&format!("{block}//button[@class='opblock-summary-control']")).await;
    if let Some(body) = body {
        browser.fill(&format!("{block}//textarea[contains(@class, 'body-param__text')]"), body).await;
    }
    browser.click(&format!("{block}//button[contains(@class, 'execute')]")).await;
    let status = format!(
        "{block}//table[contains(@class, 'live-responses-table')]//tbody//td[contains(@class, 'response-col_status')]"
    );
    browser.text(&status).await
}

async fn a_first_visit(browser: &Browser, app: &App, key: &str, agent: &str) {
    browser.open(&format!("{}/docs/", app.url)).await;
    authorise(browser, key).await;
    assert_eq!(try_out(browser, "list_agents", None).await.lines().next(), Some("200"));
    let body = json!({ "agentId": agent, "input": "hello" }).to_string();
    assert_eq!(try_out(browser, "create_task_run", Some(&body)).await.lines().next(), Some("201"));

    // The browser's own pages are `chrome://`.
    let is_network = |request: &String| request.starts_with("http") || request.starts_with("ws");
    let elsewhere = |request: &String| is_network(request) && !request.starts_with(&app.url);
    let requests = browser.requests().await;
    assert!(requests.len() > 5, "{requests:?}");
    assert_eq!(requests.into_iter().filter(elsewhere).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_authorises_and_tries_operations() {
    let app = App::start(Backend::Sqlite).await;
    let agent = app.acme.agent("echo", json!({})).await;
    let made = app.acme.owner.post("/v1/api-keys", json!({ "name": "browser", "scopes": ["*"] })).await;
    let key = made.expect(201)["key"].as_str().unwrap().to_owned();

    let browser = std::sync::Arc::new(Browser::start().await);
    let visit = {
        let browser = browser.clone();
        tokio::spawn(async move { a_first_visit(&browser, &app, &key, &agent).await })
    };
    let visited = visit.await;
    // The browser ends also where the visit failed.
    std::sync::Arc::into_inner(browser).unwrap().quit().await;
    visited.unwrap();
}
