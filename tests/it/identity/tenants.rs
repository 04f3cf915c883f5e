//! `/v1/tenants` and `/v1/tenant` as a caller sees them.

use serde_json::json;

use crate::support::PASSWORD;

on_both! {
    async fn only_administrators_of_the_platform_reach_other_tenants(app: App) {
        let path = format!("/v1/tenants/{}", app.rival.id);
        assert_eq!(app.acme.owner.get(&path).await.problem(403), "permission_missing");
        assert_eq!(app.acme.owner.get("/v1/tenants").await.problem(403), "permission_missing");
        assert_eq!(app.admin.get(&path).await.expect(200)["slug"], "rival");
        assert_eq!(app.admin.patch(&path, json!({ "plan": "PRO" })).await.expect(200)["plan"], "PRO");
        assert_eq!(app.rival.owner.get("/v1/tenant").await.expect(200)["plan"], "PRO");
        let status = app.admin.patch(&path, json!({ "status": "SUSPENDED" })).await.expect(422);
        assert_eq!(status["errors"][0]["pointer"], "/status");
        assert_eq!(app.admin.get("/v1/tenants/junk").await.problem(404), "not_found");
    }

    async fn the_pages_of_all_tenants_are_all_tenants(app: App) {
        let mut slugs = Vec::new();
        let mut path = "/v1/tenants?limit=1&sort=name&count=true".to_owned();
        loop {
            let page = app.admin.get(&path).await.expect(200);
            assert_eq!(page["total"], 3);
            slugs.extend(page["data"].as_array().unwrap().iter().map(|one| one["slug"].as_str().unwrap().to_owned()));
            let Some(cursor) = page["nextCursor"].as_str() else { break };
            path = format!("/v1/tenants?limit=1&sort=name&count=true&cursor={cursor}");
        }
        slugs.sort();
        assert_eq!(slugs, ["acme", "main", "rival"]);
    }

    async fn a_made_password_is_shown_once_and_replayed_by_its_key_alone(app: App) {
        let body = json!({ "name": "Third", "slug": "third", "owner": { "email": "Third@Example.com" } });
        let made = app.admin.post_once("/v1/tenants", "one", body.clone()).await.expect(201);
        let again = app.admin.post_once("/v1/tenants", "one", body.clone()).await.expect(201);
        assert_eq!(made, again);
        assert_eq!(app.admin.post("/v1/tenants", body).await.problem(409), "slug_taken");
        let login = json!({ "email": "third@example.com", "password": made["ownerPassword"] });
        assert_eq!(app.anyone().post("/v1/auth/login", login).await.expect(200)["tenantId"], made["id"]);

        let known = json!({ "name": "Fourth", "slug": "fourth", "owner": { "email": "third@example.com", "password": PASSWORD } });
        let fourth = app.admin.post("/v1/tenants", known).await.expect(201);
        assert_eq!((&fourth["ownerPassword"], &fourth["owner"]["isNew"]), (&json!(null), &json!(false)));
        let taken = json!({ "email": "third@example.com", "password": PASSWORD });
        assert_eq!(app.anyone().post("/v1/auth/login", taken).await.problem(401), "wrong_credentials");
    }

    async fn the_own_tenant_is_patched_under_its_revision(app: App) {
        let owner = &app.acme.owner;
        let body = json!({ "settings": { "theme": "DARK", "locale": "de-CH" }, "dataRetentionDays": 30 });
        let changed = owner.patch("/v1/tenant", body).await.expect(200);
        assert_eq!(changed["dataRetentionDays"], 30);
        let stale = owner.request("PATCH", "/v1/tenant").header("if-match", "\"1\"").json(&json!({ "name": "x" }));
        assert_eq!(owner.send(stale).await.problem(412), "revision_changed");
        let merged = owner.patch("/v1/tenant", json!({ "settings": { "locale": null, "quotaAlarmPercent": 90 } })).await.expect(200);
        assert_eq!(merged["settings"], json!({ "theme": "DARK", "quotaAlarmPercent": 90 }));
        let read = owner.get("/v1/tenant").await;
        assert_eq!(read.headers["etag"], format!("\"{}\"", read.body["revision"]).as_str());
    }

    async fn settings_are_a_closed_list(app: App) {
        let owner = &app.acme.owner;
        for (settings, pointer) in [
            (json!({ "colour": "red" }), "/settings/colour"),
            (json!({ "theme": "dark" }), "/settings/theme"),
            (json!({ "accentColor": "#12345" }), "/settings/accentColor"),
            (json!({ "locale": "-" }), "/settings/locale"),
            (json!({ "supportUrl": "http://example.org" }), "/settings/supportUrl"),
            (json!({ "quotaAlarmPercent": 0 }), "/settings/quotaAlarmPercent"),
            (json!({ "quotaAlarmPercent": 1e3 }), "/settings/quotaAlarmPercent"),
            (json!([]), "/settings"),
            (json!(null), "/settings"),
        ] {
            let refused = owner.patch("/v1/tenant", json!({ "settings": settings })).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        }
        assert_eq!(owner.get("/v1/tenant").await.expect(200)["settings"], json!({}));
    }

    async fn the_platform_alone_says_whose_a_domain_is(app: App) {
        let own = app.acme.owner.patch("/v1/tenant", json!({ "domain": "acme.example.com" })).await;
        assert_eq!(own.problem(422), "invalid");
        let [acme, rival] = [&app.acme, &app.rival].map(|tenant| format!("/v1/tenants/{}", tenant.id));
        let domain = json!({ "domain": "Acme.Example.com" });
        app.admin.patch(&acme, domain.clone()).await.expect(200);
        assert_eq!(app.acme.owner.get("/v1/tenant").await.expect(200)["domain"], "acme.example.com");
        assert_eq!(app.admin.patch(&rival, domain.clone()).await.problem(409), "domain_taken");
        assert_eq!(app.admin.patch(&rival, json!({ "domain": "1.2.3.4" })).await.problem(422), "invalid");
        app.admin.patch(&acme, json!({ "domain": null })).await.expect(200);
        app.admin.patch(&rival, domain).await.expect(200);
    }
}
