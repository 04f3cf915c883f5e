//! The database refuses what nobody may do to the audit log; and where somebody took its guards away,
//! verification finds what they did.

use serde_json::{Value, json};
use service::db::Reason;

use crate::support::{App, Backend};

async fn execute(app: &App, sql: &str) -> Result<(), String> {
    let tx = app.core.db.system(Reason::Operations).begin().await.unwrap();
    tx.execute(sql, Vec::new()).await.map_err(|error| error.to_string())?;
    tx.commit().await.map_err(|error| error.to_string())
}

/// What the owner of the database can do and nobody else.
async fn without_guards(app: &App) {
    for (table, event) in [("audit_log", "update"), ("audit_log", "delete"), ("audit_chain", "update")] {
        let on = if app.backend == Backend::Postgres { format!(" ON {table}") } else { String::new() };
        execute(app, &format!("DROP TRIGGER {table}_{event}_guard{on}")).await.unwrap();
    }
}

fn of(app: &App) -> String {
    let id = app.acme.id.replace('-', "");
    match app.backend {
        Backend::Sqlite => format!("tenant_id = x'{id}'"),
        Backend::Postgres => format!("tenant_id = '{id}'"),
    }
}

async fn verified(app: &App, query: &str) -> Value {
    app.acme.owner.get(&format!("/v1/audit-logs/verify{query}")).await.expect(200)
}

async fn some_rows(app: &App) {
    for name in ["a", "b", "c", "d"] {
        app.acme.agent(name, json!({})).await;
    }
}

