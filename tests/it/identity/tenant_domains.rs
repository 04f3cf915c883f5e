//! Domains that are proved, and who joins by them.

use serde_json::{Value, json};

use crate::support::accounts::{proved, sign_in};
use crate::support::name_server::NameServer;
use crate::support::oidc_server::OidcServer;
use crate::support::{App, Tenant};

const DOMAINS: &str = "/v1/tenant/domains";

async fn claim(tenant: &Tenant, domain: &str, role: &str) -> (String, Value) {
    let made = tenant.owner.post(DOMAINS, json!({ "domain": domain, "joinRole": role })).await.expect(201);
    (format!("{DOMAINS}/{}", made["id"].as_str().unwrap()), made)
}

/// Puts the record where it belongs, among others.
fn publish(made: &Value) {
    let name = made["recordName"].as_str().unwrap();
    NameServer::of_this_process().put(name, &["v=spf1 -all", made["recordValue"].as_str().unwrap()]);
}

/// A name that no other test has.
fn domain(app: &App) -> String {
    format!("{}.example", app.core.ids.next().simple())
}

async fn come(app: &App, email: &str) -> crate::support::Answer {
    sign_in(app, OidcServer::of_this_process(), proved(&format!("subject of {email}"), email)).await
}

on_both! {
    idle;
    async fn people_of_a_proved_domain_join_with_its_role(app: App) {
        let domain = domain(&app);
        let ada = format!("Ada@{domain}");
        let (path, made) = claim(&app.acme, &domain.to_uppercase(), "OPERATOR").await;
        assert_eq!((&made["domain"], &made["verifiedAt"]), (&json!(domain), &Value::Null));
        assert_eq!(come(&app, &ada).await.problem(403), "oidc_unknown_person");
        let verify = format!("{path}/verify");
        assert_eq!(app.acme.owner.post(&verify, json!({})).await.problem(409), "domain_unproved");
        let name = made["recordName"].as_str().unwrap();
        NameServer::of_this_process().put(name, &["mission-control-domain=0123"]);
        assert_eq!(app.acme.owner.post(&verify, json!({})).await.problem(409), "domain_unproved");
        publish(&made);
        let verified = app.acme.owner.post(&verify, json!({})).await.expect(200);
        assert_ne!(verified["verifiedAt"], Value::Null);
        assert_eq!(verified["verifiedBy"], "DNS");
        app.acme.owner.post(&verify, json!({})).await.expect(200);

        let tokens = come(&app, &ada).await.expect(200);
        let person = app.anyone().with_token(tokens["accessToken"].as_str().unwrap());
        let who = person.get("/v1/whoami").await.expect(200);
        assert_eq!((&who["tenant"]["id"], &who["role"]), (&json!(app.acme.id), &json!("OPERATOR")));
        for other in [format!("eve@sub.{domain}"), format!("eve@x{domain}"), format!("eve@{domain}.evil.example")] {
            assert_eq!(come(&app, &other).await.problem(403), "oidc_unknown_person", "{other}");
        }
        let unproved = json!({ "sub": "eve", "email": format!("eve@{domain}"), "email_verified": "true" });
        let refused = sign_in(&app, OidcServer::of_this_process(), unproved).await;
        assert_eq!(refused.problem(403), "oidc_email_unverified");

        app.acme.owner.delete(&path).await.expect(204);
        assert_eq!(come(&app, &format!("late@{domain}")).await.problem(403), "oidc_unknown_person");
        come(&app, &ada).await.expect(200);
    }

    async fn a_removed_member_does_not_join_again(app: App) {
        let domain = domain(&app);
        let (path, made) = claim(&app.acme, &domain, "VIEWER").await;
        publish(&made);
        app.acme.owner.post(&format!("{path}/verify"), json!({})).await.expect(200);
        let ada = format!("ada@{domain}");
        come(&app, &ada).await.expect(200);
        let members = app.acme.owner.get("/v1/memberships").await.expect(200);
        let member = members["data"].as_array().unwrap().iter().find(|member| member["email"] == json!(ada)).unwrap();
        app.acme.owner.delete(&format!("/v1/memberships/{}", member["id"].as_str().unwrap())).await.expect(204);
        assert_eq!(come(&app, &ada).await.problem(403), "no_membership");
    }

    async fn a_domain_is_one_tenants_once_proved(app: App) {
        let domain = domain(&app);
        let (mine, made) = claim(&app.acme, &domain, "VIEWER").await;
        let (theirs, claimed) = claim(&app.rival, &domain, "VIEWER").await;
        assert_ne!(made["recordValue"], claimed["recordValue"], "one tenant's proof is not another's");
        publish(&made);
        assert_eq!(app.rival.owner.post(&format!("{theirs}/verify"), json!({})).await.problem(409), "domain_unproved");
        app.acme.owner.post(&format!("{mine}/verify"), json!({})).await.expect(200);
        publish(&claimed);
        assert_eq!(app.rival.owner.post(&format!("{theirs}/verify"), json!({})).await.problem(409), "domain_taken");
        assert_eq!(app.rival.owner.post(&format!("{mine}/verify"), json!({})).await.problem(404), "not_found");
        assert_eq!(app.acme.owner.post(DOMAINS, json!({ "domain": domain })).await.problem(409), "domain_taken");
        app.acme.owner.delete(&mine).await.expect(204);
        app.rival.owner.post(&format!("{theirs}/verify"), json!({})).await.expect(200);
    }

    async fn domains_of_others_and_roles_above_ones_own(app: App) {
        for bad in ["gmail.com", "co.uk", "example", "1.2.3.4", "a b.example", "*.example.org", "user@example.org", ""] {
            let refused = app.acme.owner.post(DOMAINS, json!({ "domain": bad })).await;
            assert_eq!(refused.body["errors"][0]["pointer"], "/domain", "{bad}");
            refused.expect(422);
        }
        for bad in [Value::Null, json!([]), json!(1), json!({})] {
            app.acme.owner.post(DOMAINS, json!({ "domain": bad })).await.expect(422);
        }
        let admin = crate::support::people::verified(&app, &app.acme.owner, "admin@acme.example.com", "ADMIN").await;
        let owner = json!({ "domain": domain(&app), "joinRole": "OWNER" });
        assert_eq!(admin.post(DOMAINS, owner).await.problem(403), "role_above_own");
        let (path, made) = claim(&app.acme, &domain(&app), "OWNER").await;
        publish(&made);
        for role in ["VIEWER", "OWNER"] {
            assert_eq!(admin.patch(&path, json!({ "joinRole": role })).await.problem(403), "role_above_own");
        }
        assert_eq!(admin.post(&format!("{path}/verify"), json!({})).await.problem(403), "role_above_own");
        let changed = app.acme.owner.patch(&path, json!({ "joinRole": "VIEWER" })).await.expect(200);
        assert_eq!(changed["revision"], 2);
        admin.post(&format!("{path}/verify"), json!({})).await.expect(200);
    }

    async fn a_suspended_tenant_takes_nobody_in(app: App) {
        let domain = domain(&app);
        let (path, made) = claim(&app.acme, &domain, "VIEWER").await;
        publish(&made);
        app.acme.owner.post(&format!("{path}/verify"), json!({})).await.expect(200);
        let tenant = format!("/v1/tenants/{}", app.acme.id);
        app.admin.post(&format!("{tenant}/suspend"), json!({})).await.expect(200);
        assert_eq!(come(&app, &format!("ada@{domain}")).await.problem(403), "oidc_unknown_person");
    }
}
