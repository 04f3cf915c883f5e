//! `/v1/notification-preferences`: what is wished is done, and what is fixed is not wished away.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use service::notifications::notifications;

use super::notifications::{mailed, still, told};
use crate::support::{App, Backend, Client, people};

const PATH: &str = "/v1/notification-preferences";
const HOUR: Duration = Duration::from_secs(3600);

/// A key of which its maker is told in 18 hours.
async fn key(app: &App, owner: &Client, name: &str) {
    let expires = app.core.clock.now() + TimeDelta::days(1);
    owner
        .post("/v1/api-keys", json!({ "name": name, "scopes": ["*"], "expiresAt": expires }))
        .await
        .expect(201);
}

async fn later(app: &App, hours: u32) -> Client {
    app.core.clock.advance(HOUR * hours);
    notifications::sweep(&app.core).await.unwrap();
    people::sign_in(app, &app.acme.owner_email).await
}

async fn count(app: &App, kind: &str) -> usize {
    mailed(app, &app.acme.owner_email, kind).await.len()
}

/// The clock begins at 17:46 UTC.
async fn channels_and_severity_are_kept(backend: Backend) {
    let app = still(backend).await;
    let owner = &app.acme.owner;
    let wish = |channels: Value| json!({ "types": [channels] });
    owner.patch(PATH, wish(json!({ "type": "KEY_EXPIRING", "inApp": false }))).await.expect(200);
    key(&app, owner, "mail only").await;
    let owner = later(&app, 18).await;
    assert_eq!((told(&owner, "KEY_EXPIRING").await.len(), count(&app, "NOTIFICATION").await), (0, 1));
    owner
        .patch(PATH, wish(json!({ "type": "KEY_EXPIRING", "inApp": true, "email": false })))
        .await
        .expect(200);
    key(&app, &owner, "shown only").await;
    let owner = later(&app, 18).await;
    assert_eq!((told(&owner, "KEY_EXPIRING").await.len(), count(&app, "NOTIFICATION").await), (1, 1));
    let all = json!({ "types": [{ "type": "KEY_EXPIRING", "email": true }], "minSeverity": "CRITICAL" });
    owner.patch(PATH, all).await.expect(200);
    let before = count(&app, "SECURITY_NOTICE").await;
    key(&app, &owner, "neither").await;
    let owner = later(&app, 18).await;
    assert_eq!((told(&owner, "KEY_EXPIRING").await.len(), count(&app, "NOTIFICATION").await), (1, 1));
    assert_eq!(told(&owner, "KEY_CREATED").await.len(), 3, "what is fixed is told all the same");
    assert_eq!(count(&app, "SECURITY_NOTICE").await, before + 1);
}

async fn quiet_hours_and_digests_put_mails_together(backend: Backend) {
    let app = still(backend).await;
    let owner = &app.acme.owner;
    let quiet = json!({ "quietHours": { "from": "11:00", "until": "15:00" }, "timeZone": "UTC" });
    owner.patch(PATH, quiet).await.expect(200);
    key(&app, owner, "one").await;
    key(&app, owner, "two").await;
    let owner = later(&app, 18).await;
    assert_eq!(
        (told(&owner, "KEY_EXPIRING").await.len(), count(&app, "NOTIFICATION").await),
        (2, 0),
        "11:46: quiet"
    );
    assert_eq!(count(&app, "SECURITY_NOTICE").await, 2, "not for the safety of the account");
    let owner = later(&app, 3).await;
    assert_eq!(count(&app, "NOTIFICATION").await, 0, "14:46: quiet");
    let _ = later(&app, 1).await;
    assert_eq!(count(&app, "NOTIFICATION").await, 1, "15:46: together");
    let id = mailed(&app, &app.acme.owner_email, "NOTIFICATION").await[0]["id"].as_str().unwrap().to_owned();
    let admin = people::sign_in(&app, "admin@example.com").await;
    let text = admin.get(&format!("/v1/mails/{id}")).await.expect(200)["text"].as_str().unwrap().to_owned();
    assert!(text.contains("“one”") && text.contains("“two”"), "{text}");
    let _ = later(&app, 24).await;
    assert_eq!(count(&app, "NOTIFICATION").await, 1, "once");

    let owner_again = people::sign_in(&app, &app.acme.owner_email).await;
    let daily = json!({ "quietHours": null, "digest": "DAILY", "timeZone": "America/New_York" });
    owner_again.patch(PATH, daily).await.expect(200);
    key(&app, &owner_again, "three").await;
    key(&app, &owner_again, "four").await;
    let owner_again = later(&app, 18).await;
    let told = told(&owner_again, "KEY_EXPIRING").await;
    let read = format!("/v1/notifications/{}/read", told[0]["id"].as_str().unwrap());
    owner_again.post(&read, Value::Null).await.expect(200);
    let _ = later(&app, 24).await;
    assert_eq!(count(&app, "NOTIFICATION").await, 2);
    let id = mailed(&app, &app.acme.owner_email, "NOTIFICATION").await[0]["id"].as_str().unwrap().to_owned();
    let admin = people::sign_in(&app, "admin@example.com").await;
    let text = admin.get(&format!("/v1/mails/{id}")).await.expect(200)["text"].as_str().unwrap().to_owned();
    assert_eq!(text.matches("expires").count(), 1, "what was read is not mailed: {text}");
    drop(owner);
}