on_both! {
    async fn the_database_refuses_changes_and_removals(app: App) {
        some_rows(&app).await;
        for refused in [
            "UPDATE audit_log SET action = 'x'",
            "UPDATE audit_log SET new_data = '{}'",
            "UPDATE audit_log SET new_data = NULL",
            "UPDATE audit_log SET workspace_id = id",
            "UPDATE audit_log SET data_salt = NULL, old_data = NULL, new_data = NULL, actor = 'x'",
            "UPDATE audit_log SET data_salt = NULL",
            "UPDATE audit_log SET ip_salt = NULL",
            "UPDATE audit_log SET ip_address = '::1'",
            "DELETE FROM audit_log",
            "DELETE FROM audit_chain",
            "UPDATE audit_chain SET number = number - 1",
            "UPDATE audit_chain SET anchor_number = number + 1",
            "UPDATE audit_chain SET hash = anchor_hash",
        ] {
            let refusal = execute(&app, refused).await.unwrap_err();
            assert!(refusal.contains("audit") || refusal.contains("CHECK"), "{refused}: {refusal}");
        }
        assert_eq!(verified(&app, "").await["intact"], true);
    }

    async fn detail_may_be_erased_and_the_chain_holds(app: App) {
        some_rows(&app).await;
        let erase = "UPDATE audit_log SET ip_salt = NULL, ip_address = NULL, data_salt = NULL, old_data = NULL, new_data = NULL WHERE number = 2";
        execute(&app, erase).await.unwrap();
        let verified = verified(&app, "").await;
        assert_eq!((&verified["intact"], &verified["erased"]), (&json!(true), &json!(1)));
        let shown = app.acme.owner.get("/v1/audit-logs?sort=createdAt").await.expect(200)["data"][1].clone();
        assert_eq!((&shown["erased"], &shown["newData"], &shown["ipAddress"]), (&json!(true), &Value::Null, &Value::Null));
    }

    async fn behind_the_anchor_rows_may_go(app: App) {
        some_rows(&app).await;
        let of = of(&app);
        let anchor = format!("(SELECT hash FROM audit_log WHERE {of} AND number = 3)");
        execute(&app, &format!("UPDATE audit_chain SET anchor_number = 3, anchor_hash = {anchor} WHERE {of}")).await.unwrap();
        execute(&app, &format!("DELETE FROM audit_log WHERE {of} AND number <= 3")).await.unwrap();
        assert!(execute(&app, &format!("DELETE FROM audit_log WHERE {of} AND number = 4")).await.is_err());
        let verified = verified(&app, "").await;
        assert_eq!((&verified["intact"], &verified["after"], &verified["anchor"]), (&json!(true), &json!(3), &json!(3)));
    }

    async fn each_way_of_tampering_is_found_at_its_place(app: App) {
        some_rows(&app).await;
        without_guards(&app).await;
        let of = of(&app);
        // Each is done and undone, so that each is found alone.
        for (tamper, undo, number, fault) in [
            ("UPDATE audit_log SET actor = actor || 'x'", "UPDATE audit_log SET actor = substr(actor, 1, length(actor) - 1)", 3, "HASH_WRONG"),
            ("UPDATE audit_log SET new_data = new_data || ' '", "UPDATE audit_log SET new_data = substr(new_data, 1, length(new_data) - 1)", 3, "DETAIL_CHANGED"),
            ("UPDATE audit_log SET number = 1000", "", 3, "MISSING"),
        ] {
            execute(&app, &format!("{tamper} WHERE {of} AND number = 3")).await.unwrap();
            let found = verified(&app, "").await;
            assert_eq!((&found["intact"], &found["firstBreak"]), (&json!(false), &json!({ "number": number, "fault": fault })), "{tamper}");
            assert_eq!(found["verified"], 2);
            if !undo.is_empty() {
                execute(&app, &format!("{undo} WHERE {of} AND number = 3")).await.unwrap();
                assert_eq!(verified(&app, "").await["intact"], true, "{undo}");
            }
        }
        let other = app.rival.owner.get("/v1/audit-logs/verify").await.expect(200);
        assert_eq!(other["intact"], true);
    }

    async fn a_cut_end_is_found_by_the_checkpoint(app: App) {
        some_rows(&app).await;
        let kept = app.acme.owner.get("/v1/audit-logs/checkpoint").await.expect(200);
        let query = format!("?checkpoint={}", kept["checkpoint"].as_str().unwrap());
        let before = verified(&app, &query).await;
        assert_eq!((&before["intact"], &before["checkpoint"]), (&json!(true), &json!("CONTAINED")));
        let refused = app.rival.owner.get(&format!("/v1/audit-logs/verify{query}")).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], "checkpoint");

        without_guards(&app).await;
        let (of, number) = (of(&app), kept["number"].as_i64().unwrap());
        execute(&app, &format!("DELETE FROM audit_log WHERE {of} AND number = {number}")).await.unwrap();
        assert_eq!(verified(&app, "").await["firstBreak"], json!({ "number": number, "fault": "TRUNCATED" }));
        let last = format!("(SELECT hash FROM audit_log WHERE {of} AND number = {})", number - 1);
        execute(&app, &format!("UPDATE audit_chain SET number = number - 1, hash = {last} WHERE {of}")).await.unwrap();
        assert_eq!(verified(&app, "").await["intact"], true, "the chain alone cannot know");
        let cut = verified(&app, &query).await;
        assert_eq!((&cut["intact"], &cut["checkpoint"]), (&json!(false), &json!("CONTRADICTED")));
        app.acme.agent("another", json!({})).await;
        let grown = verified(&app, &query).await;
        assert_eq!(grown["firstBreak"], json!({ "number": number, "fault": "CHECKPOINT_DIFFERS" }));
    }

    async fn no_other_token_passes_for_a_checkpoint(app: App) {
        let login = json!({ "email": app.acme.owner_email, "password": crate::support::PASSWORD });
        let tokens = app.anyone().post("/v1/auth/login", login).await.expect(200);
        let kept = app.acme.owner.get("/v1/audit-logs/checkpoint").await.expect(200);
        let kept = kept["checkpoint"].as_str().unwrap();
        let mut forged = kept.to_owned();
        let middle = kept.len() / 2;
        let other = if forged.remove(middle) == 'A' { 'B' } else { 'A' };
        forged.insert(middle, other);
        for wrong in [tokens["accessToken"].as_str().unwrap(), &forged, "", "a.b.c"] {
            app.acme.owner.get(&format!("/v1/audit-logs/verify?checkpoint={wrong}")).await.problem(422);
        }
        app.anyone().with_token(kept).get("/v1/whoami").await.problem(401);
    }
}
