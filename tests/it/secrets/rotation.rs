//! The master key changes while the server serves, and nothing that was sealed is lost.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use service::db::Db;
use service::error::Error;
use service::secrets::rotation::{self, Rotation};
use service::secrets::{MasterKeys, known};

use crate::support::mails::{self, token_in};
use crate::support::{App, Tenant};

const NEW: &str = "9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a1";

/// What the command has: the database beside the server, and the keys of its own.
struct Operator {
    db: Db,
    keys: MasterKeys,
}

impl Operator {
    async fn of(app: &App) -> Self {
        let (config, ids) = (&app.core.config, &app.core.ids);
        let db = Db::connect_beside(&config.database).await.unwrap();
        let keys = MasterKeys::from_env_or_file(None, &config.master_key_file(), ids).unwrap();
        known::adopt(&db, &keys, &app.core.clock).await.unwrap();
        Self { db, keys }
    }

    fn rotation<'a>(&'a self, app: &'a App, patience: Duration) -> Rotation<'a> {
        Rotation { db: &self.db, keys: &self.keys, clock: &app.core.clock, patience }
    }

    /// The versions that sealed what is stored.
    async fn versions(&self) -> Vec<u32> {
        let counts = rotation::counts(&self.db).await.unwrap();
        assert!(counts.len() >= 4, "{counts:?}");
        let mut versions: Vec<_> = counts.iter().map(|count| count.version).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

async fn integration(tenant: &Tenant, name: &str) -> String {
    let body = json!({
        "name": name, "type": "GENERIC_HTTP", "config": { "allowedHosts": ["crm.example.com"] },
        "credentials": { "apiKey": format!("secret of {name}") },
    });
    let made = tenant.owner.post("/v1/integrations", body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// The credential as the runtime gets it.
async fn credential(app: &App, tenant: &Tenant, integration: &str) -> String {
    use secrecy::ExposeSecret as _;
    use service::runtime::tools::SecretSource as _;
    let secrets =
        service::integrations::TenantSecrets { core: app.core.clone(), tenant: tenant.id.parse().unwrap() };
    let found = secrets.resolve(integration.parse().unwrap()).await.unwrap().unwrap();
    found.value.expose_secret().to_owned()
}

on_both! {
    async fn every_sealed_value_moves_to_the_new_key_while_the_server_serves(app: App) {
        let crm = integration(&app.acme, "crm").await;
        let theirs = integration(&app.rival, "theirs").await;
        app.anyone().post("/v1/auth/forgot-password", json!({ "email": app.acme.owner_email })).await.expect(202);
        let key = json!({ "name": "kept", "scopes": ["*"] });
        let once = app.acme.owner.post_once("/v1/api-keys", "once", key.clone()).await.expect(201);
        let cursor = first_page(&app.acme).await;
        let operator = Operator::of(&app).await;
        assert_eq!(operator.versions().await, [1]);

        let target = operator.keys.add_to_file(&app.core.ids).unwrap();
        let rotation = operator.rotation(&app, Duration::from_secs(60));
        let load = async {
            let mut made = Vec::new();
            for index in 0..10 {
                let name = format!("meanwhile {index}");
                made.push((integration(&app.acme, &name).await, name));
            }
            made
        };
        let (done, meanwhile) = tokio::join!(rotation.to(target), load);
        let done = done.unwrap();
        assert_eq!(done.version, 2);
        assert!(done.values >= 5, "{done:?}");
        assert_eq!(operator.versions().await, [2]);
        assert_eq!(app.core.keys.seals_with(), 2);

        for (id, name) in meanwhile {
            assert_eq!(credential(&app, &app.acme, &id).await, format!("secret of {name}"));
        }
        assert_eq!(credential(&app, &app.acme, &crm).await, "secret of crm");
        assert_eq!(credential(&app, &app.rival, &theirs).await, "secret of theirs");
        let mail = mails::to(&app, &app.acme.owner_email).await;
        let mail = mail.iter().find(|mail| mail["kind"] != "SECURITY_NOTICE").unwrap();
        let text = app.admin.get(&format!("/v1/mails/{}", mail["id"].as_str().unwrap())).await.expect(200);
        assert!(!token_in(text["text"].as_str().unwrap()).is_empty());
        let again = app.acme.owner.post_once("/v1/api-keys", "once", key).await.expect(201);
        assert_eq!(again["key"], once["key"]);
        app.acme.owner.get(&format!("/v1/integrations?limit=1&cursor={cursor}")).await.expect(200);

        // Once nothing is left under it, a node starts without the old key; before, it did not.
        let text = std::fs::read_to_string(app.core.config.master_key_file()).unwrap();
        let (new, old) = text.trim().split_once(',').unwrap();
        let starts = async |keys: &str| {
            let keys = MasterKeys::from_env_or_file(Some(&SecretString::from(keys)), "".as_ref(), &app.core.ids);
            known::adopt(&operator.db, &keys.unwrap(), &app.core.clock).await
        };
        starts(new).await.unwrap();
        assert_eq!(code(starts(old).await), "missing_master_key");
        assert_eq!(code(starts(&format!("v2:{NEW}")).await), "wrong_master_key");
    }

    async fn a_node_that_does_not_know_the_new_key_stops_a_rotation(app: App) {
        let crm = integration(&app.acme, "crm").await;
        let operator = Operator::of(&app).await;
        let text = std::fs::read_to_string(app.core.config.master_key_file()).unwrap();
        let keys = SecretString::from(format!("v2:{NEW},{}", text.trim()));
        let keys = MasterKeys::from_env_or_file(Some(&keys), "".as_ref(), &app.core.ids).unwrap();
        let clock = &app.core.clock;
        let rotation = Rotation { db: &operator.db, keys: &keys, clock, patience: Duration::ZERO };
        let Err(Error::Conflict { code, detail }) = rotation.to(2).await else { panic!("rotated") };
        assert_eq!(code, "node_without_key");
        let node = std::fs::read_to_string(app.core.config.data_dir.join("node")).unwrap();
        assert!(detail.contains(node.trim()), "{detail}");
        assert_eq!(app.core.keys.seals_with(), 1);
        integration(&app.acme, "another").await;
        let counts = rotation::counts(&operator.db).await.unwrap();
        assert!(counts.iter().all(|count| count.version == 1), "{counts:?}");
        assert_eq!(credential(&app, &app.acme, &crm).await, "secret of crm");
    }

    async fn a_value_that_no_key_opens_is_named_and_stays(app: App) {
        let crm = integration(&app.acme, "crm").await;
        let operator = Operator::of(&app).await;
        let tx = operator.db.system(service::db::Reason::Operations).begin().await.unwrap();
        let sql = "UPDATE integration SET credentials = $2 WHERE id = $1";
        let broken: Vec<u8> = [[0, 0, 0, 1].as_slice(), &[7; 100]].concat();
        let values = vec![crm.parse::<uuid::Uuid>().unwrap().into(), broken.into()];
        tx.execute(sql, values).await.unwrap();
        tx.commit().await.unwrap();
        let target = operator.keys.add_to_file(&app.core.ids).unwrap();
        let rotated = operator.rotation(&app, Duration::from_secs(60)).to(target).await;
        let Err(Error::Conflict { code, detail }) = rotated else { panic!("{rotated:?}") };
        assert_eq!(code, "values_left");
        assert!(detail.starts_with("1 values "), "{detail}");
        let counts = rotation::counts(&operator.db).await.unwrap();
        let old: u64 = counts.iter().filter(|count| count.version == 1).map(|count| count.values).sum();
        assert_eq!(old, 1, "{counts:?}");
    }
}

fn code(outcome: service::error::Result<()>) -> String {
    match outcome {
        Err(Error::Invalid { errors }) => errors[0].code.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A cursor behind the first of two rows.
async fn first_page(tenant: &Tenant) -> String {
    integration(tenant, "second").await;
    let page: Value = tenant.owner.get("/v1/integrations?limit=1").await.expect(200);
    page["nextCursor"].as_str().unwrap().to_owned()
}
