//! Mails as the administrator of the platform reads them where no SMTP server is configured.

use serde_json::Value;

use super::App;

/// All mails to this address, the newest first.
pub async fn to(app: &App, recipient: &str) -> Vec<Value> {
    let path = format!("/v1/mails?recipient={}", recipient.replace('+', "%2B"));
    app.admin.get(&path).await.expect(200)["data"].as_array().unwrap().clone()
}

/// The id of the newest mail to this address.
pub async fn newest(app: &App, recipient: &str) -> String {
    let mails = to(app, recipient).await;
    let newest = mails.first().unwrap_or_else(|| panic!("no mail to {recipient}"));
    newest["id"].as_str().unwrap().to_owned()
}

/// The token in the newest mail of this kind to this address.
pub async fn token(app: &App, recipient: &str, kind: &str) -> String {
    let mails = to(app, recipient).await;
    let mail = mails.iter().find(|mail| mail["kind"] == kind && mail["status"] == "KEPT");
    let mail = mail.unwrap_or_else(|| panic!("no {kind} to {recipient}: {mails:#?}"));
    let mail = app.admin.get(&format!("/v1/mails/{}", mail["id"].as_str().unwrap())).await.expect(200);
    token_in(mail["text"].as_str().unwrap())
}

/// The token in a mail's text.
pub fn token_in(text: &str) -> String {
    let (_, rest) = text.split_once("#token=").unwrap_or_else(|| panic!("no token in {text}"));
    rest.split_whitespace().next().unwrap().to_owned()
}
