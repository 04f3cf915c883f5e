//! Links that decide an approval: for whoever has one, once, and by nothing that only reads.

use serde_json::{Value, json};

use crate::support::{App, Client, eventually, people};

/// The path of a run that asks whether it may call a tool, and its approval.
async fn asking(app: &App) -> (String, String) {
    let name = format!("asking_{}", app.core.ids.next().simple());
    let agent = app.acme.agent(&name, json!({ "model": "mock/tools" })).await;
    let tool = app.acme.builtin(&name, "builtin/echo").await;
    app.acme.bind(&agent, &tool, json!({ "policy": "ASK" })).await;
    let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
    eventually("it asks", async || app.acme.owner.get(&path).await.expect(200)["status"] == "WAITING").await;
    let asked =
        app.acme.owner.get(&format!("/v1/approvals?runId={}", path.rsplit('/').next().unwrap())).await;
    (path, asked.expect(200)["data"][0]["id"].as_str().unwrap().to_owned())
}

async fn link(person: &Client, approval: &str) -> String {
    let made = person.post(&format!("/v1/approvals/{approval}/links"), json!({})).await.expect(200);
    made["url"].as_str().unwrap().strip_prefix("https://console.example.com").unwrap().to_owned()
}

async fn page(app: &App, link: &str) -> crate::support::Answer {
    let anyone = app.anyone();
    anyone.send(anyone.request("GET", link).header("accept", "text/html,*/*")).await
}

on_both! {
    async fn a_link_decides_once_and_reading_it_decides_nothing(app: App) {
        let owner = &app.acme.owner;
        let (path, approval) = asking(&app).await;
        let link = link(owner, &approval).await;
        for _ in 0..3 {
            let read = app.anyone().get(&link).await.expect(200);
            assert_eq!((&read["id"], &read["status"]), (&json!(approval), &json!("PENDING")));
            let shown = page(&app, &link).await;
            assert!(shown.status == 200 && shown.text.contains("<form method=\"post\">"), "{}", shown.text);
            assert!(!shown.text.contains("<script"));
            assert_eq!(shown.headers["cache-control"], "no-store");
        }
        let verdicts = (0..6).map(|_| async { app.anyone().post(&link, json!({ "decision": "APPROVE" })).await });
        let answers = futures_util::future::join_all(verdicts).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.body["code"] == "already_decided"));
        let decided = owner.get(&format!("/v1/approvals/{approval}")).await.expect(200);
        let me = owner.get("/v1/whoami").await.expect(200)["user"]["id"].as_str().unwrap().to_owned();
        assert_eq!((&decided["status"], &decided["decidedBy"]), (&json!("APPROVED"), &json!(format!("user:{me}"))));
        eventually("it ends", async || owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
        assert!(page(&app, &link).await.text.contains("APPROVED"));
        let again = owner.post(&format!("/v1/approvals/{approval}/links"), json!({})).await;
        assert_eq!(again.problem(409), "already_decided");
    }

    async fn the_pages_form_decides_with_a_comment(app: App) {
        let (_, approval) = asking(&app).await;
        let link = link(&app.acme.owner, &approval).await;
        let anyone = app.anyone();
        let form = |body: &str| {
            let request = anyone.request("POST", &link).header("accept", "text/html");
            request.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
        };
        for wrong in ["", "decision=MAYBE", "decision=APPROVE&arguments=%7B%7D"] {
            assert_eq!(anyone.send(form(wrong)).await.status, 422, "{wrong}");
        }
        let done = anyone.send(form("comment=Too+dear.+%3Cb%3E&decision=REJECT")).await;
        assert!(done.status == 200 && done.text.contains("REJECTED"), "{}", done.text);
        let decided = app.acme.owner.get(&format!("/v1/approvals/{approval}")).await.expect(200);
        assert_eq!(decided["decision"]["comment"], "Too dear. <b>");
    }

    async fn a_link_ends_with_the_right_of_its_person_and_is_nobody_elses(app: App) {
        let (_, approval) = asking(&app).await;
        let owner = &app.acme.owner;
        let operator = people::verified(&app, owner, "operator@acme.example.com", "OPERATOR").await;
        let link = link(&operator, &approval).await;
        let token = link.rsplit('/').next().unwrap();
        let mut wrong = token.to_owned();
        let first = if wrong.starts_with('A') { "B" } else { "A" };
        wrong.replace_range(0..1, first);
        for bad in ["x", "%00", &wrong, &token[..token.len() - 4]] {
            assert_eq!(app.anyone().get(&format!("/v1/approval-links/{bad}")).await.problem(404), "not_found");
        }
        let key = app.acme.key(&app, &["approvals:decide"]).await;
        assert_eq!(key.post(&format!("/v1/approvals/{approval}/links"), json!({})).await.problem(403), "person_only");
        assert_eq!(app.rival.owner.post(&format!("/v1/approvals/{approval}/links"), json!({})).await.problem(404), "not_found");

        let members = owner.get("/v1/memberships?limit=200").await.expect(200);
        let all = members["data"].as_array().unwrap();
        let mine = all.iter().find(|member| member["role"] == "OPERATOR").unwrap()["id"].as_str().unwrap();
        owner.patch(&format!("/v1/memberships/{mine}"), json!({ "role": "VIEWER" })).await.expect(200);
        assert_eq!(app.anyone().get(&link).await.problem(404), "not_found");
        assert_eq!(app.anyone().post(&link, json!({ "decision": "APPROVE" })).await.problem(404), "not_found");
        owner.patch(&format!("/v1/memberships/{mine}"), json!({ "role": "OPERATOR" })).await.expect(200);
        app.anyone().post(&link, json!({ "decision": "APPROVE" })).await.expect(200);
        let audit: Value = owner.get("/v1/audit-logs?limit=1").await.expect(200);
        assert_eq!(audit["data"][0]["action"], "decide_by_link", "{audit}");
    }
}