macro_rules! on_each {
    ($($name:ident)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Backend::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Backend::Postgres).await;
            })+
        }
    };
}

on_each! { channels_and_severity_are_kept quiet_hours_and_digests_put_mails_together }

on_both! {
    async fn wishes_are_ones_own_and_well_formed(app: App) {
        let owner = &app.acme.owner;
        let first = owner.get(PATH).await.expect(200);
        assert_eq!((&first["revision"], &first["digest"], &first["timeZone"]), (&json!(0), &json!("OFF"), &json!("UTC")));
        let night = json!({ "from": "22:00", "until": "07:00" });
        let changed = owner.patch(PATH, json!({ "quietHours": night, "timeZone": "Europe/Berlin", "digest": "HOURLY" })).await.expect(200);
        assert_eq!((&changed["revision"], &changed["quietHours"]), (&json!(1), &night));
        assert_eq!(owner.get(PATH).await.expect(200), changed);
        assert_eq!(app.rival.owner.get(PATH).await.expect(200), first);
        let stale = owner.request("PATCH", PATH).header("if-match", "\"0\"").json(&json!({ "digest": "OFF" }));
        assert_eq!(owner.send(stale).await.problem(412), "revision_changed");
        let cleared = owner.patch(PATH, json!({ "quietHours": null })).await.expect(200);
        assert_eq!((&cleared["quietHours"], &cleared["digest"]), (&json!(null), &json!("HOURLY")));
        let one = json!({ "type": "KEY_EXPIRING", "email": false });
        for (body, pointer) in [
            (json!({ "types": [one, { "type": "NEW_DEVICE", "email": false }] }), "/types/1/type"),
            (json!({ "types": [{ "type": "KEY_CREATED", "inApp": false }] }), "/types/0/type"),
            (json!({ "types": [{ "type": "PASSWORD_CHANGED" }] }), "/types/0/type"),
            (json!({ "types": [{ "type": "SPAM" }] }), "/types/0/type"),
            (json!({ "types": null }), "/types"),
            (json!({ "types": vec![one.clone(); 33] }), "/types"),
            (json!({ "minSeverity": "LOUD" }), "/minSeverity"),
            (json!({ "quietHours": { "from": "22:00" } }), "/quietHours/until"),
            (json!({ "quietHours": { "from": "25:00", "until": "07:00" } }), "/quietHours/from"),
            (json!({ "quietHours": { "from": "22:00", "until": "22:00" } }), "/quietHours/until"),
            (json!({ "timeZone": "Mars/Olympus" }), "/timeZone"),
            (json!({ "timeZone": "" }), "/timeZone"),
            (json!({ "userId": "x" }), "/userId"),
        ] {
            let refused = owner.patch(PATH, body.clone()).await;
            assert_eq!(refused.status, 422, "{body}: {}", refused.text);
            let pointers: Vec<_> = refused.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
            assert!(pointers.contains(&json!(pointer)) || pointers.contains(&json!("/quietHours")) && pointer.starts_with("/quietHours"), "{body}: {pointers:?}");
        }
    }
}
