//! The page behind an approval's link: no script, nothing loaded, everything that others wrote escaped.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentType};
use actix_web::{HttpRequest, HttpResponse};
use service::tasks::approvals::ApprovalView;

use crate::error::HttpError;

/// Characters of the proposal that are shown.
const MOST: usize = 20_000;
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}\
    pre{background:#f4f4f4;padding:1rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}\
    textarea{width:100%;min-height:4rem;box-sizing:border-box}button{font:inherit;padding:.5rem 1.5rem;margin:.5rem .5rem 0 0}";

/// Whether a browser asks.
pub fn is_wanted(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

pub fn question(approval: &ApprovalView) -> HttpResponse {
    let status = serde_json::to_value(approval.status).unwrap_or_default();
    if status != "PENDING" {
        return decided(approval);
    }
    let tool = approval.proposal.get("tool").and_then(|tool| tool.as_str()).unwrap_or("a tool");
    let proposal = serde_json::to_string_pretty(&approval.proposal).unwrap_or_default();
    let shown: String = proposal.chars().take(MOST).collect();
    let body = format!(
        "<h1>May a run call “{tool}”?</h1><p>Decide until {expires}. Run {run}.</p><pre>{proposal}</pre>\
         <form method=\"post\"><label>Comment<br><textarea name=\"comment\" maxlength=\"2000\"></textarea></label><br>\
         <button name=\"decision\" value=\"APPROVE\">Approve</button>\
         <button name=\"decision\" value=\"REJECT\">Reject</button></form>",
        tool = escape(tool),
        expires = escape(&approval.expires_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        run = approval.run_id,
        proposal = escape(&shown),
    );
    page(StatusCode::OK, "Approval", &body)
}

pub fn decided(approval: &ApprovalView) -> HttpResponse {
    let status = serde_json::to_value(approval.status).unwrap_or_default();
    let body =
        format!("<h1>{}</h1><p>You can close this page.</p>", escape(status.as_str().unwrap_or_default()));
    page(StatusCode::OK, "Approval", &body)
}

pub fn refused(error: &HttpError) -> HttpResponse {
    let body = format!("<h1>This does not work</h1><p>{}</p>", escape(&error.detail));
    page(error.status, "Approval", &body)
}

fn page(status: StatusCode, title: &str, body: &str) -> HttpResponse {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>{body}</body></html>"
    );
    HttpResponse::build(status).content_type(ContentType::html()).body(html)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text() {
        assert_eq!(escape("<a href='x' title=\"&\">"), "&lt;a href=&#39;x&#39; title=&quot;&amp;&quot;&gt;");
    }
}
